"""Makes edged from the configuration. Its engine is opened late and as often as it takes: a container engine that is down
when edgecore starts must not keep the link down."""

from __future__ import annotations

import logging
from pathlib import Path

from edgecore.app import program_version
from edgecore.config import EdgeCore
from edgecore.edged.settings import EdgedSettings
from edgecore.kubelet_config import seconds

log = logging.getLogger(__name__)


def edged_settings(config: EdgeCore) -> EdgedSettings:
    """``modules.edged`` in edged's own words."""
    edged, kubelet = config.modules.edged, config.modules.edged.tailoredKubeletConfig
    return EdgedSettings(
        node_name=config.node,
        version=program_version(),
        root=Path(edged.rootDirectory),
        pod_logs=Path(kubelet.podLogsDir),
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
        report_events=edged.reportEvent,
        serialize_image_pulls=kubelet.serializeImagePulls,
        cluster_dns=kubelet.clusterDNS,
        cluster_domain=kubelet.clusterDomain,
        resolv_conf=Path(kubelet.resolvConf),
        system_reserved=kubelet.systemReserved,
        kube_reserved=kubelet.kubeReserved,
    )
