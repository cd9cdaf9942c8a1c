"""The client against a server that answers well, badly, slowly and not at all."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from kube.client import Client
from kube.kubeconfig import Connection
from kube.resources import LEASES, NODES, PODS
from kube.status import AlreadyExists, ApiError, ApiUnreachable, BadAnswer, Conflict, NotFound
from kube.transport import Limits

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"}}


def status(code: int, reason: str, message: str, **details: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }


def client_of(api: Any, **options: Any) -> Client:
    return Client(api.url, tls=None, **options)


async def test_reads_an_object(api: Any) -> None:
    api.then(POD)
    async with client_of(api, token="secret", user_agent="test/1") as client:
        assert await client.get(PODS, "web", namespace="default") == POD
    asked = api.requests[0]
    assert (asked.method, asked.path) == ("GET", "/api/v1/namespaces/default/pods/web")
    assert asked.headers["authorization"] == "Bearer secret"
    assert asked.headers["user-agent"] == "test/1"
    assert asked.headers["accept"] == "application/json"


async def test_fills_in_what_an_object_is(api: Any) -> None:
    api.then({"metadata": {"name": "n"}})
    async with client_of(api) as client:
        assert await client.get(NODES, "n") == {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"}}


async def test_uses_one_connection_for_one_request_after_the_other(api: Any) -> None:
    for _ in range(3):
        api.then(POD)
    async with client_of(api) as client:
        for _ in range(3):
            await client.get(PODS, "web", namespace="default")
    assert api.connections == 1


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [(404, "NotFound", NotFound), (409, "AlreadyExists", AlreadyExists), (409, "Conflict", Conflict), (422, "Invalid", ApiError)],
)
async def test_a_refusal_is_what_the_status_says(api: Any, code: int, reason: str, kind: type[ApiError]) -> None:
    api.then(status(code, reason, "because", name="web"), code)
    async with client_of(api) as client:
        with pytest.raises(kind) as caught:
            await client.get(PODS, "web", namespace="default")
    assert (caught.value.code, caught.value.reason, str(caught.value)) == (code, reason, "because")
    assert caught.value.details == {"name": "web"}


async def test_a_proxy_that_answers_html_is_named(api: Any) -> None:
    api.then(b"<h1>Bad\ngateway</h1>", 502)
    async with client_of(api) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(PODS, "web", namespace="default")
    assert caught.value.code == 502
    assert "<h1>Bad gateway</h1>" in str(caught.value)
    assert f"GET {api.url}/api/v1/namespaces/default/pods/web" in str(caught.value)


async def test_retry_after_is_read_from_the_header(api: Any) -> None:
    api.then(status(429, "TooManyRequests", "slow down"), 429, "Retry-After: 7\r\n")
    async with client_of(api) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(NODES, "n")
    assert caught.value.retry_after == 7


async def test_a_redirect_is_not_followed(api: Any) -> None:
    api.then(b"", 302, "Location: http://192.0.2.1/\r\n")
    async with client_of(api) as client:
        with pytest.raises(ApiError) as caught:
            await client.get(NODES, "n")
    assert caught.value.code == 302


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"{", b"", b"\xff", b"[" * 100_000])
async def test_an_answer_that_is_no_object(api: Any, body: bytes) -> None:
    api.then(body)
    async with client_of(api) as client:
        with pytest.raises(BadAnswer, match="the answer is no Kubernetes object"):
            await client.get(NODES, "n")


async def test_an_answer_over_the_limit_is_not_collected(api: Any) -> None:
    api.then(b"x" * 100_000)
    async with client_of(api, limits=Limits(body=10_000)) as client:
        with pytest.raises(BadAnswer, match="larger than 10000 bytes"):
            await client.get(NODES, "n")


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", tls=None) as client:
        with pytest.raises(ApiUnreachable, match="cannot connect: Connection refused"):
            await client.get(NODES, "n")


async def test_something_else_listens(api: Any) -> None:
    async def ssh(peer: Any, request: Any) -> None:
        await peer.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await peer.cut()

    api.play(ssh, ssh)
    async with client_of(api) as client:
        with pytest.raises(ApiUnreachable, match="the connection broke"):
            await client.get(NODES, "n")


async def test_a_slow_answer_has_a_deadline(api: Any, patient_clock: Any) -> None:
    async def dribble(peer: Any, request: Any) -> None:
        await peer.head()
        while True:
            await peer.chunk(b" ")
            await trio.sleep(1)

    api.play(dribble)
    async with client_of(api, timeout=30) as client:
        started = trio.current_time()
        with pytest.raises(ApiUnreachable, match="no complete answer within 30 s"):
            await client.get(NODES, "n")
    assert trio.current_time() - started == pytest.approx(30, abs=1)


async def test_no_answer_at_all_has_a_deadline(api: Any, patient_clock: Any) -> None:
    async with client_of(api, timeout=5) as client:
        with pytest.raises(ApiUnreachable, match="no complete answer within 5 s"):
            await client.get(NODES, "n")


async def test_a_read_on_a_dead_connection_is_tried_again(api: Any) -> None:
    async def drop(peer: Any, request: Any) -> None:
        await peer.cut()

    api.play(drop)
    api.then(POD)
    async with client_of(api) as client:
        assert await client.get(PODS, "web", namespace="default") == POD


async def test_a_write_is_never_sent_twice(api: Any) -> None:
    async def drop(peer: Any, request: Any) -> None:
        await peer.cut()

    api.play(drop)
    api.then(POD)
    async with client_of(api) as client:
        with pytest.raises(ApiUnreachable):
            await client.create(PODS, POD, namespace="default")
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("json", "application/json-patch+json"),
        ("merge", "application/merge-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
        ("apply", "application/apply-patch+yaml"),
    ],
)
async def test_patches_say_what_they_are(api: Any, kind: Any, content_type: str) -> None:
    api.then(POD)
    async with client_of(api) as client:
        await client.patch(PODS, "web", {"a": 1}, kind=kind, namespace="default", subresource="status", field_manager="me")
    asked = api.requests[0]
    assert (asked.method, asked.path) == ("PATCH", "/api/v1/namespaces/default/pods/web/status")
    assert asked.headers["content-type"] == content_type
    assert asked.query == {"fieldManager": "me"}
    assert asked.json == {"a": 1}


async def test_create_and_replace(api: Any) -> None:
    api.then(POD, 201)
    api.then(POD)
    async with client_of(api) as client:
        await client.create(PODS, POD, namespace="default")
        await client.replace(LEASES, "edge-1", {"spec": {}}, namespace="kube-node-lease")
    made, replaced = api.requests
    assert (made.method, made.path, made.json) == ("POST", "/api/v1/namespaces/default/pods", POD)
    assert (replaced.method, replaced.path) == ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/edge-1")


async def test_a_deletion_carries_grace_and_preconditions(api: Any) -> None:
    api.then(POD)
    async with client_of(api) as client:
        await client.delete(PODS, "web", namespace="default", grace_seconds=0, uid="u1", resource_version="7")
    assert api.requests[0].json == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u1", "resourceVersion": "7"},
    }


def page(names: str, version: str = "10", token: str = "") -> dict[str, Any]:
    items = [{"metadata": {"name": name}} for name in names]
    return {"kind": "NodeList", "metadata": {"resourceVersion": version, "continue": token}, "items": items}


async def test_a_list_is_fetched_in_pages(api: Any) -> None:
    api.then(page("ab", token="t1"))
    api.then(page("c"))
    async with client_of(api) as client:
        listing = await client.list(NODES, limit=2, label_selector="a=b", field_selector="metadata.name!=x")
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b", "c"]
    assert listing.items[0]["kind"] == "Node"
    assert listing.resource_version == "10"
    assert [request.query.get("continue") for request in api.requests] == [None, "t1"]
    assert api.requests[1].query["labelSelector"] == "a=b"
    assert api.requests[1].query["fieldSelector"] == "metadata.name!=x"


async def test_a_list_whose_pages_expire_is_fetched_whole(api: Any) -> None:
    api.then(page("ab", token="t1"))
    api.then(status(410, "Expired", "The provided continue parameter is too old"), 410)
    api.then(page("abc", version="12"))
    async with client_of(api) as client:
        listing = await client.list(NODES, limit=2)
    assert (len(listing.items), listing.resource_version) == (3, "12")
    assert "limit" not in api.requests[2].query


async def test_a_list_that_goes_in_circles_ends(api: Any) -> None:
    api.then(page("a", token="t"))
    api.then(page("a", token="t"))
    async with client_of(api) as client:
        with pytest.raises(BadAnswer, match="the same page twice"):
            await client.list(NODES)


@pytest.mark.parametrize("body", [{"items": None}, {}])
async def test_an_empty_list_may_be_null(api: Any, body: Any) -> None:
    api.then(body)
    async with client_of(api) as client:
        assert (await client.list(NODES)).items == ()


@pytest.mark.parametrize("body", [{"items": {}}, {"items": [1]}, {"metadata": None}, {"metadata": {"continue": 5}}, []])
async def test_a_list_of_the_wrong_shape(api: Any, body: Any) -> None:
    api.then(body)
    async with client_of(api) as client:
        with pytest.raises(BadAnswer, match="the answer is no list"):
            await client.list(NODES)


async def test_the_token_is_read_anew_for_each_request(api: Any, tmp_path: Path) -> None:
    api.then(POD)
    api.then(POD)
    file = tmp_path / "token"
    file.write_text("one\n")
    async with Client.of(Connection(server=api.url, token_file=file), tls=None) as client:
        await client.get(NODES, "n")
        file.write_text("two\n")
        await client.get(NODES, "n")
        file.unlink()
        with pytest.raises(ApiUnreachable, match="No such file"):
            await client.get(NODES, "n")
    assert [request.headers["authorization"] for request in api.requests] == ["Bearer one", "Bearer two"]


async def test_many_requests_share_a_bounded_pool(api: Any) -> None:
    for _ in range(20):
        api.then(POD)
    async with client_of(api, limits=Limits(connections=3)) as client, trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(client.get, NODES, "n")
    assert len(api.requests) == 20
    assert api.connections <= 3


def test_the_server_must_be_a_url_and_tls_be_given() -> None:
    with pytest.raises(ValueError, match="a URL like"):
        Client("host:6443", tls=None)
    with pytest.raises(ValueError, match="a TLS context is needed"):
        Client("https://host:6443", tls=None)


async def serve_tls(api: Any, context: ssl.SSLContext, nursery: trio.Nursery) -> int:
    async def handle(stream: trio.SocketStream) -> None:
        try:
            await api.handle(trio.SSLStream(stream, context, server_side=True))
        except trio.BrokenResourceError:
            await stream.aclose()

    listeners = await nursery.start(lambda task_status: trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status))
    return int(listeners[0].socket.getsockname()[1])


async def test_tls_with_the_right_and_with_a_wrong_authority(api: Any) -> None:
    authority, other = trustme.CA(), trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("kubernetes").configure_cert(server)
    trusting, doubting = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(trusting)
    other.configure_trust(doubting)
    api.then(POD)
    async with trio.open_nursery() as nursery:
        url = f"https://127.0.0.1:{await serve_tls(api, server, nursery)}"
        async with Client(url, tls=trusting, server_name="kubernetes") as client:
            assert await client.get(NODES, "n") == POD
        async with Client(url, tls=trusting) as client:
            with pytest.raises(ApiUnreachable, match=r"its certificate was refused: .*127\.0\.0\.1"):
                await client.get(NODES, "n")
        async with Client(url, tls=doubting, server_name="kubernetes") as client:
            with pytest.raises(ApiUnreachable, match="its certificate was refused: unable to get local issuer certificate"):
                await client.get(NODES, "n")
        nursery.cancel_scope.cancel()
