"""The cluster as the demo sees it: through kubectl when there is one, else through the project's own client."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

import trio
import yaml
from story import Expected

from kube import kubeconfig
from kube.client import Client
from kube.objects import Object
from kube.resources import CONFIG_MAPS, NODES, PODS, Resource
from kube.status import ApiError
from viaduct.tls import client_context

LIMIT = 20.0
"""Seconds for one command."""

KINDS = {"Pod": PODS, "ConfigMap": CONFIG_MAPS, "Node": NODES}


class Cluster(Protocol):
    name: str

    async def apply(self, file: Path) -> list[str]:
        """Creates or changes what the file holds; one line per object."""

    async def get(self, resource: Resource, name: str) -> Object | None: ...

    async def delete(self, resource: Resource, name: str) -> None: ...

    async def table(self, resource: Resource) -> list[str]:
        """The list as a person reads it."""


def connect(config: Path, cache: Path) -> Cluster:
    return Kubectl(config, cache) if shutil.which("kubectl") else OwnClient(config)


class Kubectl:
    name = "kubectl"

    def __init__(self, config: Path, cache: Path) -> None:
        self._command = ["kubectl", "--kubeconfig", str(config), "--cache-dir", str(cache)]

    async def apply(self, file: Path) -> list[str]:
        return (await self._run("apply", "-f", str(file))).splitlines()

    async def get(self, resource: Resource, name: str) -> Object | None:
        text = await self._run("get", resource.plural, name, "--ignore-not-found", "-o", "yaml")
        found = yaml.safe_load(text)
        return found if isinstance(found, dict) else None

    async def delete(self, resource: Resource, name: str) -> None:
        await self._run("delete", resource.plural, name, "--ignore-not-found", "--timeout=15s")

    async def table(self, resource: Resource) -> list[str]:
        return (await self._run("get", resource.plural, "-o", "wide")).splitlines()

    async def _run(self, *words: str) -> str:
        with trio.move_on_after(LIMIT):
            done = await trio.run_process(
                [*self._command, *words], capture_stdout=True, capture_stderr=True, check=False, start_new_session=True
            )
            if done.returncode == 0:
                return done.stdout.decode(errors="replace")
            raise Expected(f"`kubectl {' '.join(words)}` to work; it says: {done.stderr.decode(errors='replace').strip()}")
        raise Expected(f"`kubectl {' '.join(words)}` to answer within {LIMIT:.0f} s")


class OwnClient:
    name = "our own client (no kubectl on this machine)"

    def __init__(self, config: Path) -> None:
        self._config = config

    def _open(self) -> Client:
        found = kubeconfig.load(self._config)
        return Client.of(found, tls=client_context(ca=found.ca, certificate=found.certificate, key=found.key), timeout=LIMIT)

    async def apply(self, file: Path) -> list[str]:
        lines = []
        async with self._open() as client:
            for obj in yaml.safe_load_all(await trio.Path(file).read_text(encoding="utf-8")):
                resource, name = KINDS[obj["kind"]], obj["metadata"]["name"]
                try:
                    await client.create(resource, obj, namespace="default")
                    lines.append(f"{resource.singular}/{name} created")
                except ApiError as error:
                    if error.reason != "AlreadyExists":
                        raise Expected(f"{resource.singular}/{name} to be created; the API says: {error}") from error
                    await client.patch(resource, name, obj, namespace="default", kind="merge")
                    lines.append(f"{resource.singular}/{name} configured")
        return lines

    async def get(self, resource: Resource, name: str) -> Object | None:
        async with self._open() as client:
            try:
                return await client.get(resource, name, namespace="default" if resource.namespaced else "")
            except ApiError as error:
                if error.code == 404:
                    return None
                raise Expected(f"{resource.singular}/{name} to be read; the API says: {error}") from error

    async def delete(self, resource: Resource, name: str) -> None:
        async with self._open() as client:
            try:
                await client.delete(resource, name, namespace="default")
            except ApiError as error:
                if error.code != 404:
                    raise Expected(f"{resource.singular}/{name} to be deleted; the API says: {error}") from error

    async def table(self, resource: Resource) -> list[str]:
        async with self._open() as client:
            found = await client.list(resource, namespace="default" if resource.namespaced else "")
        rows = [("NAME", "STATUS"), *((obj["metadata"]["name"], _state(obj)) for obj in found.items)]
        width = max(len(name) for name, _ in rows) + 3
        return [f"{name:<{width}}{state}" for name, state in rows]


def _state(obj: Object) -> str:
    return str(obj.get("status", {}).get("phase") or ("Ready" if is_true(obj, "Ready") else "NotReady"))


def is_true(obj: Object | None, condition: str) -> bool:
    """Whether the object's condition of this type is True."""
    status: dict[str, Any] = (obj or {}).get("status") or {}
    return any(item.get("type") == condition and item.get("status") == "True" for item in status.get("conditions") or [])
