"""CA, server certificate and token over restarts, and the certificate service's refusals."""

from __future__ import annotations

import base64
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
from clouds.standalone import config_for
from trio.testing import MockClock

from beehive.supervise import Fatal, fatal_cause
from cloudcore.app import serve
from cloudcore.cloudhub import identity
from kube.client import Client
from kube.resources import SECRETS
from viaduct import enrol, tls, token
from viaduct.certificates import Authority, certificate_pem, describe, key_pem, new_request
from viaduct.http_server import read_body, serve_http
from viaduct.listen import open_listeners, port_of
from viaduct.token import JoinToken


async def values(cloud, name: str) -> dict[str, bytes]:
    secret = await cloud.client.get(SECRETS, name, namespace="kubeedge")
    return {key: base64.b64decode(value) for key, value in secret["data"].items()}


async def test_a_new_address_gives_a_new_server_certificate_of_the_same_ca(start_cloud, tmp_path) -> None:
    async with start_cloud() as cloud:
        ca, server = await values(cloud, "casecret"), await values(cloud, "cloudcoresecret")
    async with start_cloud() as cloud:
        assert await values(cloud, "cloudcoresecret") == server, "nothing has changed"
    config = config_for(tmp_path)
    config.modules.cloud_hub.advertise_address = ["127.0.0.1", "10.9.8.7"]
    config.modules.cloud_hub.dns_names = ["cloud.example"]
    async with start_cloud(config) as cloud:
        assert await values(cloud, "casecret") == ca
        info = describe((await values(cloud, "cloudcoresecret"))["cloudcoredata"])
        assert "10.9.8.7" in info.ip_addresses
        assert "cloud.example" in info.dns_names


async def test_local_files_count_before_the_secret_and_are_written_back(start_cloud, tmp_path) -> None:
    authority = Authority.create()
    (tmp_path / "ca.crt").write_bytes(certificate_pem(authority.certificate_der))
    (tmp_path / "ca.key").write_bytes(key_pem(authority.key_der))
    config = config_for(tmp_path)
    config.modules.cloud_hub.tls_ca_file = str(tmp_path / "ca.crt")
    config.modules.cloud_hub.tls_ca_key_file = str(tmp_path / "ca.key")
    async with start_cloud(config) as cloud:
        assert (await values(cloud, "casecret"))["cadata"] == authority.certificate_der
        assert JoinToken.parse(await cloud.token()).fingerprint == authority.fingerprint


def files_of(folder: Path, authority: Authority | None = None) -> identity.Files:
    """No files at all, or those of a CA."""
    folder.mkdir()
    if authority is not None:
        (folder / "ca.crt").write_bytes(certificate_pem(authority.certificate_der))
        (folder / "ca.key").write_bytes(key_pem(authority.key_der))
    return identity.Files(folder / "ca.crt", folder / "ca.key", folder / "server.crt", folder / "server.key")


async def test_another_ca_in_files_than_in_the_secret_is_an_error(cloud, tmp_path) -> None:
    """Whoever has no files would go on with the Secret's: edges would trust one half of the cloudcores."""
    before = await values(cloud, "casecret")
    files = files_of(tmp_path / "other", Authority.create())
    with pytest.raises(Fatal, match=r"Secret kubeedge/casecret holds another CA .* Take the files away .* edges join again then"):
        await identity.establish(cloud.client, files, identity.Reachable(["127.0.0.1"]))
    assert await values(cloud, "casecret") == before
    ca = Authority.from_der(before["cadata"], before["cakeydata"])
    who = await identity.establish(cloud.client, files_of(tmp_path / "same", ca), identity.Reachable(["127.0.0.1"]))
    assert who.authority.fingerprint == ca.fingerprint


async def test_three_that_start_at_once_have_one_ca_and_one_certificate_with_all_names(cloud, tmp_path) -> None:
    for name in ("casecret", "cloudcoresecret", "tokensecret"):
        await cloud.client.delete(SECRETS, name, namespace="kubeedge")
    found: list[identity.Identity] = []
    reachable = [identity.Reachable([f"10.0.0.{number}"], [f"cloud-{number}.example"]) for number in range(3)]

    async def start(number: int) -> None:
        who = await identity.establish(cloud.client, files_of(tmp_path / str(number)), reachable[number])
        assert not reachable[number].missing_in(who.server)
        await identity.ensure_token(cloud.client, who.authority, 12)
        found.append(who)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(start, number)
    assert len({who.authority.fingerprint for who in found}) == 1
    stored = await values(cloud, "cloudcoresecret")
    info = describe(stored["cloudcoredata"])
    assert {"10.0.0.0", "10.0.0.1", "10.0.0.2"} <= set(info.ip_addresses)
    assert {f"cloud-{number}.example" for number in range(3)} <= set(info.dns_names)
    ca = found[0].authority
    token.verify(JoinToken.parse(await cloud.token()).jwt, ca.key_der)
    for number in range(3):
        again = await identity.establish(cloud.client, files_of(tmp_path / f"again-{number}"), reachable[number])
        assert again.server.certificate_der == stored["cloudcoredata"], "nobody issues against the others"


