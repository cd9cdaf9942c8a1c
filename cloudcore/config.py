"""cloudcore.yaml, ``cloudcore.config.kubeedge.io/v1alpha1``: every key of KubeEdge 1.23, so that an existing file is accepted.

Source of keys and defaults: KubeEdge 1.23: staging/src/github.com/kubeedge/api/apis/componentconfig/cloudcore/v1alpha1.
Keys that have no effect here are read all the same; ``notices`` names those that say something else than the default. What
cannot be switched off is an error when it is.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from beehive import settings
from beehive.settings import SettingsError

API_VERSION: Final = "cloudcore.config.kubeedge.io/v1alpha1"
DEFAULT_PATH: Final = Path("/etc/kubeedge/config/cloudcore.yaml")
ANY: Final = "0.0.0.0"  # noqa: S104 - the documented default: a cloud half is there to be reached


class _Block(msgspec.Struct, rename="camel", kw_only=True):
    """A block of the file."""


class MonitorServer(_Block):
    """bind_address: ``IP:port`` for probes and metrics; empty: none."""

    bind_address: str = "127.0.0.1:9091"
    enable_profiling: bool = False


class CommonConfig(_Block):
    tunnel_port: int = 10350
    monitor_server: MonitorServer = msgspec.field(default_factory=MonitorServer)


class KubeAPIConfig(msgspec.Struct, kw_only=True):
    """Where the Kubernetes API is. Both ``master`` and ``kubeConfig`` empty: in-cluster, or the embedded API if that is on."""

    master: str = ""
    content_type: str = msgspec.field(default="application/vnd.kubernetes.protobuf", name="contentType")
    qps: int = 2500
    burst: int = 5000
    kube_config: str = msgspec.field(default="", name="kubeConfig")


class Listener(_Block):
    enable: bool = True
    address: str = ANY
    port: int = 10000


class Quic(_Block):
    enable: bool = False
    address: str = ANY
    port: int = 10001
    max_incoming_streams: int = 10000


class UnixSocket(_Block):
    enable: bool = True
    address: str = "unix:///var/lib/kubeedge/kubeedge.sock"


class NodeMode(_Block):
    enable: bool = True


class AuthorizationMode(_Block):
    node: NodeMode = msgspec.field(default_factory=NodeMode)


class Authorization(_Block):
    """Kept for the file's sake: this cloudcore checks every message of every node, always."""

    enable: bool = False
    debug: bool = True
    modes: list[AuthorizationMode] = msgspec.field(default_factory=lambda: [AuthorizationMode()])


class CloudHub(msgspec.Struct, kw_only=True, rename="camel"):
    """keepalive_interval, write_timeout: seconds. edge_cert_signing_duration: days. token_refresh_duration: hours."""

    enable: bool = True
    keepalive_interval: int = 30
    node_limit: int = 500
    write_timeout: int = 30
    tls_ca_file: str = msgspec.field(default="/etc/kubeedge/ca/rootCA.crt", name="tlsCAFile")
    tls_ca_key_file: str = msgspec.field(default="/etc/kubeedge/ca/rootCA.key", name="tlsCAKeyFile")
    tls_cert_file: str = "/etc/kubeedge/certs/server.crt"
    tls_private_key_file: str = "/etc/kubeedge/certs/server.key"
    advertise_address: list[str] = msgspec.field(default_factory=list)
    dns_names: list[str] = msgspec.field(default_factory=lambda: [""])
    edge_cert_signing_duration: int = 365
    token_refresh_duration: int = 12
    quic: Quic = msgspec.field(default_factory=Quic)
    unixsocket: UnixSocket = msgspec.field(default_factory=UnixSocket)
    websocket: Listener = msgspec.field(default_factory=Listener)
    https: Listener = msgspec.field(default_factory=lambda: Listener(port=10002))
    authorization: Authorization = msgspec.field(default_factory=Authorization)


