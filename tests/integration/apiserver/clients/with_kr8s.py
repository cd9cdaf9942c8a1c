"""A conversation through kr8s on its own event loop. Argument: a kubeconfig."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any

import kr8s.asyncio
from kilns import DEFINITION, GROUP, NAME, config_map, kiln, pod
from kr8s import NotFoundError, ServerError
from kr8s.asyncio.objects import ConfigMap, CustomResourceDefinition, Pod, new_class


async def refused(code: int, reason: str, call: Awaitable[Any]) -> str:
    try:
        await call
    except ServerError as error:
        assert error.response is not None
        assert (error.response.status_code, error.response.json()["reason"]) == (code, reason), error
        return str(error.response.json()["message"])
    raise AssertionError(f"not refused with {code}")


async def objects(api: Any) -> None:
    made = await ConfigMap(config_map("a", k="1"), api=api)
    await made.create()
    again = await ConfigMap(config_map("a"), api=api)
    await refused(409, "AlreadyExists", again.create())
    bad = await ConfigMap(config_map("No Name"), api=api)
    await refused(422, "Invalid", bad.create())
    try:
        await ConfigMap.get("b", namespace="default", api=api)
        raise AssertionError("b was found")
    except NotFoundError:
        pass
    found = [one async for one in api.get("configmaps", namespace="default", label_selector="of=clients")]
    assert [one.name for one in found] == ["a"]
    await made.patch({"data": {"k": "2"}})
    assert made.raw["data"] == {"k": "2"}
    await made.label(tier="front")
    assert made.labels == {"of": "clients", "tier": "front"}
    await made.delete()
    assert not await made.exists()
    one = await Pod(pod("by-kr8s"), api=api)
    await one.create()
    assert one.status.phase == "Pending"
    await one.delete(grace_period=0)


async def watching(api: Any) -> None:
    seen: list[tuple[str, str]] = []

    async def change() -> None:
        made = await ConfigMap(config_map("w", k="1"), api=api)
        await made.create()
        while not seen:  # kr8s begins its watch without saying so
            await asyncio.sleep(0.02)
        await made.patch({"data": {"k": "2"}})
        while len(seen) < 2:
            await asyncio.sleep(0.02)
        await made.delete()

    async with asyncio.timeout(30):
        writer = asyncio.create_task(change())
        async for type_, found in api.watch("configmaps", namespace="default", label_selector="of=clients"):
            seen.append((type_, found.raw["data"]["k"]))
            if len(seen) == 3:
                break
        await writer
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen


async def custom(api: Any) -> None:
    definition = await CustomResourceDefinition(DEFINITION, api=api)
    await definition.create()
    await definition.wait("condition=Established", timeout=30)
    kilns = new_class("Kiln", f"{GROUP}/v1", namespaced=True, asyncio=True)
    made = await kilns(kiln("k"), api=api)
    await made.create()
    assert made.raw["spec"] == {"burners": 2}
    bad = await kilns(kiln("l", burners=9), api=api)
    told = await refused(422, "Invalid", bad.create())
    assert "spec.burners in body should be less than or equal to 8" in told
    await made.patch({"spec": {"burners": 3}})
    await made.patch({"status": {"lit": True}}, subresource="status")
    await made.refresh()
    assert (made.raw["spec"], made.raw["status"]) == ({"burners": 3}, {"lit": True})
    assert [one.name async for one in api.get(f"kilns.{GROUP}", namespace="default")] == ["k"]
    await made.delete()
    await (await CustomResourceDefinition.get(NAME, api=api)).delete()


async def main() -> None:
    api = await kr8s.asyncio.api(kubeconfig=sys.argv[1])
    assert (await api.version())["major"] == "1"
    assert "pods" in {one["name"] for one in await api.api_resources()}
    await objects(api)
    await watching(api)
    await custom(api)
    print("done")


asyncio.run(main())
