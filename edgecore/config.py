"""edgecore.yaml (``edgecore.config.kubeedge.io/v1alpha2``), typed. Unknown keys are errors.

Source of keys and defaults: KubeEdge 1.23: api/apis/componentconfig/edgecore/v1alpha2. Four keys are ours:
``modules.edged.runtime`` and ``dockerEndpoint``, ``modules.eventBus.mqttBrokerConfig`` and ``broker``.
"""

# ruff: noqa: N815 - these are the names in the file

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from beehive import settings
from beehive.settings import SettingsError
from edgecore.address import local_address
from edgecore.eventbus.address import AddressError, address, is_loopback
from edgecore.kubelet_config import KubeletConfig, seconds

API_VERSION: Final = "edgecore.config.kubeedge.io/v1alpha2"
PROJECT: Final = "e632aba927ea4ac2b575ec1603d56f10"
_CA: Final = "/etc/kubeedge/ca/rootCA.crt"
_CERTIFICATE: Final = "/etc/kubeedge/certs/server.crt"
_KEY: Final = "/etc/kubeedge/certs/server.key"
_NODE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _hostname() -> str:
    return socket.gethostname().lower()


class Database(msgspec.Struct, kw_only=True):
    """driverName and aliasName mean nothing; they are KubeEdge's."""

    driverName: str = "sqlite3"
    aliasName: str = "default"
    dataSource: str = "/var/lib/kubeedge/edgecore.db"


class WebSocket(msgspec.Struct, kw_only=True):
    """Times in seconds. readDeadline is not used: silence is found by pings."""

    enable: bool = True
    handshakeTimeout: int = 30
    readDeadline: int = 15
    writeDeadline: int = 15
    server: str = msgspec.field(default_factory=lambda: f"{local_address()}:10000")


class Quic(msgspec.Struct, kw_only=True):
    """Not built yet; ``enable: true`` is an error."""

    enable: bool = False
    handshakeTimeout: int = 30
    readDeadline: int = 15
    writeDeadline: int = 15
    server: str = msgspec.field(default_factory=lambda: f"{local_address()}:10001")


class EdgeHub(msgspec.Struct, kw_only=True):
    """The link to the cloud. heartbeat: seconds."""

    enable: bool = True
    heartbeat: int = 15
    messageQPS: int = 30
    messageBurst: int = 60
    projectID: str = PROJECT
    tlsCaFile: str = _CA
    tlsCertFile: str = _CERTIFICATE
    tlsPrivateKeyFile: str = _KEY
    httpServer: str = msgspec.field(default_factory=lambda: f"https://{local_address()}:10002")
    token: str = ""
    rotateCertificates: bool = True
    websocket: WebSocket = msgspec.field(default_factory=WebSocket)
    quic: Quic = msgspec.field(default_factory=Quic)


class Edged(msgspec.Struct, kw_only=True):
    """Pods and the node. runtime: which engine runs containers; auto takes docker when it answers, else processes."""

    enable: bool = True
    hostnameOverride: str = msgspec.field(default_factory=_hostname)
    nodeIP: str = ""
    customInterfaceName: str = ""
    nodeLabels: dict[str, str] = {}
    registerSchedulable: bool = True
    registerNodeNamespace: str = "default"
    reportEvent: bool = False
    rootDirectory: str = "/var/lib/kubelet"
    podSandboxImage: str = "kubeedge/pause:3.6"
    runtimeCgroups: str = ""
    maxContainerCount: int = -1
    maxPerPodContainerCount: int = 1
    minimumGCAge: str = "0s"
    seccompDefault: bool = False
    experimentalMounterPath: str = ""
    experimentalNodeAllocatableIgnoreEvictionThreshold: bool = False
    windowsService: bool = False
    windowsPriorityClass: str = ""
    runtime: Literal["auto", "docker", "process"] = "auto"
    dockerEndpoint: str = "unix:///var/run/docker.sock"
    tailoredKubeletConfig: KubeletConfig = msgspec.field(default_factory=KubeletConfig)


class EventBusTLS(msgspec.Struct, kw_only=True):
    enable: bool = False
    tlsMqttCAFile: str = _CA
    tlsMqttCertFile: str = _CERTIFICATE
    tlsMqttPrivateKeyFile: str = _KEY