class EdgeControllerBuffer(_Block):
    """Sizes of queues of KubeEdge's EdgeController; here every queue is bounded by what it holds."""

    process_event: int = 1024
    update_pod_status: int = 1024
    update_node_status: int = 1024
    query_config_map: int = 1024
    query_secret: int = 1024
    query_persistent_volume: int = 1024
    query_persistent_volume_claim: int = 1024
    query_volume_attachment: int = 1024
    create_node: int = 1024
    patch_node: int = 1274
    query_node: int = 1524
    update_node: int = 1024
    patch_pod: int = 1024
    delete_pod: int = 1024
    create_lease: int = 1524
    query_lease: int = 1024
    service_account_token: int = 1024
    create_pod: int = 1024
    certificate_signing_request: int = 1024
    pod_event: int = 1
    config_map_event: int = 1
    secret_event: int = 1
    rules_event: int = 1
    rule_endpoints_event: int = 1


class EdgeControllerLoad(_Block):
    """Numbers of workers of KubeEdge's EdgeController; here each node has its own bounded number of tasks."""

    process_event_workers: int = 4
    update_pod_status_workers: int = 1
    update_node_status_workers: int = 1
    query_config_map_workers: int = 100
    query_secret_workers: int = 100
    query_persistent_volume_workers: int = 4
    query_persistent_volume_claim_workers: int = 4
    query_volume_attachment_workers: int = 4
    create_node_workers: int = 100
    patch_node_workers: int = 110
    query_node_workers: int = 500
    update_node_workers: int = 4
    patch_pod_workers: int = 100
    delete_pod_workers: int = 100
    create_lease_workers: int = 500
    query_lease_workers: int = 100
    update_rule_status_workers: int = msgspec.field(default=4, name="UpdateRuleStatusWorkers")
    service_account_token_workers: int = msgspec.field(default=100, name="ServiceAccountTokenWorkers")
    create_pod_works: int = msgspec.field(default=4, name="CreatePodWorks")
    certificate_signing_request_workers: int = 4


class EdgeController(_Block):
    enable: bool = True
    node_update_frequency: int = 10
    buffer: EdgeControllerBuffer = msgspec.field(default_factory=EdgeControllerBuffer)
    load: EdgeControllerLoad = msgspec.field(default_factory=EdgeControllerLoad)


class DeviceControllerBuffer(_Block):
    update_device_twins: int = 1024
    update_device_status: int = 1024
    device_event: int = 1
    device_model_event: int = 1
    device_status_event: int = 0


class DeviceControllerLoad(_Block):
    update_device_status_workers: int = 1


class DeviceController(_Block):
    enable: bool = True
    buffer: DeviceControllerBuffer = msgspec.field(default_factory=DeviceControllerBuffer)
    load: DeviceControllerLoad = msgspec.field(default_factory=DeviceControllerLoad)


class TaskManagerBuffer(_Block):
    task_status: int = 1024
    task_event: int = 1


class TaskManagerLoad(_Block):
    task_workers: int = 1


class TaskManager(_Block):
    enable: bool = False
    buffer: TaskManagerBuffer = msgspec.field(default_factory=TaskManagerBuffer)
    load: TaskManagerLoad = msgspec.field(default_factory=TaskManagerLoad)


class SyncController(_Block):
    enable: bool = True


class DynamicController(_Block):
    enable: bool = False


class CloudStream(msgspec.Struct, kw_only=True, rename="camel"):
    enable: bool = False
    tls_tunnel_ca_file: str = msgspec.field(default="/etc/kubeedge/ca/rootCA.crt", name="tlsTunnelCAFile")
    tls_tunnel_cert_file: str = "/etc/kubeedge/certs/server.crt"
    tls_tunnel_private_key_file: str = "/etc/kubeedge/certs/server.key"
    tunnel_port: int = 10004
    tls_stream_ca_file: str = msgspec.field(default="/etc/kubeedge/ca/streamCA.crt", name="tlsStreamCAFile")
    tls_stream_cert_file: str = "/etc/kubeedge/certs/stream.crt"
    tls_stream_private_key_file: str = "/etc/kubeedge/certs/stream.key"
    stream_port: int = 10003


