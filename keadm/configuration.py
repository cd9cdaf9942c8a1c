"""The edgecore.yaml of a joined node: every default, what join knows, then ``--set``; checked as edgecore will check it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from beehive import settings
from edgecore.config import EdgeCore, check
from keadm import sets
from keadm.layout import Layout
from keadm.names import CLOUD_PORT, join_host
from keadm.steps import KeadmError

QUIC_PORT, TUNNEL_PORT = 10001, 10004
STEM = "# Written by `keadm join`. Every key with its default: edgecore --defaultconfig. Unknown keys are errors.\n"


@dataclass(frozen=True)
class Wishes:
    """What the command line of join asks for."""

    node: str
    host: str
    port: int
    certificate_port: int
    labels: dict[str, str] = field(default_factory=dict)
    protocol: str = "websocket"
    cgroup_driver: str = "cgroupfs"
    runtime: str = "auto"
    runtime_endpoint: str = ""
    sets: tuple[str, ...] = ()

    @property
    def certificate_url(self) -> str:
        return f"https://{join_host(self.host, self.certificate_port)}"


def edgecore_yaml(wishes: Wishes, layout: Layout) -> str:
    """The file's text. Raises KeadmError when a ``--set`` does not fit, naming key and hint."""
    tree = _tree(wishes, layout)
    try:
        for expression in wishes.sets:
            sets.apply(tree, expression)
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        origin = "the configuration with --set applied" if wishes.sets else "the configuration"
        check(settings.parse(text, EdgeCore, origin=origin), origin)
    except (sets.SetError, settings.SettingsError) as error:
        raise KeadmError(str(error)) from error
    return STEM + text


def _tree(wishes: Wishes, layout: Layout) -> dict[str, Any]:
    tree = layout.relocate(msgspec.to_builtins(EdgeCore()))
    assert isinstance(tree, dict)  # noqa: S101 - for the type checker
    modules = tree["modules"]
    hub, edged = modules["edgeHub"], modules["edged"]
    hub["httpServer"] = wishes.certificate_url
    quic = wishes.protocol == "quic"
    hub["websocket"] |= {"enable": not quic, "server": join_host(wishes.host, CLOUD_PORT if quic else wishes.port)}
    hub["quic"] |= {"enable": quic, "server": join_host(wishes.host, wishes.port if quic else QUIC_PORT)}
    modules["edgeStream"]["server"] = join_host(wishes.host, TUNNEL_PORT)
    edged["hostnameOverride"] = wishes.node
    edged["runtime"] = wishes.runtime
    edged["nodeLabels"] = dict(wishes.labels)
    kubelet = edged["tailoredKubeletConfig"]
    kubelet["cgroupDriver"] = wishes.cgroup_driver
    if wishes.runtime_endpoint:
        edged["dockerEndpoint"] = wishes.runtime_endpoint
        kubelet["containerRuntimeEndpoint"] = kubelet["imageServiceEndpoint"] = wishes.runtime_endpoint
    return tree