class EventBus(msgspec.Struct, kw_only=True):
    """mqttBrokerConfig: a file in the form of mosquitto.conf for the internal broker; then mqttServerInternal does not count.
    broker: the internal one, ``edgecore`` or ``amqtt``."""

    enable: bool = True
    broker: str = "edgecore"
    mqttMode: int = 2
    mqttServerExternal: str = "tcp://127.0.0.1:1883"
    mqttServerInternal: str = "tcp://127.0.0.1:1884"
    mqttBrokerConfig: str = ""
    mqttQOS: int = 0
    mqttRetain: bool = False
    mqttSessionQueueSize: int = 100
    mqttSubClientID: str = ""
    mqttPubClientID: str = ""
    mqttUsername: str = ""
    mqttPassword: str = ""
    eventBusTLS: EventBusTLS = msgspec.field(default_factory=EventBusTLS)


class MetaServer(msgspec.Struct, kw_only=True):
    enable: bool = False
    server: str = "127.0.0.1:10550"
    dummyServer: str = "169.254.30.10:10550"
    tlsCaFile: str = _CA
    tlsCertFile: str = _CERTIFICATE
    tlsPrivateKeyFile: str = _KEY
    serviceAccountIssuers: list[str] = msgspec.field(default_factory=lambda: ["https://kubernetes.default.svc.cluster.local"])
    apiAudiences: list[str] = []
    serviceAccountKeyFiles: list[str] = []


class MetaManager(msgspec.Struct, kw_only=True):
    """remoteQueryTimeout: seconds."""

    enable: bool = True
    contextSendGroup: str = "hub"
    contextSendModule: str = "websocket"
    remoteQueryTimeout: int = 60
    metaServer: MetaServer = msgspec.field(default_factory=MetaServer)


class ServiceBus(msgspec.Struct, kw_only=True):
    enable: bool = False
    server: str = "127.0.0.1"
    port: int = 9060
    timeout: int = 60


class DeviceTwin(msgspec.Struct, kw_only=True):
    enable: bool = True
    dmiSockPath: str = "/etc/kubeedge/"


class EdgeStream(msgspec.Struct, kw_only=True):
    enable: bool = False
    server: str = msgspec.field(default_factory=lambda: f"{local_address()}:10004")
    handshakeTimeout: int = 30
    readDeadline: int = 15
    writeDeadline: int = 15
    tlsTunnelCAFile: str = _CA
    tlsTunnelCertFile: str = _CERTIFICATE
    tlsTunnelPrivateKeyFile: str = _KEY


class Switch(msgspec.Struct, kw_only=True):
    enable: bool = False


class Modules(msgspec.Struct, kw_only=True):
    edgeHub: EdgeHub = msgspec.field(default_factory=EdgeHub)
    edged: Edged = msgspec.field(default_factory=Edged)
    metaManager: MetaManager = msgspec.field(default_factory=MetaManager)
    eventBus: EventBus = msgspec.field(default_factory=EventBus)
    deviceTwin: DeviceTwin = msgspec.field(default_factory=DeviceTwin)
    serviceBus: ServiceBus = msgspec.field(default_factory=ServiceBus)
    edgeStream: EdgeStream = msgspec.field(default_factory=EdgeStream)
    taskManager: Switch = msgspec.field(default_factory=Switch)
    dbTest: Switch = msgspec.field(default_factory=Switch)


class EdgeCore(msgspec.Struct, kw_only=True):
    """The whole file."""

    apiVersion: str = API_VERSION
    kind: str = "EdgeCore"
    database: Database = msgspec.field(default_factory=Database)
    edgecoreVersion: str = ""
    featureGates: dict[str, bool] = {}
    modules: Modules = msgspec.field(default_factory=Modules)

    @property
    def node(self) -> str:
        """The node's name everywhere."""
        return self.modules.edged.hostnameOverride

    @property
    def url(self) -> str:
        """Where the link goes. The path is KubeEdge's; cloudcore ignores it."""
        hub = self.modules.edgeHub
        return f"wss://{hub.websocket.server}/{hub.projectID}/{self.node}/events"


def load(path: Path) -> EdgeCore:
    """Reads and checks a file.

    Raises SettingsError: one line that names file, line and remedy.
    """
    config = settings.load(path, EdgeCore)
    check(config, str(path))
    return config


def check(config: EdgeCore, origin: str) -> None:
    """What types cannot say (KubeEdge 1.23: edgecore/v1alpha2/validation, and more).

    Raises SettingsError.
    """
    for problem in _problems(config):
        raise SettingsError(f"{origin}: {problem}")


