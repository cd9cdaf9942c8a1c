"""Whatever a client sends costs one answer; the server goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import trio

from kube import kubeconfig
from viaduct.certificates import Authority
from viaduct.tls import client_context

if TYPE_CHECKING:
    from conftest import Server

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
GOOD = {"metadata": {"name": "cm"}, "data": {"a": "1"}}


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx2.AsyncClient]:
    async with server.client():
        pass  # leaves the administrator's certificate and key beside the kubeconfig
    found = kubeconfig.load(server.kubeconfig)
    tls = client_context(ca=found.ca, certificate=server.folder / "admin.crt", key=server.folder / "admin.key")
    async with httpx2.AsyncClient(base_url=found.server, verify=tls, timeout=20) as client:
        yield client


def status_of(answer: httpx2.Response, code: int) -> dict[str, Any]:
    found = answer.json()
    assert answer.status_code == code, found
    assert (found["kind"], found["status"], found["code"]) == ("Status", "Failure", code)
    return dict(found)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"metadata": {"name": "\xff"}}', "not valid JSON"),
        (b'{"metadata": {"name": "\\ud800"}}', "not valid JSON"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "nested"),
        (b"null", "expected a JSON object"),
        (b"[]", "expected a JSON object"),
        (b'{"kind": "Pod"}', "cannot be handled as a ConfigMap"),
        (b'{"metadata": []}', "metadata: expected an object, got array"),
        (b'{"data": {"a": 1}}', "data.a: expected string, got number"),
        (b'{"metadata": {"name": "x", "namespace": "other"}}', "does not match the namespace sent on the request"),
    ],
)
async def test_bodies_that_are_refused(http: httpx2.AsyncClient, body: bytes, message: str) -> None:
    answer = await http.post(MAPS, content=body, headers={"Content-Type": "application/json"})
    assert message in status_of(answer, 400)["message"]
    assert (await http.post(MAPS, json=GOOD)).status_code == 201


async def test_a_body_that_is_too_large(http: httpx2.AsyncClient) -> None:
    huge = {"metadata": {"name": "cm"}, "data": {"a": "x" * (4 * 1024 * 1024)}}
    assert status_of(await http.post(MAPS, json=huge), 413)["reason"] == "RequestEntityTooLarge"
    large = {"metadata": {"name": "cm"}, "data": {"a": "x" * (2 * 1024 * 1024)}}
    assert "Too long" in status_of(await http.post(MAPS, json=large), 422)["message"]
    assert (await http.post(MAPS, json=GOOD)).status_code == 201


async def test_media_types(http: httpx2.AsyncClient) -> None:
    for media in ("application/yaml", "text/plain", "application/cbor"):
        status_of(await http.post(MAPS, content=b"a: b", headers={"Content-Type": media}), 415)
    await http.post(MAPS, json=GOOD)
    for media in ("application/json", "application/apply-patch+yaml", "text/plain", ""):
        status_of(await http.patch(f"{MAPS}/cm", content=b"{}", headers={"Content-Type": media}), 415)
    status_of(await http.get(MAPS, headers={"Accept": "application/yaml"}), 406)


@pytest.mark.parametrize(
    ("media", "patch", "code"),
    [
        ("json", [{"op": "remove", "path": "/nope"}], 422),
        ("json", [{"op": "fly", "path": "/data"}], 422),
        ("json", {"op": "add"}, 400),
        ("json", [{"op": "replace", "path": "", "value": 7}], 422),
        ("json", [{"op": "replace", "path": "/metadata", "value": None}], 400),
        ("merge", [], 400),
        ("merge", {"data": 1}, 422),
        ("merge", {"metadata": None}, 400),
        ("merge", {"metadata": {"name": "other"}}, 400),
        ("merge", {"metadata": {"labels": {"a b": "c"}}}, 422),
        ("strategic-merge", {"data": {"$patch": "explode"}}, 400),
        ("strategic-merge", {"metadata": {"resourceVersion": "1"}}, 409),
    ],
)
async def test_patches(http: httpx2.AsyncClient, media: str, patch: object, code: int) -> None:
    await http.post(MAPS, json=GOOD)
    headers = {"Content-Type": f"application/{media}-patch+json"}
    answer = await http.patch(f"{MAPS}/cm", content=json.dumps(patch).encode(), headers=headers)
    assert answer.status_code == code, answer.text
    present = (await http.get(f"{MAPS}/cm")).json()
    assert present["metadata"]["name"] == "cm"
    assert present["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/apis/batch/v1/jobs", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/pods/web", 404),
        ("GET", f"{PODS}/web", 404),
        ("GET", f"{PODS}/web/nothing", 404),
        ("POST", f"{PODS}/web/nothing", 404),
        ("GET", f"{MAPS}/cm/status", 404),
        ("PUT", PODS, 405),
        ("POST", f"{PODS}/web", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("DELETE", f"{PODS}/web/status", 405),
        ("GET", f"{PODS}?limit=x", 400),
        ("GET", f"{PODS}?limit=--1", 400),
        ("GET", f"{PODS}?continue=zzz", 400),
        ("GET", f"{PODS}?continue=bnVsbA", 400),
        ("GET", f"{PODS}?labelSelector=a+in+(", 400),
        ("GET", f"{PODS}?fieldSelector=x", 400),
        ("GET", f"{PODS}?watch=1&resourceVersion=x", 500),
        ("GET", f"{PODS}?watch=1&resourceVersion=-5", 500),
        ("GET", f"{PODS}?watch=1&timeoutSeconds=soon", 400),
        ("GET", f"{PODS}?a=%ff", 400),
        ("DELETE", f"{PODS}?labelSelector=!!", 400),
    ],
)
async def test_requests_that_make_no_sense(http: httpx2.AsyncClient, method: str, path: str, code: int) -> None:
    status_of(await http.request(method, path, json={} if method in ("PUT", "POST") else None), code)


async def test_a_watch_from_another_life_is_told_to_list_again(http: httpx2.AsyncClient) -> None:
    answer = await http.get(f"{PODS}?watch=1&resourceVersion=999999999")
    event = json.loads(answer.text)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_watch_ends_in_time_and_begins_with_what_is_there(http: httpx2.AsyncClient) -> None:
    await http.post(MAPS, json=GOOD)
    path = f"{MAPS}?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    events = [json.loads(line) for line in (await http.get(path)).text.splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_without_a_certificate_only_health_and_version(server: Server) -> None:
    found = kubeconfig.load(server.kubeconfig)
    async with httpx2.AsyncClient(base_url=found.server, verify=client_context(ca=found.ca)) as client:
        assert (await client.get("/healthz")).text == "ok"
        assert (await client.get("/version")).json()["major"] == "1"
        for path in ("/api", PODS, "/openapi/v3"):
            assert status_of(await client.get(path), 401)["reason"] == "Unauthorized"
        wrong = {"Authorization": "Bearer nonsense"}
        status_of(await client.get(PODS, headers=wrong), 401)


async def test_a_patch_that_grows_without_end_is_refused(http: httpx2.AsyncClient) -> None:
    await http.post(MAPS, json=GOOD)
    headers = {"Content-Type": "application/json-patch+json"}
    wide = [{"op": "copy", "from": "/data", "path": f"/data/x{number}"} for number in range(60)]
    deep = [{"op": "copy", "from": "", "path": "/data" * 2**number} for number in range(12)]
    for bomb in (wide, deep):
        answer = await http.patch(f"{MAPS}/cm", content=json.dumps(bomb).encode(), headers=headers)
        assert answer.status_code in (400, 422), answer.text
    assert (await http.get(f"{MAPS}/cm")).json()["data"] == {"a": "1"}


async def test_only_whole_names_are_open_to_everybody(server: Server) -> None:
    found = kubeconfig.load(server.kubeconfig)
    async with httpx2.AsyncClient(base_url=found.server, verify=client_context(ca=found.ca)) as client:
        assert (await client.get("/readyz/ping")).status_code == 200
        status_of(await client.get("/versions"), 401)
        status_of(await client.post("/healthz"), 401)


async def test_a_path_that_is_a_star(server: Server) -> None:
    found = kubeconfig.load(server.kubeconfig)
    tcp = await trio.open_tcp_stream("127.0.0.1", server.port)
    async with trio.SSLStream(tcp, client_context(ca=found.ca), server_hostname="127.0.0.1", https_compatible=True) as raw:
        await raw.send_all(b"GET * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.receive_some()).startswith(b"HTTP/1.1 401 ")


async def test_an_edges_certificate_does_not_open_the_api(server: Server) -> None:
    """KubeEdge's CA signs nodes; only the API's own CA signs its administrators, whatever else stands in a certificate."""
    found = kubeconfig.load(server.kubeconfig)
    for authority in (Authority.create(), Authority.create("kubernetes")):
        pair = authority.issue_client("kubernetes-admin", ["system:masters"], 1)
        tls = client_context(ca=found.ca, certificate=pair.certificate_pem, key=pair.key_pem)
        async with httpx2.AsyncClient(base_url=found.server, verify=tls, timeout=20) as client:
            with pytest.raises(httpx2.TransportError):
                await client.get(PODS)


async def test_a_body_in_pieces_counts_like_any_other(server: Server, http: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"metadata":{"name":"cm"},"data":{"a":"'
        for _ in range(64):
            yield b"x" * 65536
        yield b'"}}'

    answer = await http.post(MAPS, content=endless(), headers={"Content-Type": "application/json"})
    assert status_of(answer, 413)["reason"] == "RequestEntityTooLarge"
    assert (await http.post(MAPS, json=GOOD)).status_code == 201


async def test_bodies_that_do_not_come_hold_nobody_up(server: Server, http: httpx2.AsyncClient) -> None:
    found = kubeconfig.load(server.kubeconfig)
    tls = client_context(ca=found.ca, certificate=server.folder / "admin.crt", key=server.folder / "admin.key")
    head = f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
    starts = (
        b"Content-Length: 3000000\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    )
    async with AsyncExitStack() as doors:
        for start in starts * 5:
            tcp = await trio.open_tcp_stream("127.0.0.1", server.port)
            raw = trio.SSLStream(tcp, tls, server_hostname="127.0.0.1", https_compatible=True)
            await doors.enter_async_context(raw)
            await raw.send_all(head + start)
        assert (await http.post(MAPS, json=GOOD)).status_code == 201
    assert [item["metadata"]["name"] for item in (await http.get(MAPS)).json()["items"]] == ["cm"]
