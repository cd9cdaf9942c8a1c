"""The acts of the demo, in the order in which they are shown."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import trio
import yaml
from cluster import Cluster, connect, is_true
from image import NoImage, ensure_image
from programs import HERE, NODE, Cloud, Edge, Ports, remove
from story import Expected, Story

from kube.resources import NODES, PODS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "hello" / "hello.yaml"
GREETING = "Hello from the edge!"


class Demo:
    def __init__(self, folder: Path, runtime: str, *, keep: bool) -> None:
        self.folder = folder
        self.story, self.keep, self.runtime = Story(), keep, runtime
        self.ports = Ports.choose()
        self.cloud = Cloud(folder / "cloud", self.ports)
        self.edge = Edge(folder / "edge", self.ports)
        self.image = ""
        self.failed = self.finished = False

    @property
    def url(self) -> str:
        return f"http://{HERE}:{self.ports.page}/"

    async def build_up(self) -> Cluster:
        """From nothing to a page that answers."""
        say = self.story.tell
        await self.choose_runtime()
        say("cloud", "starting cloudcore --standalone: its own Kubernetes API, certificate authority and hub")
        self.cloud.configure()
        await self.cloud.start()
        say("cloud", f"listens: API on {self.ports.api}, edges on {self.ports.hub}, certificates on {self.ports.certificates}")
        token = await self.edge.token(self.cloud)
        say("cloud", f"keadm gettoken: {token[:12]}...{token[-6:]}")
        say("edge", f"keadm join --edgenode-name {NODE} (the token proves the cloud, the cloud signs a certificate)")
        self.story.detail(await self.edge.join(token, self.runtime))
        cluster = connect(self.cloud.kubeconfig, self.folder / "kubectl-cache")
        await self.wait("the node to become Ready", 60, lambda: self.node_ready(cluster), self.edge.log)
        say("cloud", f"the node is Ready, seen through {cluster.name}")
        file = self.write_example()
        say(
            "cloud",
            "kubectl apply -f examples/hello/hello.yaml" if cluster.name == "kubectl" else "applying examples/hello/hello.yaml",
        )
        self.story.detail(await cluster.apply(file))
        await self.wait("the pod to be Running and ready", 60, lambda: self.pod_ready(cluster), self.edge.log)
        say("edge", "the pod is Running")
        await self.wait(f"{self.url} to show the ConfigMap's text", 30, self.page_answers, self.edge.log)
        say("you", f'GET {self.url} -> "{GREETING}"')
        return cluster

    async def take_the_cloud_away(self) -> None:
        say = self.story.tell
        say("cloud", "stopping cloudcore: from here on the edge is alone")
        await self.cloud.stop()
        say("edge", "SIGKILL to edgecore, and the pod's container killed too, as in a power cut")
        await self.edge.kill()
        killed = await self.edge.kill_container(self.runtime)
        await self.wait("the page to be gone", 15, self.page_gone, self.edge.log)
        say("you", f"GET {self.url} -> no answer ({killed} container killed)")
        say("edge", "starting edgecore again; there is no cloud to ask")
        await self.edge.start()
        await self.wait(f"{self.url} to answer again, without the cloud", 60, self.page_answers, self.edge.log)
        say("you", f'GET {self.url} -> "{GREETING}"')

    async def stay(self, cluster: Cluster) -> None:
        self.story.plain()
        self.story.detail(await cluster.table(NODES))
        self.story.detail(await cluster.table(PODS))
        self.story.plain()
        kubectl = f"kubectl --kubeconfig {shown(self.cloud.kubeconfig)}"
        self.story.plain(f"  the page     {self.url}")
        self.story.plain(f"  the cluster  {kubectl} get nodes,pods -o wide")
        self.story.plain(f"  change it    {kubectl} edit configmap hello     (the page follows at once)")
        self.story.plain(f"  the logs     {shown(self.cloud.log)}  {shown(self.edge.log)}")
        self.story.plain("  Ctrl-C stops everything and cleans up")
        while True:
            await trio.sleep(1)
            if self.cloud.process is not None and self.cloud.process.poll() is not None:
                raise Expected(f"cloudcore to go on; it ended with code {self.cloud.process.returncode}", self.cloud.log)
            if not self.edge.running():
                raise Expected("edgecore to go on; it has ended", self.edge.log)

    async def clear_away(self, *, first: bool = False) -> None:
        """Stops and removes all of it, also what a killed demo left behind. Logs stay after a failure or with --keep.

        Never waits longer than a minute. Raises Expected.
        """
        if not self.folder.exists():
            return
        with trio.move_on_after(60, shield=True):
            if not first:
                self.story.tell("all", "stopping, and removing the pod's containers")
            await self.cloud.stop()
            stay = not first and (self.failed or self.keep)
            if stay:
                self.save_logs()
            said = await self.edge.reset()
            if any("warning" in line or "Error" in line for line in said):
                self.story.detail(said)
            if not stay:
                remove(self.folder)

    def save_logs(self) -> None:
        """The edge's log would go with the edge."""
        for log in (self.cloud.log, self.edge.log):
            if log.exists():
                shutil.copy(log, self.folder / log.name)

    async def choose_runtime(self) -> None:
        if self.runtime == "process":
            self.story.tell("edge", "containers will be plain processes: nothing is isolated")
            return
        try:
            self.image, made, size = await trio.to_thread.run_sync(ensure_image)
        except NoImage as error:
            if self.runtime == "docker":
                raise Expected(f"docker to take an image: {error}") from error
            self.runtime = "process"
            self.story.tell("edge", "no docker engine that we may use: containers will be plain processes, nothing is isolated")
            return
        self.runtime = "docker"
        how = "made from this machine's own Python, no registry needed" if made else "made earlier from this machine's own Python"
        self.story.tell("edge", f"docker: image {self.image}, {size / 1e6:.0f} MB, {how}")

    def write_example(self) -> Path:
        """The example with what differs here: the image, the node's own address, a port that is free."""
        objects = list(yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
        for container in (one for obj in objects if obj["kind"] == "Pod" for one in obj["spec"]["containers"]):
            container["image"] = self.image or container["image"]
            container["ports"][0]["containerPort"] = self.ports.page
            for variable in container["env"]:
                variable.update({"ADDRESS": {"value": HERE}, "PORT": {"value": str(self.ports.page)}}.get(variable["name"], {}))
        file = self.folder / "hello.yaml"
        file.write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")
        return file

    async def node_ready(self, cluster: Cluster) -> str | None:
        node = await cluster.get(NODES, NODE)
        return None if is_true(node, "Ready") else ("the node is not there yet" if node is None else "it is not Ready yet")

    async def pod_ready(self, cluster: Cluster) -> str | None:
        pod = await cluster.get(PODS, "hello")
        if is_true(pod, "Ready"):
            return None
        status = (pod or {}).get("status") or {}
        waiting = [state.get("state", {}).get("waiting") for state in status.get("containerStatuses") or []]
        return f"phase {status.get('phase')}; {[reason for reason in waiting if reason] or 'no more is said'}"

    async def page_answers(self) -> str | None:
        async with httpx2.AsyncClient(timeout=2, trust_env=False) as client:
            try:
                answer = await client.get(self.url)
            except httpx2.HTTPError as error:
                return f"{type(error).__name__}: {error}"
        return None if GREETING in answer.text else f"status {answer.status_code}: {answer.text[:200]!r}"

    async def page_gone(self) -> str | None:
        return None if await self.page_answers() is not None else "it still answers"

    async def wait(self, what: str, limit: float, look: Callable[[], Awaitable[str | None]], log: Path) -> None:
        """Looks until ``look`` finds nothing missing. Raises Expected with what was missing last."""
        missing: str | None = "nothing was seen"
        with trio.move_on_after(limit):
            while (missing := await look()) is not None:  # noqa: ASYNC110 - other programs tell us nothing
                await trio.sleep(0.2)
            return
        raise Expected(f"{what} within {limit:.0f} s; last seen: {missing}", log)


def shown(path: Path) -> Path:
    """As a person in the repository types it."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