def _problems(config: EdgeCore) -> list[str]:
    found: list[str] = []
    if config.apiVersion != API_VERSION or config.kind != "EdgeCore":
        found.append(f"`apiVersion: {API_VERSION}` and `kind: EdgeCore` are needed, not {config.apiVersion!r}, {config.kind!r}")
    modules = config.modules
    if not _NODE_NAME.fullmatch(config.node) or len(config.node) > 253:
        found.append(
            f"`modules.edged.hostnameOverride`: {config.node!r} is no node name: "
            "lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit"
        )
    if modules.edgeHub.enable:
        found += _hub_problems(modules.edgeHub)
    if modules.edged.enable:
        found += _edged_problems(modules.edged)
    if modules.eventBus.enable:
        found += _bus_problems(modules.eventBus)
    if modules.metaManager.remoteQueryTimeout <= 0:
        found.append("`modules.metaManager.remoteQueryTimeout` must be more than 0 seconds")
    return found


def _hub_problems(hub: EdgeHub) -> list[str]:
    found: list[str] = []
    if hub.quic.enable == hub.websocket.enable:
        found.append("`modules.edgeHub`: websocket.enable and quic.enable cannot be true and false at the same time")
    elif hub.quic.enable:
        found.append("`modules.edgeHub.quic.enable`: QUIC is not available in this version; use websocket.enable")
    if not 1 <= hub.heartbeat < 30:
        found.append(f"`modules.edgeHub.heartbeat`: {hub.heartbeat} must be from 1 to 29 seconds: the cloud gives up after 30")
    rates = ("messageQPS", "messageBurst")
    found += [f"`modules.edgeHub.{name}` must not be negative" for name in rates if getattr(hub, name) < 0]
    host, _, port = hub.websocket.server.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        found.append(f"`modules.edgeHub.websocket.server`: {hub.websocket.server!r} must be <host>:<port>: 10.0.0.5:10000")
    times = ("handshakeTimeout", "writeDeadline")
    wrong = [name for name in times if getattr(hub.websocket, name) <= 0]
    found += [f"`modules.edgeHub.websocket.{name}` must be more than 0 seconds" for name in wrong]
    if not hub.httpServer.startswith("https://"):
        found.append(f"`modules.edgeHub.httpServer`: {hub.httpServer!r} must begin with https://")
    return found


def _edged_problems(edged: Edged) -> list[str]:
    kubelet = edged.tailoredKubeletConfig
    found = []
    if kubelet.cgroupDriver not in ("cgroupfs", "systemd"):
        found.append(f"`modules.edged.tailoredKubeletConfig.cgroupDriver`: {kubelet.cgroupDriver!r} is not cgroupfs or systemd")
    for name in ("syncFrequency", "nodeStatusUpdateFrequency", "nodeStatusReportFrequency"):
        try:
            if seconds(getattr(kubelet, name)) <= 0:
                found.append(f"`modules.edged.tailoredKubeletConfig.{name}` must be more than 0")
        except ValueError as error:
            found.append(f"`modules.edged.tailoredKubeletConfig.{name}`: {error}")
    return found


def _bus_problems(bus: EventBus) -> list[str]:
    if bus.mqttMode not in (0, 1, 2):
        return [f"`modules.eventBus.mqttMode`: {bus.mqttMode} is not 0, 1 or 2"]
    found = []
    if bus.mqttQOS not in (0, 1, 2):
        found.append(f"`modules.eventBus.mqttQOS`: {bus.mqttQOS} is not 0, 1 or 2")
    try:
        if bus.mqttMode < 2 and address(bus.mqttServerInternal)[1]:
            found.append(
                "`modules.eventBus.mqttServerInternal`: TLS needs a file at mqttBrokerConfig; else use tcp:// or unix:///"
            )
    except AddressError as error:
        found.append(f"`modules.eventBus.mqttServerInternal`: {error}")
    try:
        if bus.mqttMode > 0 and not address(bus.mqttServerExternal)[1] and bus.eventBusTLS.enable:
            found.append("`modules.eventBus.eventBusTLS.enable`: mqttServerExternal must begin with ssl:// for that")
    except AddressError as error:
        found.append(f"`modules.eventBus.mqttServerExternal`: {error}")
    return found or _broker_problems(bus)


