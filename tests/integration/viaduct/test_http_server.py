"""The HTTP server with real clients and with bytes that no client should send."""

# ruff: noqa: SIM117
from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
import trio
import trio.testing

from viaduct.http_server import BodyIncomplete, BodyTooLarge, HttpLimits, PeerCertificate, read_body

LIMIT = 100_000


async def answer(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def mirror(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was asked."""
    try:
        body = await read_body(receive, LIMIT)
    except BodyTooLarge as error:
        await answer(send, 413, str(error).encode())
        return
    peer: PeerCertificate | None = scope["state"]["peer"]
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "node": dict(scope["headers"]).get(b"nodename", b"").decode(),
        "body": body.decode(),
        "peer": [peer.common_name, list(peer.organizations), len(peer.der) > 100] if peer else None,
    }
    await answer(send, 200, json.dumps(told).encode())


def https(cluster: Any, node: str | None = "edge-1") -> httpx2.AsyncClient:
    return httpx2.AsyncClient(verify=cluster.client_tls(node), trust_env=False, timeout=10)


async def test_a_get_with_a_body_and_the_certificate_of_the_peer(cluster: Any, web: Any) -> None:
    async with web(mirror) as port, https(cluster) as client:
        address = f"https://127.0.0.1:{port}/edge.crt?a=b%20c"
        got = await client.request("GET", address, content=b"the request", headers={"NodeName": "edge-1"})
        assert got.status_code == 200
        assert got.json() == {
            "method": "GET",
            "path": "/edge.crt",
            "query": "a=b%20c",
            "node": "edge-1",
            "body": "the request",
            "peer": ["system:node:edge-1", ["system:nodes"], True],
        }
        assert "server" not in got.headers


async def test_a_client_without_certificate_is_nobody(cluster: Any, web: Any) -> None:
    async with web(mirror) as port, https(cluster, None) as client:
        assert (await client.get(f"https://127.0.0.1:{port}/")).json()["peer"] is None


async def test_a_certificate_of_another_cluster_is_not_let_in(cluster: Any, other_cluster: Any, web: Any) -> None:
    from viaduct.tls import client_context

    certificate, key = other_cluster.node("edge-1")
    tls = client_context(ca=cluster.folder / "ca.crt", certificate=certificate, key=key)
    async with web(mirror) as port, httpx2.AsyncClient(verify=tls, trust_env=False) as client:
        with pytest.raises(httpx2.HTTPError):
            await client.get(f"https://127.0.0.1:{port}/")


async def test_plain_http(web: Any) -> None:
    async with web(mirror, tls=False) as port, httpx2.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            got = await client.post(f"http://127.0.0.1:{port}/x", content=b"hello")
            assert (got.json()["body"], got.json()["peer"]) == ("hello", None)


async def test_an_endless_answer_is_cancelled_when_the_client_goes(cluster: Any, web: Any) -> None:
    ended = trio.Event()

    async def watch(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
            await trio.sleep_forever()  # nothing happens in the cluster, and it does not listen for the disconnection
        finally:
            ended.set()

    async with web(watch) as port:
        tcp = await trio.open_tcp_stream("127.0.0.1", port)
        async with trio.SSLStream(tcp, cluster.client_tls(), server_hostname="127.0.0.1", https_compatible=True) as raw:
            await raw.send_all(b"GET /pods?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            with trio.fail_after(10):
                while b"first" not in data:
                    data += await raw.receive_some()
        with trio.fail_after(10):
            await ended.wait()


async def test_an_endless_answer_goes_on_as_long_as_the_client_stays(web: Any) -> None:
    async def count(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive, LIMIT)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(50):
            await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
            await trio.sleep(0.01)
        await send({"type": "http.response.body", "body": b""})

    limits = HttpLimits(keep_alive=0.2)  # which is about idle connections only
    async with web(count, tls=False, limits=limits) as port, httpx2.AsyncClient(trust_env=False) as client:
        got = await client.get(f"http://127.0.0.1:{port}/")
        assert got.text.split() == [str(number) for number in range(50)]


@pytest.mark.parametrize("reads", [True, False])
async def test_a_body_that_is_too_large_is_answered_and_the_server_goes_on(web: Any, reads: bool) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 413, b"too large")

    async with web(mirror if reads else refuse, tls=False) as port:
        for _ in range(3):
            async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
                await raw.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1_500_000)
                head = await read_head(raw)
                assert head.startswith(b"HTTP/1.1 413 ")
                assert b"connection: close" in head.lower(), "or the client sends its next request into this connection"


async def read_head(raw: trio.SocketStream) -> bytes:
    data = b""
    with trio.fail_after(10):
        while b"\r\n\r\n" not in data:
            piece = await raw.receive_some(65536)
            if not piece:
                break
            data += piece
    return data


async def test_an_application_that_fails_costs_one_answer(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
        if scope["path"] != "/silent":
            raise RuntimeError("out of luck")

    async with web(broken, tls=False) as port, httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        for _ in range(2):
            assert (await client.get(f"http://127.0.0.1:{port}/early")).status_code == 500
        assert "out of luck" in caplog.text
        with pytest.raises(httpx2.RemoteProtocolError):  # a cut answer must not look like a whole one
            await client.get(f"http://127.0.0.1:{port}/late")
        with pytest.raises(httpx2.HTTPError):
            await client.get(f"http://127.0.0.1:{port}/silent")
        assert (await client.get(f"http://127.0.0.1:{port}/early")).status_code == 500


async def test_a_connection_that_is_closed_makes_room_at_once(cluster: Any, web: Any) -> None:
    async with web(mirror, limits=HttpLimits(connections=1, keep_alive=3600)) as port:
        for _ in range(3):
            async with https(cluster) as client:
                assert (await client.get(f"https://127.0.0.1:{port}/")).status_code == 200
            await trio.testing.wait_all_tasks_blocked(0.1)


async def test_more_connections_than_allowed_are_turned_away(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with web(mirror, tls=False, limits=HttpLimits(connections=1)) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as first:
            async with await trio.open_tcp_stream("127.0.0.1", port) as second:
                with trio.fail_after(10):
                    assert await second.receive_some() == b""
            await first.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await read_head(first)).startswith(b"HTTP/1.1 200 ")
    assert "refused" in caplog.text


async def test_headers_that_never_end_are_cut(web: Any) -> None:
    async with web(mirror, tls=False, limits=HttpLimits(keep_alive=0.5)) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            assert await read_head(raw) == b""


async def test_headers_that_are_too_large_are_refused(web: Any) -> None:
    async with web(mirror, tls=False) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Flood: " + b"x" * 200_000)
            assert (await read_head(raw)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"NONSENSE\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_not_a_request_of_ours_costs_one_connection(web: Any, data: bytes) -> None:
    async with web(mirror, tls=False, limits=HttpLimits(keep_alive=1.0)) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(data)
            with trio.fail_after(10):
                try:
                    while part := await raw.receive_some():
                        assert b" 200 " not in part
                except trio.BrokenResourceError:
                    pass
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200


UPGRADE = (
    b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_wish_for_a_web_socket_is_answered_as_the_request_that_it_is(web: Any) -> None:
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        assert await read_body(receive, LIMIT) == b""
        assert (scope["type"], scope["method"], scope["path"]) == ("http", "GET", "/page")
        await answer(send, 501, b"not here")

    async with web(refuse, tls=False) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(UPGRADE)
            with trio.fail_after(10):
                head = await read_head(raw)
                assert head.startswith(b"HTTP/1.1 501 ")
                while b"not here" not in head:
                    head += await raw.receive_some()


async def test_a_client_that_leaves_in_the_middle_of_its_wish_cancels_the_application(web: Any) -> None:
    left = trio.Event()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    async with web(wait, tls=False) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(UPGRADE)
            await trio.testing.wait_all_tasks_blocked(0.1)
        with trio.fail_after(10):
            await left.wait()


async def test_a_client_that_takes_nothing_does_not_hold_up_the_end(web: Any) -> None:
    async def flood(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})

    async with web(flood, tls=False, limits=HttpLimits(write=3600)) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await read_head(raw)
            await trio.testing.wait_all_tasks_blocked(0.2)
    # the fixture fails when the server does not stop


async def test_a_client_that_takes_nothing_is_cut(web: Any) -> None:
    ended = trio.Event()

    async def flood(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        finally:
            ended.set()

    async with web(flood, tls=False, limits=HttpLimits(write=0.5)) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with trio.fail_after(20):
                await ended.wait()


async def test_a_body_that_stops_half_way(web: Any) -> None:
    outcomes: list[Exception] = []

    async def strict(scope: Any, receive: Any, send: Any) -> None:
        try:
            await read_body(receive, LIMIT, seconds=0.5)
        except BodyIncomplete as error:
            outcomes.append(error)
            raise

    async with web(strict, tls=False) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
            await read_head(raw)
    assert "did not come within 0.5 s" in str(outcomes[0])


async def test_nothing_is_written_about_ordinary_requests(
    cluster: Any, web: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with web(mirror) as port, https(cluster) as client:
        assert (await client.get(f"https://127.0.0.1:{port}/")).status_code == 200
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if not record.name.startswith("http")] == []


async def test_expect_continue(web: Any) -> None:
    async with web(mirror, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await read_head(raw)).startswith(b"HTTP/1.1 100 ")
        await raw.send_all(b"hi")
        assert (await read_head(raw)).startswith(b"HTTP/1.1 200 ")


async def test_two_requests_in_one_packet(web: Any) -> None:
    request = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    async with web(mirror, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(request % 1 + request % 2)
        data = b""
        with trio.fail_after(10):
            while not (b'"/1"' in data and b'"/2"' in data):
                data += await raw.receive_some()
        assert data.index(b'"/1"') < data.index(b'"/2"')


async def test_what_follows_a_body_that_nobody_read_is_still_a_request(web: Any) -> None:
    """The body has come whole with its request, so the connection can go on."""

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 200, scope["path"].encode())

    async with web(deaf, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /GET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        with trio.fail_after(10):
            while not data.endswith(b"/2"):
                data += await raw.receive_some()
        assert data.count(b"HTTP/1.1 200 ") == 2
        assert b"close" not in data.lower()


async def test_the_answer_to_head_has_a_length_and_no_body(web: Any) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 200, b"page")

    async with web(page, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        with trio.fail_after(10):
            while part := await raw.receive_some():
                data += part
        assert b"content-length: 4" in data.lower()
        assert data.endswith(b"\r\n\r\n")


async def test_a_body_in_pieces_that_breaks_is_refused(web: Any) -> None:
    async with web(mirror, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await raw.send_all(b"nonsense\r\n")
        assert (await read_head(raw)).startswith(b"HTTP/1.1 400 ")
        with trio.fail_after(10):
            while await raw.receive_some():
                pass


async def test_a_wish_for_http2_is_passed_over(web: Any) -> None:
    """Java's own client has it with every first request on plain HTTP."""
    wish = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with web(mirror, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        for body in (b"one", b"two"):
            await raw.send_all(b"POST / HTTP/1.1\r\n" + wish + b"Content-Length: 3\r\n\r\n" + body)
            data = b""
            with trio.fail_after(10):
                while body not in data:
                    data += await raw.receive_some()
            assert data.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"400"),
        (b"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n", b"400"),
        (b"POST / HTTP/2.0\r\nHost: x\r\nContent-Length: 5\r\n", b"505"),
    ],
)
async def test_no_request_hides_in_another(web: Any, head: bytes, status: bytes) -> None:
    """Whatever follows such a head is answered by the end of the connection."""
    async with web(mirror, tls=False) as port, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        await raw.send_all(head + b"\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        with trio.fail_after(10):
            while part := await raw.receive_some():
                data += part
    assert data.startswith(b"HTTP/1.1 " + status)
    assert data.count(b"HTTP/1.1 ") == 1


async def test_a_request_whose_client_has_gone_while_the_one_before_was_answered_is_not_begun(web: Any) -> None:
    begun: list[str] = []

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        with trio.CancelScope(shield=True):  # it is done with its answer just when the client goes
            await trio.testing.wait_all_tasks_blocked(0.1)
            await answer(send, 200, b"")

    async with web(wait, tls=False) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as raw:
            await raw.send_all(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
            await raw.send_eof()
            with trio.fail_after(10):
                while await raw.receive_some():
                    pass
    assert begun == ["/1"]
