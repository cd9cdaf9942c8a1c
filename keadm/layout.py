"""Where everything of an edge node stands. ``--prefix`` moves the whole tree, so that one machine can hold several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths of KubeEdge 1.23 (its ``common/constants``), under ``prefix``. The real machine has prefix ``/``."""

    prefix: Path = Path("/")

    @property
    def relocated(self) -> bool:
        return self.prefix != Path("/")

    def at(self, path: str) -> Path:
        """``path`` (absolute, as on a real node) under the prefix."""
        return self.prefix / path.lstrip("/")

    @property
    def etc(self) -> Path:
        return self.at("/etc/kubeedge")

    @property
    def config(self) -> Path:
        return self.etc / "config" / "edgecore.yaml"

    @property
    def bootstrap(self) -> Path:
        return self.etc / "bootstrap-edgecore.conf"

    @property
    def authority(self) -> Path:
        return self.etc / "ca" / "rootCA.crt"

    @property
    def certificate(self) -> Path:
        return self.etc / "certs" / "server.crt"

    @property
    def key(self) -> Path:
        return self.etc / "certs" / "server.key"

    @property
    def data(self) -> Path:
        return self.at("/var/lib/kubeedge")

    @property
    def pid(self) -> Path:
        """Of an edgecore that keadm started without systemd."""
        return self.data / "edgecore.pid"

    @property
    def logs(self) -> Path:
        return self.at("/var/log/kubeedge")

    @property
    def log(self) -> Path:
        return self.logs / "edgecore.log"

    @property
    def folders(self) -> tuple[Path, ...]:
        """What a join makes and a reset removes."""
        return (self.etc, self.logs, self.data)

    @property
    def pods(self) -> tuple[Path, ...]:
        """What pods have on a joined node. On a machine that never joined these folders may be a kubelet's."""
        ours = (self.at("/var/log/pods"),) if self.relocated else ()
        return (self.at("/var/lib/edged"), self.at("/var/lib/kubelet"), *ours)

    @property
    def clouds(self) -> tuple[Path, ...]:
        """What a cloudcore on the same machine has in these folders; neither join nor reset may touch it."""
        names = ("/etc/kubeedge/kubeconfig.yaml", "/etc/kubeedge/config/cloudcore.yaml", "/var/lib/kubeedge/cloudcore")
        return tuple(self.at(name) for name in names)

    def relocate(self, settings: object) -> object:
        """A copy of a configuration (nested dictionaries and lists) whose default paths stand under the prefix."""
        if isinstance(settings, dict):
            return {key: self.relocate(value) for key, value in settings.items()}
        if isinstance(settings, list):
            return [self.relocate(value) for value in settings]
        if isinstance(settings, str) and self.relocated and settings.startswith(_OURS):
            return str(self.at(settings))
        return settings


_OURS = ("/etc/kubeedge", "/var/lib/kubeedge", "/var/lib/edged", "/var/lib/kubelet", "/var/log/kubeedge", "/var/log/pods")
