from __future__ import annotations

import pytest
import trio
from clouds.scripted import ScriptedCloud, config_map, pod, status_error

from beehive.message import Message, build
from edgecore.app import App
from edgecore.metamanager.client import NotFound, ObjectKey, Offline, Refused


async def test_a_pod_is_stored_then_acknowledged_and_edged_is_told(cloud: ScriptedCloud, edge: App) -> None:
    told: list[ObjectKey] = []
    edge.meta.subscribe(told.append)
    message = await cloud.push("update", "default/pod/web", pod("web"))
    await cloud.acked(message)
    assert await edge.meta.pods() == [pod("web")]
    assert told == [ObjectKey("pod", "default", "web")]


async def test_a_metadata_only_delete_removes_the_pod_of_that_uid(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web")))
    other = {"metadata": {"name": "web", "namespace": "default", "uid": "somebody-else"}}
    await cloud.acked(await cloud.push("delete", "default/pod/web", other))
    assert await edge.meta.pod("default", "web") is not None
    await cloud.acked(await cloud.push("delete", "default/pod/web", other | {"metadata": {"uid": "uid-web"}}))
    assert await edge.meta.pod("default", "web") is None


async def test_a_config_map_is_asked_for_once_stored_and_its_answer_acknowledged(cloud: ScriptedCloud, edge: App) -> None:
    cloud.objects["default/configmap/app"] = config_map("app", {"k": "v"})
    answers: list[Message] = []

    def answer(request: Message) -> Message | None:
        found = cloud.usual_answer(request)
        if found is not None:
            answers.append(found)
        return found

    cloud.answer = answer
    assert (await edge.meta.config_map("default", "app"))["data"] == {"k": "v"}
    assert (await edge.meta.config_map("default", "app"))["data"] == {"k": "v"}
    assert len(answers) == 1
    await cloud.acked(*answers)
    request = cloud.received[0]
    assert (request.route.source, request.route.group, request.route.operation) == ("edged", "meta", "query")


@pytest.mark.parametrize(
    "content",
    [
        status_error("NotFound", 404, 'configmaps "app" not found'),
        {},
        {"Op": "Get", "URL": "https://api", "Err": {}},
        {"metadata": None},
        "not an object",
        None,
        [],
    ],
)
async def test_no_failure_is_ever_stored_as_an_object(cloud: ScriptedCloud, edge: App, content: object) -> None:
    cloud.answer = lambda request: cloud.reply(request, content)
    with pytest.raises((NotFound, Refused)):
        await edge.meta.config_map("default", "app")
    assert await edge.store.database.read(lambda: edge.store.get("default/configmap/app")) is None


async def test_an_answer_that_nobody_waits_for_is_acknowledged(cloud: ScriptedCloud, edge: App) -> None:
    late = build(
        source="edgecontroller",
        group="resource",
        operation="response",
        resource="default/configmap/app",
        content=config_map("app", {"k": "late"}),
        parent_id="somebody-gone",
    )
    await cloud.send(late)
    await cloud.acked(late)
    assert edge.outbox.late_answers == 1


async def test_status_patches_travel_as_strings_and_their_result_is_stored(cloud: ScriptedCloud, edge: App) -> None:
    cloud.objects["default/pod/web"] = pod("web", version=3)
    await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web", version=3)))
    merged = await edge.meta.patch_pod_status("default", "web", {"metadata": {"uid": "uid-web"}, "status": {"phase": "Running"}})
    assert merged["status"]["phase"] == "Running"
    stored = await edge.meta.pod("default", "web")
    assert stored is not None
    assert stored["metadata"]["resourceVersion"] == "4"
    assert bytes(cloud.received[-1].content).startswith(b'"{')


async def test_a_patch_answered_after_the_deletion_does_not_bring_the_pod_back(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web")))
    cloud.answer = lambda _request: None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(edge.meta.patch_pod_status, "default", "web", {"metadata": {"uid": "uid-web"}, "status": {}})
        await cloud.until(lambda: len(cloud.received) == 1)
        await cloud.push("delete", "default/pod/web", pod("web", version=8))
        await cloud.send(cloud.reply(cloud.received[0], {"Object": pod("web", version=9), "Err": None}))
    assert await edge.meta.pod("default", "web") is None


async def test_the_lease_dance(cloud: ScriptedCloud, edge: App) -> None:
    with pytest.raises(NotFound):
        await edge.meta.lease("edge-1")
    lease = {"metadata": {"name": "edge-1", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "edge-1"}}
    created = await edge.meta.create_lease(lease)
    assert (await edge.meta.update_lease(created))["metadata"]["resourceVersion"] == "2"
    cloud.answer = lambda request: cloud.reply(request, {"Object": {}, "Err": status_error("Conflict", 409, "stale")})
    with pytest.raises(Refused) as caught:
        await edge.meta.update_lease(created)
    assert (caught.value.reason, caught.value.code) == ("Conflict", 409)


async def test_an_error_that_is_no_status_is_not_success(cloud: ScriptedCloud, edge: App) -> None:
    cloud.objects["null/node/edge-1"] = {"metadata": {"name": "edge-1", "uid": "n", "resourceVersion": "1"}}
    await edge.meta.patch_node_status({"status": {}})
    cloud.answer = lambda request: cloud.reply(request, {"Object": {"metadata": {"creationTimestamp": None}}, "Err": {}})
    with pytest.raises(Refused):
        await edge.meta.patch_node_status({"status": {}})
    node = await edge.meta.node()
    assert node is not None
    assert node["metadata"]["uid"] == "n"


async def test_without_a_link_requests_fail_at_once_and_the_store_answers(cloud: ScriptedCloud, edge: App) -> None:
    await cloud.acked(await cloud.push("update", "default/configmap/app", config_map("app", {"k": "v"})))
    assert cloud.link is not None
    await cloud.link.aclose()
    with trio.fail_after(5):
        while edge.meta.connected:
            await trio.sleep(0.01)
    with pytest.raises(Offline):
        await edge.meta.secret("default", "s")
    assert (await edge.meta.config_map("default", "app"))["data"] == {"k": "v"}


async def test_a_request_in_flight_fails_when_the_link_breaks(cloud: ScriptedCloud, edge: App) -> None:
    def cut(_request: Message) -> None:
        return None

    cloud.answer = cut

    async def ask() -> None:
        with pytest.raises(Offline, match="broke"):
            await edge.meta.secret("default", "s")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await cloud.until(lambda: bool(cloud.received))
        assert cloud.link is not None
        await cloud.link.aclose()


@pytest.mark.parametrize("content", [None, 1, "text", [], {"metadata": 1}, {"metadata": {"uid": 7}}, {"spec": {}}])
async def test_a_bad_push_costs_one_error_message(cloud: ScriptedCloud, edge: App, content: object) -> None:
    bad = await cloud.push("insert", "default/pod/bad", content)
    await cloud.until(lambda: [error.parent_id for error in cloud.errors] == [bad.id])
    await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web")))
    assert bad.id not in cloud.acks


async def test_it_reconnects_and_goes_on(cloud: ScriptedCloud, edge: App) -> None:
    assert cloud.link is not None
    await cloud.link.aclose()
    await cloud.until(lambda: cloud.connections == 2 and cloud.link is not None and cloud.keepalives >= 2)
    await cloud.acked(await cloud.push("update", "default/pod/web", pod("web")))


async def test_a_full_disk_is_not_acknowledged_and_passes(cloud: ScriptedCloud, edge: App) -> None:
    def limit(pages: int) -> None:
        edge.store.database.peewee.execute_sql(f"PRAGMA max_page_count = {pages}")

    await edge.store.database.write(lambda: limit(1))
    big = config_map("big", {"k": "v" * 100_000})
    refused = await cloud.push("update", "default/configmap/big", big)
    await cloud.until(lambda: [error.parent_id for error in cloud.errors] == [refused.id])
    await edge.store.database.write(lambda: limit(100_000))
    await cloud.acked(await cloud.push("update", "default/configmap/big", big))
    assert refused.id not in cloud.acks


async def test_a_token_is_found_again_and_goes_with_its_pod(cloud: ScriptedCloud, edge: App) -> None:
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "uid-web"}
    wish = {"spec": {"audiences": None, "expirationSeconds": 3607, "boundObjectRef": bound}}
    issued = {"metadata": {}, "spec": wish["spec"], "status": {"token": "t", "expirationTimestamp": "2999-01-01T00:00:00Z"}}
    await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web")))
    cloud.answer = lambda request: cloud.reply(request, issued)
    assert await edge.meta.service_account_token("default", "default", wish) == issued
    assert await edge.meta.service_account_token("default", "default", wish) == issued
    assert len(cloud.received) == 1
    await cloud.acked(await cloud.push("delete", "default/pod/web", pod("web")))
    assert await edge.store.database.read(lambda: edge.store.keys("serviceaccounttoken")) == set()


@pytest.mark.parametrize("code", [503, 403])
async def test_an_old_token_serves_while_the_cloud_is_ill_but_not_when_it_refuses(
    cloud: ScriptedCloud, edge: App, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    wish = {"spec": {"audiences": None, "expirationSeconds": 3607, "boundObjectRef": {"uid": "uid-web"}}}
    issued = {"metadata": {}, "spec": wish["spec"], "status": {"token": "t", "expirationTimestamp": "2001-01-01T00:00:00Z"}}
    cloud.answer = lambda request: cloud.reply(request, issued)
    await edge.meta.service_account_token("default", "default", wish)
    cloud.answer = lambda request: cloud.reply(request, status_error("Ill", code, "no token now"))
    for _ in range(3):
        if code == 503:
            assert await edge.meta.service_account_token("default", "default", wish) == issued
        else:
            with pytest.raises(Refused, match="no token now"):
                await edge.meta.service_account_token("default", "default", wish)
    assert caplog.text.count("the stored one is handed out") == (1 if code == 503 else 0)


async def test_the_database_is_private(edge: App) -> None:
    assert edge.store.database.path.stat().st_mode & 0o777 == 0o600


async def test_a_deletion_that_the_answer_to_a_status_says_first_is_told(cloud: ScriptedCloud, edge: App) -> None:
    """The push that says it comes second, is older by then, and is ignored."""
    first = pod("web")
    first["metadata"]["resourceVersion"] = "10"
    await cloud.acked(await cloud.push("insert", "default/pod/web", first))
    told: list[ObjectKey] = []
    edge.meta.subscribe(told.append)
    running = first | {"metadata": first["metadata"] | {"resourceVersion": "11"}, "status": {"phase": "Running"}}
    cloud.answer = lambda request: cloud.reply(request, {"Object": running, "Err": None})
    await edge.meta.patch_pod_status("default", "web", {"metadata": {"uid": "uid-web"}, "status": {"phase": "Running"}})
    assert told == [], "its own status is no news"
    going = running | {"metadata": first["metadata"] | {"resourceVersion": "13", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    cloud.answer = lambda request: cloud.reply(request, {"Object": going, "Err": None})
    await edge.meta.patch_pod_status("default", "web", {"metadata": {"uid": "uid-web"}, "status": {"phase": "Running"}})
    assert told == [ObjectKey("pod", "default", "web")]
    late = going | {"metadata": going["metadata"] | {"resourceVersion": "12"}}
    await cloud.acked(await cloud.push("update", "default/pod/web", late))
    assert await edge.meta.pod("default", "web") == going