class Router(_Block):
    enable: bool = False
    address: str = ANY
    port: int = 9443
    rest_timeout: int = 60


class IptablesManager(_Block):
    enable: bool = True
    mode: Literal["internal", "external", ""] = "internal"


class Modules(_Block):
    cloud_hub: CloudHub = msgspec.field(default_factory=CloudHub)
    edge_controller: EdgeController = msgspec.field(default_factory=EdgeController)
    device_controller: DeviceController = msgspec.field(default_factory=DeviceController)
    task_manager: TaskManager = msgspec.field(default_factory=TaskManager)
    sync_controller: SyncController = msgspec.field(default_factory=SyncController)
    dynamic_controller: DynamicController = msgspec.field(default_factory=DynamicController)
    cloud_stream: CloudStream = msgspec.field(default_factory=CloudStream)
    router: Router = msgspec.field(default_factory=Router)
    iptables_manager: IptablesManager = msgspec.field(default_factory=IptablesManager)


class Standalone(_Block):
    """The embedded Kubernetes API. kube_config: where the administrator's kubeconfig is written at the first start."""

    enable: bool = False
    address: str = ANY
    port: int = 6443
    data_dir: str = "/var/lib/kubeedge/cloudcore"
    kube_config: str = "/etc/kubeedge/kubeconfig.yaml"


class CloudCoreConfig(_Block):
    """The whole file."""

    api_version: str = API_VERSION
    kind: str = "CloudCore"
    common_config: CommonConfig = msgspec.field(default_factory=CommonConfig)
    kube_api_config: KubeAPIConfig = msgspec.field(default_factory=KubeAPIConfig, name="kubeAPIConfig")
    modules: Modules = msgspec.field(default_factory=Modules)
    feature_gates: dict[str, bool] = msgspec.field(default_factory=dict)
    standalone: Standalone = msgspec.field(default_factory=Standalone)


def load(path: Path) -> CloudCoreConfig:
    """Reads and checks the file. Raises SettingsError with one line for a person."""
    config = settings.load(path, CloudCoreConfig)
    check(config, origin=str(path))
    return config


def check(config: CloudCoreConfig, *, origin: str) -> None:
    """What types cannot say. Raises SettingsError naming the key."""
    if config.kind != "CloudCore":
        raise SettingsError(f"{origin}: `kind` is {config.kind!r}; this program reads CloudCore")
    hub = config.modules.cloud_hub
    needed = {
        "modules.cloudHub.enable": hub.enable,
        "modules.cloudHub.websocket.enable": hub.websocket.enable,
        "modules.edgeController.enable": config.modules.edge_controller.enable,
    }
    for key, on in needed.items():
        if not on:
            raise SettingsError(f"{origin}: `{key}`: this version cannot do without it; remove the key, or set it to true")
    for where, listener in (("websocket", hub.websocket), ("https", hub.https)):
        if listener.enable:
            _check_address(origin, f"modules.cloudHub.{where}", listener.address, listener.port)
    _check_monitor(config.common_config.monitor_server.bind_address, origin)
    if config.standalone.enable:
        _check_address(origin, "standalone", config.standalone.address, config.standalone.port)
    numbers = {
        "modules.cloudHub.keepaliveInterval": hub.keepalive_interval,
        "modules.cloudHub.nodeLimit": hub.node_limit,
        "modules.cloudHub.writeTimeout": hub.write_timeout,
        "modules.cloudHub.edgeCertSigningDuration": hub.edge_cert_signing_duration,
        "modules.cloudHub.tokenRefreshDuration": hub.token_refresh_duration,
    }
    for key, value in numbers.items():
        if value <= 0:
            raise SettingsError(f"{origin}: `{key}`: {value} must be greater than 0")
    _check_names(config, origin)


