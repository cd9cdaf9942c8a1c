"""Three cloudcores on one cluster behind one address, and edges that do not care which of them lives."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from cluster import Cluster
from e2e.harness import Edge, eventually, remove_containers
from e2e.manifests import config_map, pod, sleeper
from e2e.realcloud import READY, KubernetesCloud
from faults.proxy import Proxy, proxy

from viaduct import token

pytestmark = pytest.mark.kubernetes
MADE = "certificate authority"
LEADS = "this cloudcore leads now"


class Replicas:
    """Behind two balancers, which stand for the ports of a Service."""

    def __init__(self, folder: Path, clouds: list[KubernetesCloud], hub: Proxy, certificates: Proxy) -> None:
        self.folder, self.clouds, self.hub, self.certificates = folder, clouds, hub, certificates
        self.edges: list[Edge] = []

    def prefer(self, first: KubernetesCloud) -> None:
        """Where new connections go, as long as it takes them."""
        others = [cloud for cloud in self.clouds if cloud is not first]
        self.hub.target, self.hub.others = first.hub_port, tuple(cloud.hub_port for cloud in others)
        self.certificates.target = others[0].cert_port  # a node need not join where it connects
        self.certificates.others = (first.cert_port,)

    def edge(self, name: str, cloud: KubernetesCloud) -> Edge:
        edge = Edge(self.folder / name, cloud, "process", name, hub_port=self.hub.port, cert_port=self.certificates.port)
        self.edges.append(edge)
        edge.join()
        edge.wait_ready()
        return edge

    def leader(self) -> KubernetesCloud | None:
        """The one that lives, holds the Lease and says so."""
        name = self.clouds[0].get("lease", "cloudcore", "-n", "kubeedge")["spec"]["holderIdentity"]
        said = f"{LEADS}: {name} "
        return next((cloud for cloud in self.clouds if cloud.program.running() and said in cloud.program.output()), None)

    def holder(self, edge: Edge) -> str:
        lease = self.clouds[0].get("lease", f"node.{edge.name}", "-n", "kubeedge")
        return str(lease["spec"]["holderIdentity"])


@pytest.fixture
def replicas(tmp_path: Path, cluster: Cluster) -> Iterator[Replicas]:
    clouds = [KubernetesCloud(tmp_path / f"cloud-{number}", cluster) for number in range(3)]
    with ExitStack() as stack:
        hub, certificates = (stack.enter_context(proxy(port)) for port in (clouds[0].hub_port, clouds[0].cert_port))
        made = Replicas(tmp_path, clouds, hub, certificates)
        try:
            for cloud in clouds:
                cloud.program.start()
            for cloud in clouds:
                eventually("cloudcore serves", lambda cloud=cloud: serves(cloud), within=60)  # type: ignore[misc]
            yield made
        finally:
            for edge in made.edges:
                edge.program.kill()
                edge.keadm("reset", "edge", "--force", f"--prefix={edge.folder}")
                remove_containers(edge.root)
            for cloud in clouds:
                cloud.program.kill()
            for cloud in clouds:
                cloud.close()


def serves(cloud: KubernetesCloud) -> bool:
    cloud.program.must_run()
    return READY in cloud.program.output()


def secret(cloud: KubernetesCloud, name: str) -> dict[str, bytes]:
    data = cloud.get("secret", name, "-n", "kubeedge")["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


def shown_authority(cloud: KubernetesCloud) -> bytes:
    anybody = ssl._create_unverified_context()  # noqa: S323 - it is the certificate that is compared
    with urlopen(f"https://127.0.0.1:{cloud.cert_port}/ca.crt", timeout=20, context=anybody) as answer:
        found: bytes = answer.read()
    return found


def test_three_that_start_at_once_and_the_leader_killed(replicas: Replicas, tmp_path: Path) -> None:
    clouds = replicas.clouds
    (cloud, *_) = clouds
    authority = secret(cloud, "casecret")
    assert [shown_authority(one) for one in clouds] == [authority["cadata"]] * 3
    assert sum(one.program.output().count(MADE) for one in clouds) == 1
    leader = eventually("one leads", replicas.leader)
    other = next(one for one in clouds if one is not leader)

    replicas.prefer(leader)
    moving = replicas.edge("edge-1", leader)
    replicas.prefer(other)
    staying = replicas.edge("edge-2", leader)
    before = {edge.name: replicas.holder(edge) for edge in (moving, staying)}
    assert len(set(before.values())) == 2

    cloud.apply(config_map("settings", greeting="hello"), reader(tmp_path, "reader", "edge-1"))
    cloud.apply(*(sleeper(f"{name}-{node}", node=node) for name in ("kept", "deleted") for node in ("edge-1", "edge-2")))
    cloud.wait_running("reader", "kept-edge-1", "kept-edge-2", "deleted-edge-1", "deleted-edge-2")
    eventually("the file is there", lambda: (tmp_path / "seen").read_text() == "hello")
    expire_token(cloud, authority["cakeydata"])
    running = containers(cloud, "reader", "kept-edge-1", "kept-edge-2")

    replicas.hub.refusing = True
    leader.program.kill()
    cloud.apply(config_map("settings", greeting="changed"), sleeper("new", node="edge-1"))
    cloud.kubectl("delete", "pod", "deleted-edge-1", "deleted-edge-2", "--wait=false")
    replicas.hub.refusing = False

    cloud.wait_running("new", within=90)
    cloud.wait_gone("deleted-edge-1", "deleted-edge-2")
    eventually("the change has arrived", lambda: (tmp_path / "seen").read_text() == "changed")
    assert replicas.holder(moving) not in (before["edge-1"], "")
    assert replicas.holder(staying) == before["edge-2"]
    assert containers(cloud, "reader", "kept-edge-1", "kept-edge-2") == running
    eventually("the records say what the edges have", lambda: records(cloud) == wanted(cloud), within=30)
    eventually("another one leads", replicas.leader, within=40)
    eventually("it refreshes the token", lambda: good_token(cloud, authority["cakeydata"]), within=10)
    for program in (*(one.program for one in clouds), moving.program, staying.program):
        assert "Traceback" not in program.output()


def reader(folder: Path, name: str, node: str) -> dict[str, Any]:
    return pod(
        name,
        "sh",
        "-c",
        f"while true; do cat etc/app/greeting > {folder}/new; mv {folder}/new {folder}/seen; sleep 0.1; done",
        node=node,
        volumes=[{"name": "conf", "configMap": {"name": "settings"}}],
        container={"volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}]},
    )


def containers(cloud: KubernetesCloud, *pods: str) -> dict[str, tuple[str, int]]:
    """Name of the pod to the id of its container and how often it was restarted."""
    statuses = {name: cloud.get("pod", name)["status"]["containerStatuses"][0] for name in pods}
    return {name: (status["containerID"], status["restartCount"]) for name, status in statuses.items()}


def records(cloud: KubernetesCloud) -> dict[str, str]:
    """Node, uid of the object -> recorded version."""
    found = cloud.get("objectsyncs.reliablesyncs.kubeedge.io")["items"]
    return {one["metadata"]["name"]: one["status"]["objectResourceVersion"] for one in found}


def wanted(cloud: KubernetesCloud) -> dict[str, str]:
    """What the records should say: every pod on its node, and the ConfigMaps and Secrets that it names."""
    maps = {one["metadata"]["name"]: one["metadata"] for one in cloud.get("configmaps")["items"]}
    out = {}
    for one in cloud.get("pods")["items"]:
        node = one["spec"]["nodeName"]
        named = [source["configMap"]["name"] for source in sources(one) if "configMap" in source]
        for meta in (one["metadata"], *(maps[name] for name in named)):
            out[f"{node}.{meta['uid']}"] = meta["resourceVersion"]
    return out


def sources(one: dict[str, Any]) -> list[dict[str, Any]]:
    volumes = one["spec"].get("volumes", [])
    return volumes + [source for volume in volumes for source in volume.get("projected", {}).get("sources", [])]


def expire_token(cloud: KubernetesCloud, key: bytes) -> None:
    """As if the one that led had not refreshed it for a day."""
    old = token.mint(key, "0" * 64, -60)
    cloud.kubectl("patch", "secret", "tokensecret", "-n", "kubeedge", "-p", f'{{"stringData": {{"tokendata": "{old}"}}}}')


def good_token(cloud: KubernetesCloud, key: bytes) -> bool:
    try:
        token.verify(token.JoinToken.parse(cloud.token()).jwt, key)
    except token.TokenError:
        return False
    return True
