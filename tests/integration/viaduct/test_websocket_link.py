"""Both ends are ours: what a link carries, how it ends, and what it tells then."""

# ruff: noqa: SIM117
from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from ports import free_port

from beehive.message import build
from beehive.supervise import Fatal, fatal_cause
from viaduct import websocket
from viaduct.link import Limits, Link, LinkClosed, LinkError, MessageTooBig, Peer
from viaduct.listen import open_listeners, port_of
from viaduct.tls import client_context

PROJECT = "e632aba927ea4ac2b575ec1603d56f10"
KEEPALIVE = build(source="websocket", group="resource", operation="keepalive", resource="node", content="ping")


def url(port: int, host: str = "127.0.0.1") -> str:
    return f"wss://{host}:{port}/{PROJECT}/edge-1/events"


async def echo(link: Link) -> None:
    while True:
        await link.send(await link.receive())


async def refuse(port: int, tls: Any, host: str = "127.0.0.1", limits: Limits | None = None) -> str:
    with pytest.raises(LinkError) as caught:
        async with websocket.connect(url(port, host), tls=tls, node="edge-1", project=PROJECT, limits=limits) as link:
            await link.receive()
    return str(caught.value)


async def test_messages_go_both_ways_and_the_cloud_knows_who_is_there(cluster: Any, cloud: Any) -> None:
    peers: list[Peer] = []

    async def handler(link: Link) -> None:
        peers.append(link.peer)
        await echo(link)

    async with cloud(handler) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            await link.send(KEEPALIVE)
            answer = await link.receive()
            assert (answer.header, answer.route, bytes(answer.content)) == (KEEPALIVE.header, KEEPALIVE.route, b'"ping"')
    [peer] = peers
    assert (peer.node, peer.project, peer.use) == ("edge-1", PROJECT, "msg")
    assert peer.common_name == "system:node:edge-1"
    assert peer.address.startswith("127.0.0.1:")


@pytest.mark.parametrize("word", ["config", "ping", "pong"])
async def test_the_words_of_the_transport_are_answered_by_it_and_go_no_further(cluster: Any, cloud: Any, word: str) -> None:
    """KubeEdge 1.23: pkg/viaduct/pkg/conn/ws.go, filterControlMessage."""
    seen: list[str] = []

    async def handler(link: Link) -> None:
        while True:
            seen.append((await link.receive()).operation)
            await link.send(KEEPALIVE)

    async with cloud(handler) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            asked = build(source="s", group="g", operation=word, resource="r", content="x")
            await link.send(asked)
            answer = await link.receive()
            assert (answer.operation, answer.parent_id, bytes(answer.content)) == ("response", asked.id, b'"ack"')
            assert (answer.route.source, answer.route.group, answer.resource) == ("s", "g", "r")
            await link.send(KEEPALIVE)
            await link.receive()
    assert seen == ["keepalive"]


async def test_many_senders_and_large_messages_keep_every_message_whole(cluster: Any, cloud: Any) -> None:
    messages = [build(source="a", group="g", operation="update", resource=f"n/pod/{i}", content="ä" * 200_000) for i in range(8)]
    async with cloud(echo) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            async with trio.open_nursery() as nursery:
                for message in messages:
                    nursery.start_soon(link.send, message)
                back = [await link.receive() for _ in messages]
    assert {m.id: bytes(m.content) for m in back} == {m.id: bytes(m.content) for m in messages}


async def test_the_end_says_who_ended_it(cluster: Any, cloud: Any) -> None:
    async def bye(link: Link) -> None:
        await link.receive()
        await link.aclose("node limit reached")

    async with cloud(bye) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            await link.send(KEEPALIVE)
            with pytest.raises(LinkClosed, match="node limit reached"):
                await link.receive()
            with pytest.raises(LinkClosed, match="node limit reached"):
                await link.send(KEEPALIVE)
            await link.aclose()


async def test_the_cloud_sees_that_an_edge_goes(cluster: Any, cloud: Any) -> None:
    reasons: list[str] = []
    gone = trio.Event()

    async def handler(link: Link) -> None:
        try:
            await link.receive()
        except LinkClosed as error:
            reasons.append(str(error))
            gone.set()

    async with cloud(handler) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            await link.aclose("certificate rotated")
        with trio.fail_after(10):
            await gone.wait()
    assert "edge-1" in reasons[0]
    assert "certificate rotated" in reasons[0]


