"""How the embedded API is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ApiServerSettings:
    """data_dir: database, keys and certificates. address, port: where it listens ("" is every address, 0 any port).

    advertise: more names and addresses for its certificate, and for the kubeconfig when it listens everywhere.
    kubeconfig: where the administrator's kubeconfig is written, with mode 0600.
    """

    data_dir: Path
    kubeconfig: Path
    address: str = "127.0.0.1"
    port: int = 6443
    advertise: tuple[str, ...] = ()
