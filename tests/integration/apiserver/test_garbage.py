"""Who goes with its owner and who must stay, where it is hard to see from outside."""

from __future__ import annotations

from typing import Any

from cloudcore.apiserver.api import Api
from cloudcore.apiserver.apps.garbage import Garbage
from cloudcore.apiserver.apps.ownership import Ownership
from cloudcore.apiserver.crd.definitions import Definitions
from kube.objects import Object, uid
from kube.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SECRETS, Resource


async def create(api: Api, resource: Resource, name: str, *owners: Object, where: str = "default", **fields: Any) -> Object:
    metadata = {"name": name, "ownerReferences": [reference(owner) for owner in owners]}
    return (await api.create(api.registry.of(resource), where, {"metadata": metadata, **fields})).obj


def reference(owner: Object, **other: str) -> Object:
    found = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": uid(owner)}
    return {**found, **other}


def collector(api: Api) -> Garbage:
    return Garbage(api, Ownership(api.store, lambda: [kind.key for kind in api.registry.stored()]))


def names(api: Api) -> list[str]:
    return [entry.obj["metadata"]["name"] for entry in api.store.entries(CONFIG_MAPS.qualified)]


def kilns() -> Object:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "example.com", "scope": "Namespaced", "names": {"plural": "kilns", "kind": "Kiln"}, "versions": [version]}
    return {"metadata": {"name": "kilns.example.com"}, "spec": spec}


async def test_what_custom_resources_owned_goes_with_their_definition(api: Api) -> None:
    """All happens between two looks of the collector: in the second one the kind is not served any more."""
    definitions, garbage = Definitions(api), collector(api)
    await api.create(api.registry.of(CUSTOM_RESOURCE_DEFINITIONS), "", kilns())
    await definitions.reconcile()
    kind = api.registry.find("example.com", "v1", "kilns")
    assert kind is not None
    kiln = (await api.create(kind, "default", {"metadata": {"name": "k"}})).obj
    await create(api, CONFIG_MAPS, "of-the-kiln", kiln)
    await garbage.loop.round()
    assert names(api) == ["of-the-kiln"]
    await api.delete(api.registry.of(CUSTOM_RESOURCE_DEFINITIONS), "", "kilns.example.com")
    await definitions.reconcile()
    await definitions.reconcile()
    assert api.registry.find("example.com", "v1", "kilns") is None
    await garbage.loop.round()
    assert names(api) == []


async def test_nobody_goes_whose_owner_may_be_there(api: Api) -> None:
    garbage, owner = collector(api), await create(api, SECRETS, "owner", type="Opaque")
    unheard = reference(owner, apiVersion="example.com/v1", kind="Unheard")
    namespaced = await api.create(
        api.registry.of(NAMESPACES), "", {"metadata": {"name": "wide", "ownerReferences": [reference(owner)]}}
    )
    await api.create(api.registry.of(CONFIG_MAPS), "default", {"metadata": {"name": "of-unheard", "ownerReferences": [unheard]}})
    await create(api, CONFIG_MAPS, "of-the-owner", owner)
    await api.delete(api.registry.of(SECRETS), "default", "owner", propagation="Orphan")
    await garbage.loop.round()
    await garbage.loop.round()
    assert names(api) == ["of-the-owner", "of-unheard"]
    assert api.store.get(NAMESPACES.qualified, "", "wide") is not None, namespaced.obj


async def test_an_owner_made_again_is_another_one(api: Api) -> None:
    garbage, secrets = collector(api), api.registry.of(SECRETS)
    first = await create(api, SECRETS, "owner", type="Opaque")
    await create(api, CONFIG_MAPS, "old", first)
    await create(api, CONFIG_MAPS, "elsewhere", first, where="shop")
    await api.delete(secrets, "default", "owner")
    second = await create(api, SECRETS, "owner", type="Opaque")
    await create(api, CONFIG_MAPS, "new", second)
    await create(api, CONFIG_MAPS, "both", first, second)
    await garbage.loop.round()
    assert names(api) == ["both", "new"]
    kept = api.get(api.registry.of(CONFIG_MAPS), "default", "both").obj["metadata"]["ownerReferences"]
    assert [one["uid"] for one in kept] == [uid(second)], "it forgets the one that is gone"