def _broker_problems(bus: EventBus) -> list[str]:
    """The addresses are right."""
    if bus.broker not in ("edgecore", "amqtt"):
        return [f"`modules.eventBus.broker`: {bus.broker!r} is not edgecore or amqtt"]
    if bus.broker == "edgecore" or bus.mqttMode == 2:
        return []
    where = address(bus.mqttServerInternal)[0]
    found = []
    if isinstance(where, str) or not is_loopback(where[0]):
        found.append(
            "`modules.eventBus.mqttServerInternal`: amqtt serves this machine alone, at tcp://127.0.0.1:<port>; "
            "for anything else take `modules.eventBus.broker` away"
        )
    if bus.mqttBrokerConfig:
        found.append("`modules.eventBus.mqttBrokerConfig`: is for edgecore's own broker, not for amqtt; take one of the two away")
    return found


_USED_BY_EDGED: Final = frozenset(
    {
        "enable",
        "hostnameOverride",
        "nodeIP",
        "customInterfaceName",
        "nodeLabels",
        "registerSchedulable",
        "rootDirectory",
        "podSandboxImage",
        "runtime",
        "dockerEndpoint",
        "tailoredKubeletConfig",
    }
)
_USED_OF_KUBELET: Final = frozenset(
    {
        "podLogsDir",
        "registerWithTaints",
        "registerNode",
        "maxPods",
        "nodeStatusUpdateFrequency",
        "nodeStatusReportFrequency",
        "syncFrequency",
        "nodeLeaseDurationSeconds",
        "serializeImagePulls",
        "clusterDNS",
        "clusterDomain",
        "systemReserved",
        "kubeReserved",
        "staticPodPath",
    }
)


def not_built(config: EdgeCore) -> list[str]:
    """Keys that switch on what this version does not have, or that were changed and have no effect in it."""
    modules = config.modules
    switches = {
        "metaManager.metaServer": modules.metaManager.metaServer.enable,
        "serviceBus": modules.serviceBus.enable,
        "edgeStream": modules.edgeStream.enable,
        "taskManager": modules.taskManager.enable,
    }
    found = [f"modules.{name}.enable" for name, enabled in switches.items() if enabled]
    found += [] if modules.metaManager.enable else ["modules.metaManager.enable"]
    found += [f"featureGates.{name}" for name in config.featureGates]
    edged = modules.edged
    found += [f"modules.edged.{name}" for name in _changed(edged, Edged(), _USED_BY_EDGED)]
    kubelet = _changed(edged.tailoredKubeletConfig, KubeletConfig(), _USED_OF_KUBELET)
    return found + [f"modules.edged.tailoredKubeletConfig.{name}" for name in kubelet]


def static_pods(config: EdgeCore) -> list[Path]:
    """The files of static pods, which this version does not run."""
    folder = Path(config.modules.edged.tailoredKubeletConfig.staticPodPath)
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
    except OSError:
        return []


def _changed(block: msgspec.Struct, default: msgspec.Struct, used: frozenset[str]) -> list[str]:
    """The keys that differ from the default and are not used."""
    unused = [name for name in block.__struct_fields__ if name not in used]
    return [name for name in unused if not _same(getattr(block, name), getattr(default, name))]


def _same(found: object, default: object) -> bool:
    """``2m0s``, as KubeEdge writes it, is no change of ``2m``."""
    if found == default or not (isinstance(found, str) and isinstance(default, str)):
        return found == default
    try:
        return seconds(found) == seconds(default)
    except ValueError:
        return False


_HEADER: Final = """\
# {title}
# All keys that the program knows, with KubeEdge's names; unknown keys are errors.
# Paths and addresses are those of the machine that printed this.

"""


def default_text() -> str:
    """What ``--defaultconfig`` prints."""
    return _HEADER.format(title="Configuration of edgecore with every default") + settings.dump(EdgeCore())


def minimal_text() -> str:
    """What ``--minconfig`` prints: what a node has to be told. Saved as it is, it works (KubeEdge's switches the hub off)."""
    default = EdgeCore()
    hub, edged = default.modules.edgeHub, default.modules.edged
    tree: dict[str, Any] = {
        "apiVersion": default.apiVersion,
        "kind": default.kind,
        "database": {"dataSource": default.database.dataSource},
        "modules": {
            "edgeHub": {"httpServer": hub.httpServer, "token": "", "websocket": {"server": hub.websocket.server}},
            "edged": {"hostnameOverride": edged.hostnameOverride, "runtime": edged.runtime},
        },
    }
    import yaml

    return _HEADER.format(title="The smallest configuration of edgecore that is of use") + yaml.safe_dump(tree, sort_keys=False)
