"""One real node for a cluster of the tests: containerd and the CNI plugins of Debian, kubelet, kube-proxy, in a Machine."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from cluster import DAYS, Cluster
from e2e.harness import eventually
from images import archive
from machine import Machine
from programs import Unavailable

from edgecore.edged.runtime.pause import architecture, pause_tar
from viaduct.certificates import NODE_PREFIX, NODES_GROUP

NAME = "cloud"
PLUGINS = Path("/usr/lib/cni")
PLUGINS_USED = ("loopback", "ptp", "host-local", "portmap")
PAUSE = "docker.io/edgecore-test/pause:1"


def requirements() -> None:
    """Raises Unavailable. Programs in PATH are looked for by programs.ensure."""
    if os.geteuid() != 0:
        raise Unavailable("a node can only be made by root")
    if any(not (PLUGINS / name).exists() for name in PLUGINS_USED):
        raise Unavailable(f"there are no CNI plugins in {PLUGINS} (apt-get install containernetworking-plugins)")


class Node:
    """A cluster of one node, with nothing of this project in it. ``start`` it once.

    This machine reaches its pods and Services at their own addresses, and NodePorts at ``address``. There is no DNS in it and no
    way out: pods have the images that were loaded, and the API server through Service ``kubernetes``.
    """

    def __init__(self, folder: Path, control_plane: Path, programs: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._control_plane, self._programs = folder, control_plane, programs
        self.machine = Machine(folder / "machine")
        self._cluster: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        assert self._cluster is not None, "the node was not started"
        return self._cluster

    @property
    def address(self) -> str:
        """Of the node: its InternalIP."""
        return self.machine.address

    @property
    def admin(self) -> Path:
        """The kubeconfig of an administrator, for this machine."""
        return self.cluster.admin

    # ------------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        self.machine.start()
        self._cluster = Cluster(
            self.folder / "cluster", self._control_plane, address=self.machine.outside, services=self.machine.services, bare=True
        )
        self._containerd = self.machine.program("containerd", ["containerd", "--config", self._containerd_file()])
        self._kubelet = self.machine.program("kubelet", self._kubelet_command())
        self._proxy = self.machine.program("kube-proxy", self._proxy_command())
        self._containerd.start()
        self.cluster.start_programs()
        eventually("containerd answers", self._containerd_answers, within=60)
        self.load_archive(archive(PAUSE, pause_tar(architecture(platform.machine()) or ""), command=["/pause"]))
        self._kubelet.start()
        self._proxy.start()
        self.cluster.prepare()
        eventually("the node is Ready", self._ready, within=120)

    def stop(self) -> None:
        """At once and without asking; nothing is left but logs in ``folder``."""
        self.machine.stop()
        if self._cluster is not None:
            self._cluster.stop()

    def _containerd_answers(self) -> bool:
        self._containerd.must_run()
        return self.machine.run("ctr", "version", check=False).returncode == 0

    def _ready(self) -> bool:
        for program in (self._containerd, self._kubelet, self._proxy):
            program.must_run()
        node = self.cluster.request("GET", f"/api/v1/nodes/{NAME}")
        ready = {one["type"]: one for one in node["status"]["conditions"]}["Ready"]
        assert ready["status"] == "True", f"{ready['reason']}: {ready['message']}"
        return True

    # ------------------------------------------------------------------------------------------------- images

    def load_image(self, tar: Path) -> None:
        """Imports what `docker save` or an OCI tool wrote. Pods that name the image must not pull it always."""
        with tar.open("rb") as file:
            self.machine.run("ctr", "--namespace=k8s.io", "images", "import", "-", stdin=file)

    def load_archive(self, content: bytes) -> None:
        """As ``load_image``, from memory."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tar") as file:
            file.write(content)
            file.flush()
            self.load_image(Path(file.name))

    # ------------------------------------------------------------------------------------------------- settings

    def _write(self, name: str, content: Any) -> str:
        """As JSON, which all of them read."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=1))
        return str(path)

    def _containerd_file(self) -> str:
        """restrict_oom_score_adj: in a container one may not be allowed to lower it."""
        path = self.folder / "containerd.toml"
        path.write_text(
            f"""version = 2
disabled_plugins = [{", ".join(f'"{name}"' for name in UNUSED)}]
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{self._network()}"
"""
        )
        return str(path)

    def _network(self) -> str:
        """Each pod has a cable of its own (ptp), not a bridge: between two ports of a bridge a packet may pass iptables by, and
        then a Service does not work from the pod beside it."""
        addresses = {"type": "host-local", "subnet": self.machine.pods, "routes": [{"dst": "0.0.0.0/0"}]}
        plugins = [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}]
        file = self._write("cni/10-pods.conflist", {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins})
        return str(Path(file).parent)

    def _kubelet_command(self) -> list[str]:
        cluster = self.cluster
        cluster.keep("kubelet-serving", cluster.authority.issue_server([NAME], [self.address], DAYS))
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(cluster.path("ca.crt"))},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(cluster.path("kubelet-serving.crt")),
            "tlsPrivateKeyFile": str(cluster.path("kubelet-serving.key")),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "volumePluginDir": "/var/lib/kubelet/plugins-of-others",
            "resolvConf": "",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.machine.name}",
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "evictionHard": {"memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
        }
        identity = cluster.user("kubelet", NODE_PREFIX + NAME, [NODES_GROUP], server=cluster.address)
        return [
            str(self._programs / "kubelet"),
            f"--config={self._write('kubelet.json', configuration)}",
            f"--kubeconfig={identity}",
            f"--hostname-override={NAME}",
            f"--node-ip={self.address}",
        ]

    def _proxy_command(self) -> list[str]:
        """The table of connections has limits that belong to the whole kernel: they are left alone."""
        identity = self.cluster.user("kube-proxy", "system:kube-proxy", [], server=self.cluster.address)
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "hostnameOverride": NAME,
            "clientConnection": {"kubeconfig": str(identity)},
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "oomScoreAdj": 0,
        }
        return [str(self._programs / "kube-proxy"), f"--config={self._write('kube-proxy.json', configuration)}"]


UNUSED = (
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
)
"""Parts of containerd that nothing here needs; the first would make a folder in /opt."""