def test_a_certificate_does_not_grow_for_ever() -> None:
    """A pod has another address after each restart."""
    authority, most = Authority.create(), identity.MOST_NAMES
    old = authority.issue_server(["old.example"], [f"10.0.0.{number}" for number in range(most)])
    names, ips = identity.Reachable(["10.9.9.9"], ["new.example"], ["127.0.0.1", "localhost"]).together_with(old)
    assert names == ["new.example", "localhost", "old.example"]
    assert ips[:3] == ["10.9.9.9", "127.0.0.1", "10.0.0.0"]
    assert len(ips) == most


async def test_a_broken_ca_secret_is_an_error_and_never_replaced(start_cloud, tmp_path) -> None:
    async with start_cloud() as cloud:
        patch = {"data": {"cakeydata": base64.b64encode(b"no key").decode()}}
        await cloud.client.patch(SECRETS, "casecret", patch, kind="merge", namespace="kubeedge")
    with pytest.raises(BaseExceptionGroup) as caught:
        await serve(config_for(tmp_path))
    fatal = fatal_cause(caught.value)
    assert isinstance(fatal, Fatal)
    assert "Secret kubeedge/casecret" in str(fatal)


async def test_a_new_ca_signs_a_new_server_certificate(start_cloud) -> None:
    """What the log advises for a lost CA: delete the Secret. The certificate of the old CA would be refused by every edge."""
    async with start_cloud() as cloud:
        await cloud.client.delete(SECRETS, "casecret", namespace="kubeedge")
    async with start_cloud() as cloud:
        await cloud.joined()


async def test_an_address_may_be_written_in_another_way(start_cloud, tmp_path) -> None:
    config = config_for(tmp_path)
    config.modules.cloud_hub.advertise_address = ["127.0.0.1", "2001:DB8:0::1"]
    async with start_cloud(config) as cloud:
        server = await values(cloud, "cloudcoresecret")
    async with start_cloud(config) as cloud:
        assert await values(cloud, "cloudcoresecret") == server


async def test_a_head_request_gets_the_head(cloud) -> None:
    async with httpx2.AsyncClient(verify=tls.bootstrap_context(), trust_env=False) as client:
        answer = await client.head(f"{cloud.https}/ca.crt")
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 100
        assert (await client.get(f"{cloud.https}/ca.crt")).status_code == 200


async def test_an_old_token_stays_valid_after_a_restart(start_cloud) -> None:
    async with start_cloud() as cloud:
        old = await cloud.token()
    async with start_cloud() as cloud:
        edge = cloud.edge()
        await edge.join(old)


async def test_an_expired_token_and_one_of_another_cluster_are_refused(cloud) -> None:
    ca = await values(cloud, "casecret")
    good = JoinToken.parse(await cloud.token())
    expired = JoinToken.parse(token.mint(ca["cakeydata"], good.fingerprint, -1))
    foreign = JoinToken.parse(token.mint(b"another key", good.fingerprint, 3600))
    for refused, text in ((expired, "expired"), (foreign, "signature is invalid")):
        _, request = new_request("edge-1")
        async with httpx2.AsyncClient(verify=tls.bootstrap_context()) as http:
            headers = {"NodeName": "edge-1", "Authorization": f"Bearer {refused.jwt}"}
            got = await http.request("GET", f"{cloud.https}/edge.crt", content=request, headers=headers)
        assert got.status_code == 401
        assert text in got.text


