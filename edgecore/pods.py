"""Makes edged from the configuration. Its engine is opened late and as often as it takes: a container engine that is down
when edgecore starts must not keep the link down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import trio

from beehive.files import write_atomically
from edgecore.app import PodRunner
from edgecore.config import EdgeCore
from edgecore.edged.app import Edged
from edgecore.edged.memory import memory_root
from edgecore.edged.runtime.docker import DockerEngine
from edgecore.edged.runtime.process import ProcessEngine
from edgecore.edged.runtime.select import open_engine
from edgecore.edged.settings import EdgedSettings
from edgecore.kubelet_config import seconds
from edgecore.metamanager.client import ObjectKey
from edgecore.metamanager.metamanager import MetaManager
from edgecore.version import program_version

log = logging.getLogger(__name__)


def edged_settings(config: EdgeCore) -> EdgedSettings:
    """``modules.edged`` in edged's own words."""
    edged, kubelet = config.modules.edged, config.modules.edged.tailoredKubeletConfig
    return EdgedSettings(
        node_name=config.node,
        version=program_version(),
        root=Path(edged.rootDirectory),
        pod_logs=Path(kubelet.podLogsDir),
        memory_root=memory_root(Path(edged.rootDirectory)),
        node_ip=edged.nodeIP,
        interface=edged.customInterfaceName,
        node_labels=edged.nodeLabels,
        taints=kubelet.registerWithTaints,
        register_node=kubelet.registerNode,
        register_schedulable=edged.registerSchedulable,
        max_pods=kubelet.maxPods,
        kubelet_port=kubelet.readOnlyPort,
        status_update_frequency=seconds(kubelet.nodeStatusUpdateFrequency),
        status_report_frequency=seconds(kubelet.nodeStatusReportFrequency),
        lease_duration=kubelet.nodeLeaseDurationSeconds,
        sync_frequency=seconds(kubelet.syncFrequency),
        serialize_image_pulls=kubelet.serializeImagePulls,
        cluster_dns=kubelet.clusterDNS,
        cluster_domain=kubelet.clusterDomain,
        system_reserved=kubelet.systemReserved,
        kube_reserved=kubelet.kubeReserved,
    )


def edged_maker(config: EdgeCore) -> Callable[[MetaManager], PodRunner]:
    """What the composition root calls once it has a MetaManager."""
    return lambda meta: LateEdged(config, meta)


class LateEdged:
    """edged, from the moment when its engine could be opened."""

    def __init__(self, config: EdgeCore, meta: MetaManager) -> None:
        self._config = config.modules.edged
        self._settings = edged_settings(config)
        self._meta = meta
        self._edged: Edged | None = None

    def notify(self, key: ObjectKey) -> None:
        """Before the start there is nothing to tell: everything is read then."""
        if self._edged is not None:
            self._edged.notify(key)

    def on_connection(self, connected: bool) -> None:
        if self._edged is not None:
            self._edged.on_connection(connected)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Opens the engine and runs edged until cancelled; closes the engine."""
        task_status.started()
        engine = await self._open()
        try:
            await self._meta.protect(engine)
            self._edged = Edged(self._settings, self._meta, engine)
            self._edged.on_connection(self._meta.connected)
            await self._edged.run()
        finally:
            self._edged = None
            with trio.move_on_after(2, shield=True):
                await engine.aclose()

    async def _open(self) -> DockerEngine | ProcessEngine:
        note = EngineNote(self._settings.root)
        kind = self._config.runtime
        if kind == "auto":
            kind = await trio.to_thread.run_sync(note.read)
        engine = await open_engine(
            kind,
            docker_endpoint=self._config.dockerEndpoint,
            root=self._settings.root,
            sandbox_image=self._config.podSandboxImage,
        )
        name = "process" if isinstance(engine, ProcessEngine) else "docker"
        await trio.to_thread.run_sync(note.write, name)
        return engine


class EngineNote:
    """Remembers that ``auto`` meant docker once. After a reboot docker may answer later than edgecore asks: taking plain
    processes then would run every pod twice. To change the engine, name it in the configuration."""

    def __init__(self, root: Path) -> None:
        self._path = root / "edgecore-runtime"

    def read(self) -> Literal["auto", "docker"]:
        try:
            return "docker" if self._path.read_text(encoding="utf-8").strip() == "docker" else "auto"
        except (OSError, UnicodeDecodeError):
            return "auto"

    def write(self, name: str) -> None:
        try:
            if not self._path.exists() or self._path.read_text(encoding="utf-8").strip() != name:
                write_atomically(self._path, f"{name}\n".encode())
        except (OSError, UnicodeDecodeError) as error:
            log.warning("cannot remember the container engine in %s: %s", self._path, error)
