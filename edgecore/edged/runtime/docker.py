"""The docker engine: pods as cri-dockerd would make them, through docker's own API.

Nothing is remembered here but what docker told: a restarted edgecore finds its pods by their labels and goes on with them.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from edgecore.edged.runtime import dockerlogs, dockerpull
from edgecore.edged.runtime import dockerobjects as objects
from edgecore.edged.runtime.dockerclient import SLOW, Conflict, DockerClient, NotFound
from edgecore.edged.runtime.engine import (
    ContainerInfo,
    ContainerSpec,
    ContainerStartFailed,
    Credentials,
    EngineError,
    EngineInfo,
    EngineUnavailable,
    PodInfo,
    SandboxInfo,
    SandboxSpec,
    State,
)
from edgecore.edged.runtime.images import is_name
from edgecore.edged.runtime.pause import architecture, pause_tar

if TYPE_CHECKING:
    from docker import APIClient

log = logging.getLogger(__name__)

PAUSE_REPOSITORY = "edgecore.local/pause"
PAUSE_TAG = "1"
STOP_MARGIN = 15.0
"""Seconds beyond the grace period that docker gets to end a container."""


class DockerEngine:
    """Engine on docker at ``endpoint``. ``sandbox_image`` is used when docker has it; otherwise the built-in one is made.

    instance: empty for the edgecore that owns the machine (it sees all pods without an instance label, also those that
    another kubelet left behind); any other text keeps the pods of several edgecores on one docker apart.
    """

    def __init__(self, endpoint: str, *, sandbox_image: str = "", instance: str = "") -> None:
        self.client = DockerClient(endpoint)
        self._sandbox_image = sandbox_image
        self._instance = instance
        self._may_protect = True
        """Whether docker may lower a process' chance to be killed when memory runs out; not so without CAP_SYS_RESOURCE."""
        self._ended: dict[str, ContainerInfo] = {}
        """Containers that have ended change no more: no need to inspect them again."""
        self._image_names: dict[str, tuple[str, str]] = {}

    async def aclose(self) -> None:
        """Closes the connections; containers keep running."""
        self.client.close()

    async def info(self) -> EngineInfo:
        def ask(api: APIClient) -> EngineInfo:
            answer = api.info()
            return EngineInfo("docker", str(answer.get("ServerVersion") or "?"), str(answer.get("CgroupDriver") or ""))

        try:
            return await self.client.call("docker info", ask)
        except EngineUnavailable:
            raise
        except EngineError as error:
            raise EngineUnavailable(str(error)) from error

    # looking

    async def list_pods(self) -> list[PodInfo]:
        return await self.client.call("listing containers", lambda api: self._pods(api, objects.POD_UID), within=60)

    async def pod(self, uid: str) -> PodInfo | None:
        label = f"{objects.POD_UID}={uid}"
        found = await self.client.call(f"listing containers of pod {uid}", lambda api: self._pods(api, label))
        return found[0] if found else None

    def _pods(self, api: APIClient, label: str) -> list[PodInfo]:
        summaries = self._ours(api, label)
        sandboxes: dict[str, list[SandboxInfo]] = {}
        containers: dict[str, list[ContainerInfo]] = {}
        for summary in summaries:
            labels = summary.get("Labels") or {}
            uid = labels[objects.POD_UID]
            try:
                if objects.is_sandbox(labels):
                    sandboxes.setdefault(uid, []).append(objects.sandbox_info(api.inspect_container(summary["Id"])))
                else:
                    containers.setdefault(uid, []).append(self._container(api, summary))
            except Exception as error:
                if not _is_missing(error):  # removed since it was listed
                    raise
        if label == objects.POD_UID:
            known = {summary["Id"] for summary in summaries}
            self._ended = {key: value for key, value in self._ended.items() if key in known}
        result = []
        for uid in {**sandboxes, **containers}:
            boxes = sorted(sandboxes.get(uid, []), key=lambda box: (box.attempt, box.created_at), reverse=True)
            inner = sorted(containers.get(uid, []), key=lambda info: (info.created_at, info.attempt), reverse=True)
            result.append(PodInfo((boxes[0] if boxes else inner[0]).pod, boxes, inner))
        return result

    def _ours(self, api: APIClient, *labels: str) -> list[Mapping[str, Any]]:
        wanted = [*labels, *([f"{objects.INSTANCE}={self._instance}"] if self._instance else [])]
        found: list[Mapping[str, Any]] = api.containers(all=True, filters={"label": wanted})
        if self._instance:
            return found
        return [summary for summary in found if objects.INSTANCE not in (summary.get("Labels") or {})]

    def _container(self, api: APIClient, summary: Mapping[str, Any]) -> ContainerInfo:
        key = summary["Id"]
        if summary.get("State") != "exited":
            self._ended.pop(key, None)
        elif (known := self._ended.get(key)) is not None:
            return known
        inspected = api.inspect_container(key)
        image, image_id = self._image(api, inspected)
        info = objects.container_info(inspected, image, image_id)
        if info.state is State.EXITED and summary.get("State") == "exited":
            self._ended[key] = info
        return info

    def _image(self, api: APIClient, inspected: Mapping[str, Any]) -> tuple[str, str]:
        """The image's name and its id as Kubernetes reports it."""
        key = str(inspected.get("Image") or "")
        named = str((inspected.get("Config") or {}).get("Image") or "")
        if key not in self._image_names:
            try:
                image = api.inspect_image(key)
            except Exception as error:
                if not _is_missing(error):
                    raise
                return named, f"docker://{key}"
            digests = image.get("RepoDigests") or []
            tags = image.get("RepoTags") or []
            if len(self._image_names) > 500:
                self._image_names.clear()
            reported = f"docker-pullable://{digests[0]}" if digests else f"docker://{key}"
            self._image_names[key] = (str(tags[0]) if tags else key, reported)
        tagged, image_id = self._image_names[key]
        return (tagged if named.startswith("sha256:") else named), image_id

    async def events(self) -> AsyncIterator[str]:
        """Containers of ours that started, died or went. Ends with EngineUnavailable when docker ends the stream."""
        filters = {"type": "container", "label": [objects.POD_UID], "event": ["start", "die", "oom", "destroy"]}
        stream = await self.client.call(
            "docker events", lambda api: api.events(filters=filters, decode=True), gate=self.client.long
        )
        try:
            while True:
                event = await self.client.call(
                    "docker events", lambda _: next(stream, None), within=math.inf, gate=self.client.long
                )
                if event is None:
                    raise EngineUnavailable(f"docker at {self.client.endpoint} ended the stream of events")
                labels = ((event.get("Actor") or {}).get("Attributes") or {}) if isinstance(event, dict) else {}
                if objects.POD_UID in labels and labels.get(objects.INSTANCE, "") == self._instance:
                    yield labels[objects.POD_UID]
        finally:
            with suppress(Exception):
                stream.close()

    # images

    async def image_present(self, image: str) -> bool:
        """What is no name of an image is none that is present: pulling it says what is wrong with it."""
        if not is_name(image):
            return False
        try:
            await self.client.call(f"image {image}", lambda api: api.inspect_image(image))
        except NotFound:
            return False
        return True

    async def pull_image(self, image: str, credentials: Sequence[Credentials] = ()) -> None:
        await dockerpull.pull(self.client, image, credentials)
        self._image_names.clear()

    # sandboxes

    async def create_sandbox(self, spec: SandboxSpec) -> SandboxInfo:
        what = f"sandbox of pod {spec.pod.namespace}/{spec.pod.name}"
        config = objects.sandbox_config(spec, await self._pause_image(), self._instance)
        protected = self._may_protect  # as this call asked for it: others may find out meanwhile that it is refused
        if not protected:
            config["HostConfig"]["OomScoreAdj"] = 0
        try:
            inspected = await self._start_sandbox(what, spec, config)
        except EngineError as error:
            if not protected or not _refused_protection(str(error)):
                raise
            if self._may_protect:
                log.warning("docker may not protect sandboxes from the kernel's out-of-memory killer; they start without it")
            self._may_protect = False
            config["HostConfig"]["OomScoreAdj"] = 0
            inspected = await self._start_sandbox(what, spec, config)
        if spec.dns_servers:
            text = objects.resolv_conf(spec.dns_servers, spec.dns_searches, spec.dns_options)
            await trio.to_thread.run_sync(_overwrite, inspected.get("ResolvConfPath"), text, limiter=self.client.threads)
        return objects.sandbox_info(inspected)

    async def _start_sandbox(self, what: str, spec: SandboxSpec, config: dict[str, Any]) -> Mapping[str, Any]:
        """Makes and starts it; leaves nothing behind that this call made and that could not be started."""
        name = objects.sandbox_name(spec)
        try:
            sandbox_id, ours = await self._create(what, name, config), True
        except Conflict:
            sandbox_id, ours = await self._of_name(what, name, config), False
        try:
            await self.client.call(what, lambda api: api.start(sandbox_id), within=SLOW)
            return await self.client.call(what, lambda api: api.inspect_container(sandbox_id))
        except EngineError as error:
            if ours:
                with suppress(EngineError):
                    await self._remove(sandbox_id)
            if "address already in use" in str(error) or "port is already allocated" in str(error):
                ports = ", ".join(f"{port.host_port}/{port.protocol}" for port in spec.ports if port.host_port)
                raise EngineError(f"{what}: a host port of {ports} is in use on this node: {error}") from error
            raise

    async def _pause_image(self) -> str:
        """An image for sandboxes that is on this machine: the configured one, or ours."""
        if self._sandbox_image and await self.image_present(self._sandbox_image):
            return self._sandbox_image
        ours = f"{PAUSE_REPOSITORY}:{PAUSE_TAG}"
        if await self.image_present(ours):
            return ours

        def make(api: APIClient) -> None:
            machine = str(api.info().get("Architecture") or "")
            arch = architecture(machine)
            if arch is None:
                raise EngineError(
                    f"no sandbox image: {self._sandbox_image or 'podSandboxImage'} is not on this machine and there is no "
                    f"built-in one for {machine}; load the image (docker load) or set podSandboxImage"
                )
            api.import_image_from_data(
                pause_tar(arch), repository=PAUSE_REPOSITORY, tag=PAUSE_TAG, changes=['ENTRYPOINT ["/pause"]']
            )

        await self.client.call("making the sandbox image", make, within=SLOW)
        log.info("made the sandbox image %s (%s is not on this machine)", ours, self._sandbox_image or "podSandboxImage")
        return ours

    async def stop_sandbox(self, sandbox_id: str) -> None:
        what = f"sandbox {sandbox_id[:12]}"
        for container_id in await self.client.call(what, lambda api: self._inside(api, sandbox_id)):
            await self.stop_container(container_id, 0)
        await self.stop_container(sandbox_id, 2)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        what = f"sandbox {sandbox_id[:12]}"
        for container_id in await self.client.call(what, lambda api: self._inside(api, sandbox_id)):
            await self.remove_container(container_id)
        await self._remove(sandbox_id)

    def _inside(self, api: APIClient, sandbox_id: str) -> list[str]:
        found = api.containers(all=True, filters={"label": [f"{objects.SANDBOX_ID}={plain(sandbox_id)}"]})
        return [str(summary["Id"]) for summary in found]

    # containers

    async def create_container(self, sandbox: SandboxInfo, spec: ContainerSpec) -> str:
        what = f"container {spec.name} of pod {spec.pod.namespace}/{spec.pod.name}"
        sandbox_id = plain(sandbox.id)
        try:
            inspected = await self.client.call(what, lambda api: api.inspect_container(sandbox_id))
        except NotFound as error:
            raise EngineError(f"{what}: its sandbox is gone: {error}") from error
        if not objects.sandbox_info(inspected).ready:
            raise EngineError(f"{what}: its sandbox {sandbox_id[:12]} does not run")
        config = objects.container_config(spec, sandbox_id, inspected.get("HostConfig") or {}, self._instance)
        name = objects.container_name(spec)
        try:
            key = await self._create(what, name, config)
        except NotFound as error:
            raise EngineError(f"{error}; the image is not on this machine") from error
        except Conflict:
            key = await self._same_or_another(what, name, config)
        return f"docker://{key}"

    async def _same_or_another(self, what: str, name: str, config: dict[str, Any]) -> str:
        """The name is taken: by this very container, made before a restart, or by a stranger's."""

        def look(api: APIClient) -> str | None:
            found = api.inspect_container(name)
            labels = (found.get("Config") or {}).get("Labels") or {}
            same = config["Labels"].items() <= labels.items()  # the image may have added labels of its own
            return str(found["Id"]) if same and found["State"]["Status"] == "created" else None

        with suppress(NotFound):
            if (known := await self.client.call(what, look)) is not None:
                return known
        return await self._create(what, f"{name}_{secrets.token_hex(4)}", config)

    async def start_container(self, container_id: str) -> None:
        key = plain(container_id)
        what = f"container {key[:12]}"
        inspected = await self.client.call(what, lambda api: api.inspect_container(key))
        labels = (inspected.get("Config") or {}).get("Labels") or {}
        pod = objects.identity(labels)
        what = f"container {labels.get(objects.CONTAINER_NAME)} of pod {pod.namespace}/{pod.name}"
        if (inspected.get("State") or {}).get("Status") != "created":
            return
        try:
            await self.client.call(what, lambda api: api.start(key), within=SLOW)
            inspected = await self.client.call(what, lambda api: api.inspect_container(key))  # LogPath is known only now
        except EngineUnavailable:
            raise
        except EngineError as error:
            raise ContainerStartFailed(str(error)) from error
        await trio.to_thread.run_sync(dockerlogs.link, inspected, labels.get(objects.LOG_PATH), limiter=self.client.threads)

    async def stop_container(self, container_id: str, grace: float) -> None:
        key = plain(container_id)
        seconds = max(0, math.ceil(grace))
        with suppress(NotFound):
            await self.client.call(
                f"stopping container {key[:12]}",
                lambda api: api.stop(key, timeout=seconds),
                within=seconds + STOP_MARGIN,
                gate=self.client.long,
            )

    async def remove_container(self, container_id: str) -> None:
        key = plain(container_id)
        with suppress(NotFound):
            inspected = await self.client.call(f"container {key[:12]}", lambda api: api.inspect_container(key))
            await trio.to_thread.run_sync(dockerlogs.unlink, inspected, limiter=self.client.threads)
        await self._remove(key)

    async def _remove(self, container_id: str) -> None:
        key = plain(container_id)
        with suppress(NotFound, Conflict):  # Conflict: its removal is already in progress
            await self.client.call(
                f"removing container {key[:12]}", lambda api: api.remove_container(key, v=True, force=True), within=SLOW
            )
        self._ended.pop(key, None)

    async def logs_tail(self, container_id: str, *, lines: int = 80, limit: int = 2048) -> str:
        key = plain(container_id)

        def read(api: APIClient) -> bytes:
            return bytes(api.logs(key, tail=lines, stdout=True, stderr=True))

        try:
            output = await self.client.call(f"logs of container {key[:12]}", read)
        except NotFound:
            return ""
        return output[-limit:].decode(errors="replace")

    # the two ways to make a container

    async def _create(self, what: str, name: str, config: dict[str, Any]) -> str:
        answer = await self.client.call(what, lambda api: api.create_container_from_config(config, name), within=SLOW)
        return str(answer["Id"])

    async def _of_name(self, what: str, name: str, config: dict[str, Any]) -> str:
        """The sandbox that has this name already, if it is the same pod's."""

        def look(api: APIClient) -> str:
            found = api.inspect_container(name)
            labels = (found.get("Config") or {}).get("Labels") or {}
            if (
                labels.get(objects.INSTANCE, "") != self._instance
                or labels.get(objects.POD_UID) != config["Labels"][objects.POD_UID]
            ):
                raise EngineError(f"{what}: another program has a container named {name}; remove it (docker rm -f {name})")
            return str(found["Id"])

        return await self.client.call(what, look)


def plain(container_id: str) -> str:
    """The 64 hex digits that docker knows, without our scheme."""
    return container_id.removeprefix("docker://")


def _is_missing(error: Exception) -> bool:
    return getattr(error, "status_code", None) == 404 or isinstance(error, NotFound)


def _refused_protection(text: str) -> bool:
    """runc without CAP_SYS_RESOURCE: old ones only say that their child has died."""
    return "oom_score_adj" in text or "can't get final child's PID" in text


def _overwrite(path: object, text: str) -> None:
    """In place, for the file is bind-mounted. Without permission docker's own version, made from the same list, stays."""
    if not isinstance(path, str) or not path:
        return
    with suppress(OSError):
        Path(path).write_text(text)