async def test_errors_of_the_block_come_out_as_they_are(cluster: Any, cloud: Any) -> None:
    async with cloud(echo) as port:
        with pytest.raises(ZeroDivisionError):
            async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT):
                raise ZeroDivisionError
        with trio.CancelScope() as scope:
            async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
                scope.cancel()
                await link.receive()
        assert scope.cancelled_caught


async def test_a_handler_that_fails_costs_its_own_link_only(cluster: Any, cloud: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(link: Link) -> None:
        if link.peer.node == "edge-2":
            raise RuntimeError("broken")
        await echo(link)

    async with cloud(handler) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as good:
            async with websocket.connect(url(port), tls=cluster.client_tls("edge-2"), node="edge-2", project=PROJECT) as bad:
                with pytest.raises(LinkClosed):
                    await bad.receive()
            await good.send(KEEPALIVE)
            assert (await good.receive()).id == KEEPALIVE.id
    assert "edge-2" in caplog.text


async def test_a_fatal_error_of_a_handler_passes(cluster: Any, cloud: Any) -> None:
    async def handler(link: Link) -> None:
        raise Fatal("the disk is full")

    with pytest.raises(BaseException) as caught:
        async with cloud(handler) as port:
            await refuse(port, cluster.client_tls())
            await trio.sleep_forever()
    assert fatal_cause(caught.value) is not None


async def test_a_message_that_no_link_may_carry_is_refused_before_it_is_sent(cluster: Any, cloud: Any) -> None:
    big = build(source="a", group="g", operation="update", resource="n/configmap/big", content="x" * 2000)
    limits = Limits(message=1000)
    async with cloud(echo) as port:
        tls = cluster.client_tls()
        async with websocket.connect(url(port), tls=tls, node="edge-1", project=PROJECT, limits=limits) as link:
            with pytest.raises(MessageTooBig, match="n/configmap/big"):
                await link.send(big)
            await link.send(KEEPALIVE)
            assert (await link.receive()).id == KEEPALIVE.id


async def test_a_message_too_big_for_the_peer_ends_the_link_and_both_know_why(cluster: Any, cloud: Any) -> None:
    reasons: list[str] = []

    async def handler(link: Link) -> None:
        try:
            await link.receive()
        except LinkClosed as error:
            reasons.append(str(error))
            raise

    big = build(source="a", group="g", operation="update", resource="n/configmap/big", content="x" * 100_000)
    async with cloud(handler, limits=Limits(message=50_000)) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            with pytest.raises(LinkClosed, match="maximum message size"):
                await link.send(big)
                await link.receive()
    assert "maximum message size" in reasons[0]


async def test_more_connections_than_allowed_are_turned_away(cluster: Any, cloud: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with cloud(echo, max_connections=1) as port:
        async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
            await refuse(port, cluster.client_tls("edge-2"))
            await link.send(KEEPALIVE)
            await link.receive()
        assert "are open, as many as are allowed" in caplog.text


async def test_nobody_listens(cluster: Any) -> None:
    port = free_port()
    assert f"127.0.0.1:{port} refuses connections" in await refuse(port, cluster.client_tls())


async def test_a_name_that_does_not_exist(cluster: Any) -> None:
    assert "'cloud.invalid' is not known" in await refuse(10000, cluster.client_tls(), host="cloud.invalid")


async def test_an_address_that_makes_no_sense(cluster: Any) -> None:
    for address in ("http://127.0.0.1/", "wss://", "wss://[::1", "wss://127.0.0.1:99999/", ""):
        with pytest.raises(LinkError, match="wss://host:port/path"):
            async with websocket.connect(address, tls=cluster.client_tls(), node="edge-1", project=PROJECT):
                pass


async def test_a_server_that_says_nothing(cluster: Any) -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")
    async with listener:
        text = await refuse(port_of([listener]), cluster.client_tls(), limits=Limits(handshake=0.3))
    assert "does not answer" in text


async def test_a_server_that_speaks_no_tls(cluster: Any) -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")

    async def greet(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"220 mail.example.org ESMTP\r\n" * 20)
            await stream.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, greet, [listener])
        assert "does not speak TLS" in await refuse(port_of([listener]), cluster.client_tls())
        nursery.cancel_scope.cancel()


async def test_a_proxy_that_has_nothing_behind_it(cluster: Any) -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")

    async def drop(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, drop, [listener])
        text = await refuse(port_of([listener]), cluster.client_tls())
        assert "closed the connection in the middle of the TLS handshake" in text
        assert "does not speak TLS" not in text
        nursery.cancel_scope.cancel()


async def test_another_cluster(cluster: Any, other_cluster: Any, cloud: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with cloud(echo) as port:
            assert "not signed by the CA that this node trusts" in await refuse(port, other_cluster.client_tls())
            await trio.testing.wait_all_tasks_blocked(0.1)
    assert "unknown ca" in caplog.text  # the cloud's operator sees it too


async def test_a_node_of_another_cluster(cluster: Any, other_cluster: Any, cloud: Any) -> None:
    certificate, key = other_cluster.node("edge-1")
    tls = client_context(ca=cluster.folder / "ca.crt", certificate=certificate, key=key)
    async with cloud(echo) as port:
        text = await refuse(port, tls)
    assert "does not accept this node's certificate" in text
    assert "join again" in text


async def test_a_node_without_certificate(cluster: Any, cloud: Any) -> None:
    async with cloud(echo) as port:
        assert "does not accept this node's certificate" in await refuse(port, cluster.client_tls(None))


async def test_a_node_certificate_that_has_expired(cluster: Any, cloud: Any, issued_on: Callable[..., None]) -> None:
    issued_on(datetime.timedelta(days=-30))
    tls = cluster.client_tls("edge-1")
    certificate, key = cluster.node("edge-1", days=7)
    tls = client_context(ca=cluster.folder / "ca.crt", certificate=certificate, key=key)
    async with cloud(echo) as port:
        assert "this node's certificate has expired; join again" in await refuse(port, tls)


async def test_a_clock_that_is_behind_is_told_with_both_times(cluster: Any, cloud: Any, issued_on: Callable[..., None]) -> None:
    tls = cluster.client_tls()
    issued_on(datetime.timedelta(days=30))
    cluster.write("late", cluster.authority.issue_server(["localhost"], ["127.0.0.1"]))
    async with cloud(echo, tls=cluster.server_tls(name="late")) as port:
        text = await refuse(port, tls)
    starts = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30, minutes=-5)
    assert f"this machine's clock says {datetime.datetime.now(datetime.UTC):%Y-%m-%d}" in text
    assert f"valid from {starts:%Y-%m-%d}" in text
    assert "set the clock" in text


async def test_a_server_certificate_that_has_expired(cluster: Any, cloud: Any, issued_on: Callable[..., None]) -> None:
    tls = cluster.client_tls()
    issued_on(datetime.timedelta(days=-30))
    cluster.write("old", cluster.authority.issue_server(["localhost"], ["127.0.0.1"], days=7))
    async with cloud(echo, tls=cluster.server_tls(name="old")) as port:
        assert "has expired" in await refuse(port, tls)


async def test_a_name_that_the_certificate_does_not_have(cluster: Any, cloud: Any) -> None:
    cluster.write("named", cluster.authority.issue_server(["cloud.example.org"], ["192.0.2.7"]))
    async with cloud(echo, tls=cluster.server_tls(name="named")) as port:
        text = await refuse(port, cluster.client_tls())
    assert "is not for '127.0.0.1'" in text
    assert "cloud.example.org, 192.0.2.7" in text


async def test_a_peer_that_hears_nothing_but_answers_pings_is_alive(cluster: Any, cloud: Any) -> None:
    # nothing is sent for several periods of silence; only pings and pongs keep both ends content
    limits = Limits(silence=1.5)
    async with cloud(echo, limits=limits) as port:
        tls = cluster.client_tls()
        async with websocket.connect(url(port), tls=tls, node="edge-1", project=PROJECT, limits=limits) as link:
            with trio.move_on_after(4):
                await link.receive()
                pytest.fail("nobody sent anything")
            await link.send(KEEPALIVE)
            assert (await link.receive()).id == KEEPALIVE.id


async def test_stopping_the_server_ends_all_links_soon(cluster: Any, cloud: Any) -> None:
    async with cloud(echo) as port, trio.open_nursery() as nursery:
        ready = trio.Event()

        async def edge() -> None:
            async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
                ready.set()
                await link.receive()

        nursery.start_soon(edge)
        await ready.wait()
        nursery.cancel_scope.cancel()


async def test_nothing_is_logged_above_debug_for_an_ordinary_link(
    cluster: Any, cloud: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with cloud(echo) as port:
            async with websocket.connect(url(port), tls=cluster.client_tls(), node="edge-1", project=PROJECT) as link:
                await link.send(KEEPALIVE)
                await link.receive()
    assert caplog.text == ""
