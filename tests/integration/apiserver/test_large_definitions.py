"""Definitions as large and as deep as those of well-known operators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.crd.definition_kind import is_true
from cloudcore.apiserver.crd.definitions import Definitions
from kube.client import Client
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource
from kube.status import ApiError

if TYPE_CHECKING:
    from conftest import Server

PLANTS = Resource("example.org", "v1", "Plant", "plants", "plant", True)
DEPTH = 30


def level(depth: int) -> dict[str, Any]:
    """One of a tower of objects, each with a hundred words of description and a few fields."""
    properties: dict[str, Any] = {
        f"field{number}": {"type": "string", "description": "What this field is for. " * 20, "maxLength": 20}
        for number in range(12)
    }
    properties["port"] = {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    properties["size"] = {"type": "integer", "default": depth, "format": "int32", "minimum": 0}
    if depth:
        properties["below"] = {"type": "array", "items": level(depth - 1)}
    return {"type": "object", "properties": properties}


def definition() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": level(DEPTH)}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "plants", "kind": "Plant"}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "plants.example.org"}, "spec": spec}


def tower(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"field0": "deepest", "unheard": 1}
    for _ in range(depth):
        found = {"port": "http", "below": [found]}
    return found


async def established(client: Client, name: str) -> None:
    while True:
        found = await client.get(CUSTOM_RESOURCE_DEFINITIONS, name)
        if any(one["type"] == "Established" and one["status"] == "True" for one in found["status"]["conditions"]):
            return


async def test_a_deep_definition(server: Server) -> None:
    wanted = definition()
    assert len(json.dumps(wanted)) > 150_000
    async with server.client() as client:
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, wanted)
        with trio.fail_after(30):
            await established(client, "plants.example.org")
        made = await client.create(PLANTS, {"metadata": {"name": "p"}, "spec": tower(DEPTH)}, namespace="default")
        place, depth = made["spec"], DEPTH
        while "below" in place:
            assert place["size"] == depth
            place, depth = place["below"][0], depth - 1
        assert place == {"field0": "deepest", "size": 0}
        wrong = tower(DEPTH)
        wrong["below"][0]["field3"] = "x" * 21
        try:
            await client.create(PLANTS, {"metadata": {"name": "q"}, "spec": wrong}, namespace="default")
        except ApiError as error:
            assert (error.code, error.message.count("spec.below[0].field3: Too long: may not be more than 20 bytes")) == (422, 1)
        else:
            raise AssertionError("it was accepted")


async def test_what_is_established_is_served(api: Api) -> None:
    """Whoever sees the one finds the other, also when it takes long to make."""
    definitions, kind, served = Definitions(api), api.registry.of(CUSTOM_RESOURCE_DEFINITIONS), []

    async def look(*, task_status: trio.TaskStatus[None]) -> None:
        history = api.store.history(kind.key)
        place = history.end
        task_status.started()
        while not served:
            await history.wait(place)
            for change in history.read(place):
                place += 1
                if is_true(change.entry.obj, "Established"):
                    served.append(api.registry.find("example.org", "v1", "plants") is not None)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(look)
            await api.create(kind, "", definition())
            await definitions.reconcile()
    assert served == [True]


async def test_a_definition_is_explained_to_its_depth(kubectl: Server) -> None:
    wanted = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **definition()}
    await kubectl.kubectl("create", "-f", "-", stdin=json.dumps(wanted))
    await kubectl.kubectl("wait", "--for=condition=Established", "crd/plants.example.org", "--timeout=20s")
    assert "What this field is for." in await kubectl.kubectl("explain", "plant.spec" + ".below" * DEPTH)
    assert "JSONSchemaProps" in await kubectl.kubectl("explain", "crd.spec.versions.schema.openAPIV3Schema")
