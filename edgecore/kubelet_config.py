"""``modules.edged.tailoredKubeletConfig``: kubelet's own names, with KubeEdge's defaults for an edge.

Source: KubeEdge 1.23: api/apis/componentconfig/edgecore/v1alpha2 (TailoredKubeletConfiguration). Every key is known, so that
a file of a real edgecore loads; what is not used yet is ignored, and named at the start if it was changed. Durations are Go's:
``10s``, ``5m``, ``1h30m``.
"""

# ruff: noqa: N815 - these are the names in the file

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _logging() -> dict[str, Any]:
    unbuffered = {"infoBufferSize": "0"}
    options = {"json": dict(unbuffered), "text": dict(unbuffered)}
    return {"flushFrequency": "5s", "format": "text", "options": options, "verbosity": 0}


def seconds(text: str) -> float:
    """A Go duration in seconds.

    Raises ValueError.
    """
    parts = _DURATION.findall(text)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        raise ValueError(f"{text!r} is not a duration such as 10s or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _eviction() -> dict[str, str]:
    return {
        "imagefs.available": "15%",
        "imagefs.inodesFree": "5%",
        "memory.available": "100Mi",
        "nodefs.available": "10%",
        "nodefs.inodesFree": "5%",
    }


class KubeletConfig(msgspec.Struct, kw_only=True):
    """Keys that the edge uses are typed; the others are taken as they are."""

    address: str = "127.0.0.1"
    readOnlyPort: int = 10350
    staticPodPath: str = "/etc/kubeedge/manifests"
    staticPodURL: str = ""
    staticPodURLHeader: dict[str, list[str]] = {}
    podLogsDir: str = "/var/log/pods"
    syncFrequency: str = "1m"
    fileCheckFrequency: str = "20s"
    httpCheckFrequency: str = "20s"
    containerRuntimeEndpoint: str = "unix:///run/containerd/containerd.sock"
    imageServiceEndpoint: str = "unix:///run/containerd/containerd.sock"
    runtimeRequestTimeout: str = "2m"
    cgroupDriver: str = "cgroupfs"
    cgroupsPerQOS: bool = True
    clusterDomain: str = "cluster.local"
    clusterDNS: list[str] = []
    resolvConf: str = "/etc/resolv.conf"
    hairpinMode: str = "promiscuous-bridge"
    configMapAndSecretChangeDetectionStrategy: str = "Get"
    contentType: str = "application/json"
    registryPullQPS: int = 5
    registryBurst: int = 10
    serializeImagePulls: bool = True
    maxParallelImagePulls: int | None = None
    eventRecordQPS: int = 50
    eventBurst: int = 100
    enableDebuggingHandlers: bool = True
    enableProfilingHandler: bool = True
    enableDebugFlagsHandler: bool = True
    enableSystemLogHandler: bool = True
    enableSystemLogQuery: bool = False
    enableContentionProfiling: bool = False
    enableControllerAttachDetach: bool = True
    localStorageCapacityIsolation: bool = True
    registerNode: bool = True
    registerWithTaints: list[dict[str, Any]] = []
    nodeStatusUpdateFrequency: str = "10s"
    nodeStatusReportFrequency: str = "5m"
    nodeLeaseDurationSeconds: int = 40
    nodeStatusMaxImages: int = 0
    maxPods: int = 110
    podsPerCore: int = 0
    podPidsLimit: int = -1
    podCIDR: str = ""
    imageMinimumGCAge: str = "2m"
    imageMaximumGCAge: str = "0s"
    imageGCHighThresholdPercent: int = 85
    imageGCLowThresholdPercent: int = 80
    imagePullCredentialsVerificationPolicy: str = ""
    preloadedImagesVerificationAllowlist: list[str] = []
    evictionHard: dict[str, str] = msgspec.field(default_factory=_eviction)
    evictionPressureTransitionPeriod: str = "5m"
    evictionSoft: dict[str, str] = {}
    evictionSoftGracePeriod: dict[str, str] = {}
    evictionMaxPodGracePeriod: int = 0
    evictionMinimumReclaim: dict[str, str] = {}
    mergeDefaultEvictionSettings: bool = False
    enforceNodeAllocatable: list[str] = msgspec.field(default_factory=lambda: ["pods"])
    systemReserved: dict[str, str] = {}
    kubeReserved: dict[str, str] = {}
    systemReservedCgroup: str = ""
    kubeReservedCgroup: str = ""
    reservedSystemCPUs: str = ""
    reservedMemory: list[dict[str, Any]] = []
    qosReserved: dict[str, str] = {}
    kubeletCgroups: str = ""
    systemCgroups: str = ""
    cgroupRoot: str = ""
    cpuManagerPolicy: str = "none"
    cpuManagerReconcilePeriod: str = "10s"
    cpuManagerPolicyOptions: dict[str, str] = {}
    cpuCFSQuota: bool = True
    cpuCFSQuotaPeriod: str = "100ms"
    memoryManagerPolicy: str = "None"
    topologyManagerPolicy: str = "none"
    topologyManagerScope: str = "container"
    topologyManagerPolicyOptions: dict[str, str] = {}
    memoryThrottlingFactor: float = 0.9
    memorySwap: dict[str, Any] = {}
    failSwapOn: bool = False
    failCgroupV1: bool = False
    oomScoreAdj: int = -999
    singleProcessOOMKill: bool | None = None
    containerLogMaxSize: str = "10Mi"
    containerLogMaxFiles: int = 5
    containerLogMaxWorkers: int = 1
    containerLogMonitorInterval: str = "10s"
    maxOpenFiles: int = 1000000
    makeIPTablesUtilChains: bool = True
    iptablesMasqueradeBit: int = 14
    iptablesDropBit: int = 15
    shutdownGracePeriod: str = "0s"
    shutdownGracePeriodCriticalPods: str = "0s"
    shutdownGracePeriodByPodPriority: list[dict[str, Any]] = []
    streamingConnectionIdleTimeout: str = "4h"
    volumePluginDir: str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"
    volumeStatsAggPeriod: str = "1m"
    seccompDefault: bool = False
    allowedUnsafeSysctls: list[str] = []
    protectKernelDefaults: bool = False
    kernelMemcgNotification: bool = False
    logging: dict[str, Any] = msgspec.field(default_factory=_logging)
    crashLoopBackOff: dict[str, Any] = {}
    featureGates: dict[str, bool] = {}
    showHiddenMetricsForVersion: str = ""
    userNamespaces: dict[str, Any] = {}