def _check_names(config: CloudCoreConfig, origin: str) -> None:
    hub = config.modules.cloud_hub
    if (master := config.kube_api_config.master) and not master.startswith(("https://", "http://")):
        raise SettingsError(f"{origin}: `kubeAPIConfig.master`: {master!r} is not a URL like https://host:6443")
    for name in hub.dns_names:
        if not name.isascii():
            raise SettingsError(f"{origin}: `modules.cloudHub.dnsNames`: {name!r} must be written in ASCII (xn--...)")
    for address in hub.advertise_address:
        if not _is_ip(address):
            raise SettingsError(
                f"{origin}: `modules.cloudHub.advertiseAddress`: {address!r} is not an IP address; names go into `dnsNames`"
            )


def _check_monitor(bind: str, origin: str) -> None:
    try:
        if bind:
            host_and_port(bind)
    except ValueError as error:
        raise SettingsError(f"{origin}: `commonConfig.monitorServer.bindAddress`: {error}") from error


def host_and_port(bind: str) -> tuple[str, int]:
    """Of ``IP:port`` or ``[IP]:port``. Raises ValueError."""
    host, colon, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not _is_ip(host) or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{bind!r} is not IP:port, such as 127.0.0.1:9091 or 0.0.0.0:9091")
    return host, int(port)


def _check_address(origin: str, key: str, address: str, port: int) -> None:
    if not _is_ip(address):
        raise SettingsError(f"{origin}: `{key}.address`: {address!r} is not an IP address to listen on")
    if not 0 <= port <= 65535:
        raise SettingsError(f"{origin}: `{key}.port`: {port} is not a port (1..65535, or 0 for any free one)")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_LATER: Final = ("cloudHub.quic", "taskManager", "dynamicController", "cloudStream", "router")
"""Modules that are off by default and not built yet."""

_WITHOUT_EFFECT: Final = (
    "commonConfig.tunnelPort",
    "commonConfig.monitorServer.enableProfiling",
    "kubeAPIConfig.contentType",
    "modules.cloudHub.unixsocket",
    "modules.cloudHub.authorization",
    "modules.edgeController.nodeUpdateFrequency",
    "modules.edgeController.buffer",
    "modules.edgeController.load",
    "modules.deviceController",
    "modules.syncController",
    "modules.iptablesManager",
)


def notices(config: CloudCoreConfig) -> list[str]:
    """What the file asks for and does not get, one line each."""
    found, default = msgspec.to_builtins(config), msgspec.to_builtins(CloudCoreConfig())
    lines = [
        f"modules.{key} is enabled in the configuration but not part of this version: it has no effect"
        for key in _LATER
        if _at(found["modules"], key)["enable"]
    ]
    lines += [
        f"{key} differs from its default in the configuration but has no effect in this version"
        for key in _WITHOUT_EFFECT
        if _at(found, key) != _at(default, key)
    ]
    lines += [f"featureGates.{gate} is on but has no effect in this version" for gate, on in config.feature_gates.items() if on]
    if not config.modules.cloud_hub.https.enable:
        lines.append("modules.cloudHub.https is switched off: no node can join, or renew its certificate, through this cloudcore")
    return lines


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree[key]
    return tree


def default_text() -> str:
    """The whole configuration with every default."""
    return _HEAD + settings.dump(CloudCoreConfig())


def minimal_text() -> str:
    """What a person usually changes, nothing else."""
    full = msgspec.to_builtins(CloudCoreConfig())
    hub = full["modules"]["cloudHub"]
    kept = {key: hub[key] for key in ("advertiseAddress", "dnsNames", "nodeLimit", "websocket", "https")}
    minimal = {
        "apiVersion": full["apiVersion"],
        "kind": full["kind"],
        "kubeAPIConfig": {key: full["kubeAPIConfig"][key] for key in ("master", "kubeConfig")},
        "modules": {"cloudHub": kept | {"nodeLimit": 1000}},
        "standalone": full["standalone"],
    }
    import yaml

    return _HEAD + yaml.safe_dump(minimal, sort_keys=False)


_HEAD = """\
# The configuration of cloudcore. Keys that are left out keep their defaults; unknown keys are errors.
# `cloudcore --minconfig` prints what is usually changed, `cloudcore --defaultconfig` everything.
# Durations of cloudHub: keepaliveInterval and writeTimeout in seconds, tokenRefreshDuration in hours, certificates in days.

"""