async def test_a_certificate_renews_itself_but_none_for_another_node(cloud, tmp_path) -> None:
    edge = await cloud.joined("edge-1")
    folder: Path = tmp_path / "edge-1"
    identity = (folder / "node.crt", folder / "node.key")
    ca = (folder / "ca.crt").read_bytes()
    _, own = new_request(edge.name)
    renewed = await enrol.request_certificate(cloud.https, node=edge.name, csr_der=own, ca_pem=ca, identity=identity)
    assert describe(renewed).common_name == "system:node:edge-1"
    _, other = new_request("edge-2")
    with pytest.raises(enrol.EnrolError):
        await enrol.request_certificate(cloud.https, node="edge-2", csr_der=other, ca_pem=ca, identity=identity)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "code"),
    [
        ("GET", "/", {}, b"", 404),
        ("GET", "/edge.crt", {}, b"", 400),
        ("GET", "/edge.crt", {"NodeName": "../etc"}, b"", 400),
        ("GET", "/edge.crt", {"NodeName": "edge-1", "Authorization": "TOKEN", "ExtKeyUsages": "[1]"}, b"", 400),
        ("GET", "/edge.crt", {"NodeName": "edge-1", "Authorization": "TOKEN", "ExtKeyUsages": "null"}, b"", 400),
        ("GET", "/edge.crt", {"NodeName": "edge-1", "Authorization": "TOKEN"}, b"no request", 500),
        ("GET", "/edge.crt", {"NodeName": "edge-1", "Authorization": "TOKEN"}, b"x" * (1024 * 1024 + 1), 413),
        ("GET", "/node/", {}, b"", 404),
        ("GET", "/node/a%2Fb", {}, b"", 404),
        ("POST", "/ca.crt", {}, b"", 405),
    ],
)
async def test_bad_requests(cloud, *, method: str, path: str, headers: dict, body: bytes, code: int) -> None:
    jwt = JoinToken.parse(await cloud.token()).jwt
    headers = {name: f"Bearer {jwt}" if value == "TOKEN" else value for name, value in headers.items()}
    async with httpx2.AsyncClient(verify=tls.bootstrap_context()) as http:
        got = await http.request(method, f"{cloud.https}{path}", content=body, headers=headers)
    assert got.status_code == code


async def test_nothing_is_read_of_somebody_who_is_not_let_in(cloud) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", int(cloud.https.rpartition(":")[2]))
    secured = trio.SSLStream(stream, tls.bootstrap_context(), server_hostname="127.0.0.1", https_compatible=True)
    async with secured:
        await secured.send_all(b"GET /edge.crt HTTP/1.1\r\nHost: x\r\nNodeName: edge-1\r\nContent-Length: 1000000\r\n\r\n")
        with trio.fail_after(20):
            assert (await secured.receive_some()).startswith(b"HTTP/1.1 401 ")


async def test_a_request_for_another_name_than_its_header_is_not_signed(cloud) -> None:
    jwt = JoinToken.parse(await cloud.token()).jwt
    _, request = new_request("edge-2")
    async with httpx2.AsyncClient(verify=tls.bootstrap_context()) as http:
        headers = {"NodeName": "edge-1", "Authorization": f"Bearer {jwt}"}
        got = await http.request("GET", f"{cloud.https}/edge.crt", content=request, headers=headers)
    assert got.status_code == 500


async def test_the_token_is_refreshed(cloud) -> None:
    before = await cloud.client.get(SECRETS, "tokensecret", namespace="kubeedge")
    ca = await values(cloud, "casecret")
    authority = Authority.from_der(ca["cadata"], ca["cakeydata"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(identity.keep_token_fresh, cloud.client, authority, 0.00001)
        await cloud.until(SECRETS, lambda one: one["metadata"]["name"] == "tokensecret" and one["data"] != before["data"])
        nursery.cancel_scope.cancel()


@pytest.fixture
def patient_clock() -> MockClock:
    """Jumps when nothing has happened for a moment, so that answers from sockets are not overtaken."""
    return MockClock(autojump_threshold=0.2)


async def test_failures_to_write_the_token_do_not_end_its_refreshing(patient_clock, caplog) -> None:
    """KubeEdge's ends at the first one, and its tokens with it a day later (C11)."""
    codes = iter([503, 403, 201, 201])
    moments: list[float] = []
    enough = trio.Event()

    async def secrets(scope, receive, send) -> None:
        await read_body(receive, 100_000)
        writes = scope["method"] == "POST"
        if writes:
            moments.append(trio.current_time())
        await send({"type": "http.response.start", "status": next(codes) if writes else 404, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})
        if len(moments) == 4:
            enough.set()

    async with trio.open_nursery() as nursery:
        listeners = await open_listeners("127.0.0.1", 0, purpose="a test")
        await nursery.start(partial(serve_http, secrets, listeners, tls=None))
        async with Client(f"http://127.0.0.1:{port_of(listeners)}", tls=None) as client:
            nursery.start_soon(identity.keep_token_fresh, client, Authority.create(), 12)
            await enough.wait()
            nursery.cancel_scope.cancel()
    assert moments[0] == pytest.approx(0, abs=5), "there was none"
    assert moments[2] - moments[0] < 60, "a failure costs a retry"
    assert moments[3] - moments[2] == pytest.approx(12 * 3600, abs=5)
    assert caplog.text.count("the join token could not be written") == 2
