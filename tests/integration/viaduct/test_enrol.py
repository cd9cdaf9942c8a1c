"""An edge gets its certificate from a certificate server that behaves as KubeEdge's does, and from some that do not."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from ports import free_port

from viaduct import enrol, http_server
from viaduct.certificates import CertificateError, belong_together, certificate_der, certificate_pem, describe, new_request
from viaduct.http_server import read_body
from viaduct.listen import open_listeners, port_of
from viaduct.token import JoinToken, TokenError, bearer, mint, verify


class CertificateServer:
    """Section 4.1 of the protocol in a few lines."""

    def __init__(self, authority: Any) -> None:
        self.authority = authority
        self.nodes = {"taken"}
        self.canned: dict[str, tuple[int, bytes]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        body = await read_body(receive, 1024 * 1024)
        path = scope["path"]
        status, answer = self.canned.get(path) or self._answer(path, headers, body, scope["state"]["peer"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, path: str, headers: dict[str, str], body: bytes, peer: Any) -> tuple[int, bytes]:
        if path == "/ca.crt":
            return 200, self.authority.certificate_der
        if path.startswith("/node/"):
            return (200, b"node exists") if path.removeprefix("/node/") in self.nodes else (404, b"node not found")
        node = headers.get("nodename", "")
        try:
            if peer is None:
                verify(bearer(headers.get("authorization", "")), self.authority.key_der)
            elif peer.common_name != f"system:node:{node}":
                return 401, b"the certificate is of another node"
            return 200, self.authority.sign_request(body, node=node)
        except TokenError as error:
            return 401, str(error).encode()
        except CertificateError as error:
            return 500, str(error).encode()


@pytest.fixture
def server(cluster: Any) -> CertificateServer:
    return CertificateServer(cluster.authority)


async def apply(port: int, cluster: Any, *, node: str = "edge-1", **arguments: Any) -> tuple[bytes, bytes]:
    key, csr = new_request(node)
    base = f"https://127.0.0.1:{port}"
    ca = cluster.authority.certificate_pem
    return key, await enrol.request_certificate(base, node=node, csr_der=csr, ca_pem=ca, **arguments)


def token(cluster: Any, lifetime: float = 3600) -> JoinToken:
    return JoinToken.parse(mint(cluster.authority.key_der, cluster.authority.fingerprint, lifetime))


async def test_a_token_becomes_a_certificate_and_the_certificate_another_one(
    cluster: Any, web: Any, server: CertificateServer, tmp_path: Path
) -> None:
    joining = token(cluster)
    async with web(server) as port:
        base = f"https://127.0.0.1:{port}"
        assert await enrol.fetch_authority(base, joining.fingerprint.upper()) == cluster.authority.certificate_der
        key, certificate = await apply(port, cluster, jwt=joining.jwt)
        assert describe(certificate).node == "edge-1"
        assert belong_together(certificate, key)

        identity = tmp_path / "server.crt", tmp_path / "server.key"
        identity[0].write_bytes(certificate_pem(certificate))
        identity[1].write_bytes(key)
        _, rotated = await apply(port, cluster, identity=identity)
        assert describe(rotated).node == "edge-1"
        assert describe(rotated).serial != describe(certificate).serial
        assert certificate_der(certificate_pem(rotated)) == rotated


async def test_whether_a_node_exists(cluster: Any, web: Any, server: CertificateServer) -> None:
    async with web(server) as port:
        base = f"https://127.0.0.1:{port}"
        assert await enrol.node_exists(base, "taken")
        assert not await enrol.node_exists(base, "free", ca_pem=cluster.authority.certificate_pem)
        server.canned["/node/broken"] = 500, b"the API is away"
        with pytest.raises(enrol.Refused, match="the API is away") as caught:
            await enrol.node_exists(base, "broken")
        assert caught.value.status == 500


async def test_the_token_of_another_cluster(cluster: Any, other_cluster: Any, web: Any, server: CertificateServer) -> None:
    foreign = token(other_cluster)
    async with web(server) as port:
        with pytest.raises(enrol.WrongAuthority, match="token of another cluster") as caught:
            await enrol.fetch_authority(f"https://127.0.0.1:{port}", foreign.fingerprint)
        assert cluster.authority.fingerprint in str(caught.value)
        with pytest.raises(enrol.TokenRejected, match="not from this cluster") as rejected:
            await apply(port, cluster, jwt=foreign.jwt)
        assert not rejected.value.expired
        with pytest.raises(enrol.WrongAuthority, match="not signed by the CA that this node trusts"):
            await apply(port, other_cluster, jwt=foreign.jwt)


async def test_an_expired_token(cluster: Any, web: Any, server: CertificateServer) -> None:
    async with web(server) as port:
        with pytest.raises(enrol.TokenRejected, match="the join token has expired") as caught:
            await apply(port, cluster, jwt=token(cluster, -1).jwt)
    assert caught.value.expired


async def test_no_token_at_all(cluster: Any, web: Any, server: CertificateServer) -> None:
    async with web(server) as port:
        with pytest.raises(enrol.CertificateRejected, match="token is empty"):
            await apply(port, cluster)


async def test_a_certificate_that_cannot_rotate(
    cluster: Any, web: Any, server: CertificateServer, issued_on: Callable[..., None]
) -> None:
    async with web(server) as port:
        with pytest.raises(enrol.CertificateRejected, match="another node"):
            await apply(port, cluster, identity=cluster.node("edge-2"))
        issued_on(datetime.timedelta(days=-30))
        with pytest.raises(enrol.CertificateRejected, match="has expired; join again"):
            await apply(port, cluster, identity=cluster.node("edge-1", days=7))


async def test_a_server_that_is_not_there(cluster: Any) -> None:
    port = free_port()
    with pytest.raises(enrol.Unreachable, match="refuses connections"):
        await enrol.fetch_authority(f"https://127.0.0.1:{port}", "0" * 64)
    with pytest.raises(enrol.Unreachable, match=r"'cloud\.invalid' is not known"):
        await enrol.node_exists("https://cloud.invalid:10002", "edge-1")


async def test_a_server_that_does_not_answer() -> None:
    [listener] = await open_listeners("127.0.0.1", 0, purpose="a test")
    async with listener:
        with pytest.raises(enrol.Unreachable, match="does not answer"):
            await enrol.fetch_authority(f"https://127.0.0.1:{port_of([listener])}", "0" * 64, seconds=0.3)


async def test_a_server_that_speaks_no_tls(web: Any, server: CertificateServer) -> None:
    async with web(server, tls=False) as port:
        with pytest.raises(enrol.Unreachable, match="does not speak TLS"):
            await enrol.fetch_authority(f"https://127.0.0.1:{port}", "0" * 64)


async def test_a_name_that_the_certificate_does_not_have(cluster: Any, server: CertificateServer) -> None:
    cluster.write("named", cluster.authority.issue_server(["cloud.example.org"], []))
    serve = partial(http_server.serve_http, server, tls=cluster.server_tls("optional", "named"))
    listeners = await open_listeners("127.0.0.1", 0, purpose="a test")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, listeners))
        with pytest.raises(enrol.NameMismatch, match=r"it is for cloud\.example\.org"):
            await apply(port_of(listeners), cluster, jwt=token(cluster).jwt)
        nursery.cancel_scope.cancel()


async def test_a_clock_that_is_behind(cluster: Any, server: CertificateServer, issued_on: Callable[..., None]) -> None:
    issued_on(datetime.timedelta(days=30))
    cluster.write("late", cluster.authority.issue_server([], ["127.0.0.1"]))
    listeners = await open_listeners("127.0.0.1", 0, purpose="a test")
    serve = partial(http_server.serve_http, server, tls=cluster.server_tls("optional", "late"))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, listeners))
        with pytest.raises(enrol.ClockSkew, match="this machine's clock says"):
            await apply(port_of(listeners), cluster, jwt=token(cluster).jwt)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("canned", "text"),
    [
        ((500, b"signing failed"), "signing failed"),
        ((200, b"<html>"), "something else than a certificate"),
        ((200, b""), "something else than a certificate"),
        ((200, b"x" * 2_000_000), "more than"),
        ((302, b""), "HTTP 302"),
    ],
)
async def test_an_answer_that_is_no_certificate(
    cluster: Any, web: Any, server: CertificateServer, canned: tuple[int, bytes], text: str
) -> None:
    server.canned["/edge.crt"] = canned
    async with web(server) as port:
        with pytest.raises(enrol.EnrolError, match=text):
            await apply(port, cluster, jwt=token(cluster).jwt)


async def test_a_certificate_for_somebody_else(cluster: Any, web: Any, server: CertificateServer) -> None:
    _, other = new_request("edge-1")
    server.canned["/edge.crt"] = 200, cluster.authority.sign_request(other, node="edge-1")
    async with web(server) as port:
        with pytest.raises(enrol.EnrolError, match="does not answer our request"):
            await apply(port, cluster, jwt=token(cluster).jwt)


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:1", "127.0.0.1:10002", "https://[::1", "https://x:99999"])
async def test_an_address_that_makes_no_sense(address: str) -> None:
    with pytest.raises(enrol.EnrolError, match="https://host:port"):
        await enrol.node_exists(address, "edge-1")
