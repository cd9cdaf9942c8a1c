"""Starting: certificates, kubeconfig, and the ways in which it cannot."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import outcome
import pytest
import trio

from beehive.sqlite import StoreError
from beehive.supervise import Fatal, fatal_cause
from cloudcore.apiserver import ApiServerSettings, serve
from kube import kubeconfig
from kube.resources import CONFIG_MAPS, PODS, SERVICE_ACCOUNTS
from kube.status import ApiError
from viaduct.certificates import describe

if TYPE_CHECKING:
    from conftest import Server, StartServer


def settings(folder: Path, port: int = 0) -> ApiServerSettings:
    return ApiServerSettings(data_dir=folder / "data", kubeconfig=folder / "kubeconfig", port=port)


async def start_fails(wanted: ApiServerSettings) -> str:
    with trio.fail_after(20):
        try:
            await serve(wanted)
        except BaseException as error:
            found = fatal_cause(error)
            assert isinstance(found, Fatal), error
            return str(found)
    raise AssertionError("it started")


async def test_private_files_are_private_and_stay(start_server: StartServer, tmp_path: Path) -> None:
    async with start_server() as server:
        assert server.kubeconfig.stat().st_mode & 0o777 == 0o600
        authority = (tmp_path / "data" / "pki" / "ca.crt").read_bytes()
        for name in ("ca.key", "apiserver.key", "sa.key"):
            assert (tmp_path / "data" / "pki" / name).stat().st_mode & 0o777 == 0o600
    async with start_server() as server:
        found = kubeconfig.load(server.kubeconfig)
        assert found.ca == authority == (tmp_path / "data" / "pki" / "ca.crt").read_bytes()
        assert found.server.endswith(f":{server.port}"), "the kubeconfig follows the port"
        assert found.certificate is not None
        assert describe(found.certificate).organizations == ("system:masters",)


async def test_a_new_name_gets_into_the_certificate(tmp_path: Path) -> None:
    certificate = tmp_path / "data" / "pki" / "apiserver.crt"
    for advertise in ((), ("cloud.example.com", "192.0.2.7")):
        wanted = ApiServerSettings(data_dir=tmp_path / "data", kubeconfig=tmp_path / "kubeconfig", port=0, advertise=advertise)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, wanted)
            nursery.cancel_scope.cancel()
    info = describe(certificate.read_bytes())
    assert "cloud.example.com" in info.dns_names
    assert "192.0.2.7" in info.ip_addresses


async def test_two_processes_cannot_have_the_same_data(server: Server, tmp_path: Path) -> None:
    assert "in use by another process" in await start_fails(settings(tmp_path))


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"{port}" in await start_fails(settings(tmp_path, port))


async def test_a_damaged_database_is_not_replaced_by_an_empty_one(start_server: StartServer, tmp_path: Path) -> None:
    async with start_server() as server, server.client() as client:
        await client.create(CONFIG_MAPS, {"metadata": {"name": "cm"}, "data": {"a": "x" * 5000}}, namespace="default")
    path = tmp_path / "data" / "kubernetes.db"
    damaged = b"not a database at all " * 1000
    path.write_bytes(damaged)
    for _ in range(2):
        assert "is damaged" in await start_fails(settings(tmp_path))
        assert path.read_bytes() == damaged


async def test_a_broken_authority_is_named(start_server: StartServer, tmp_path: Path) -> None:
    async with start_server():
        pass
    (tmp_path / "data" / "pki" / "ca.key").write_text("nonsense")
    message = await start_fails(settings(tmp_path))
    assert "authority" in message
    assert str(tmp_path / "data" / "pki") in message


async def test_a_store_that_takes_no_writes_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, group: list[Any]) -> None:
        for job in group:
            job.result = outcome.Error(StoreError("cannot write to the database: database or disk is full"))

    monkeypatch.setattr("beehive.sqlite.Database._commit", full)
    assert "database or disk is full" in await start_fails(settings(tmp_path))


async def test_a_new_authority_signs_a_new_server_certificate(start_server: StartServer, tmp_path: Path) -> None:
    async with start_server():
        pass
    for name in ("ca.crt", "ca.key"):
        (tmp_path / "data" / "pki" / name).unlink()
    async with start_server() as server, server.client() as client:
        assert await client.request("GET", "/version")


async def test_tokens_of_service_accounts(server: Server) -> None:
    async with server.client() as client:
        asked = {"spec": {"expirationSeconds": 7200, "audiences": []}}
        where = SERVICE_ACCOUNTS.path("default", "default", "token")
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot"}}, namespace="default")
        answer = await client.request("POST", where.replace("/default/token", "/robot/token"), body=asked)
        token = answer["status"]["token"]
        review = {"spec": {"token": token}}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        found = await client.request("POST", path, body=review)
        assert found["status"]["user"]["username"] == "system:serviceaccount:default:robot"
        await client.delete(SERVICE_ACCOUNTS, "robot", namespace="default")
        assert (await client.request("POST", path, body=review))["status"]["authenticated"] is False
        with pytest.raises(ApiError) as caught:
            await client.request("POST", path, body={"spec": {"token": 5}})
        assert caught.value.code == 400


async def test_a_bound_token_ends_with_its_pod(server: Server) -> None:
    async with server.client() as client:
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot"}}, namespace="default")
        spec = {"nodeName": "edge-1", "serviceAccountName": "robot", "containers": [{"name": "c", "image": "x"}]}
        pod = await client.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, namespace="default")
        where = SERVICE_ACCOUNTS.path("default", "robot", "token")

        def asked(**bound: str) -> dict[str, Any]:
            return {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web"} | bound}}

        answer = await client.request("POST", where, body=asked(uid=pod["metadata"]["uid"]))
        review = {"spec": {"token": answer["status"]["token"]}}
        path = "/apis/authentication.k8s.io/v1/tokenreviews"
        assert (await client.request("POST", path, body=review))["status"]["authenticated"] is True
        for bound, code in (({"uid": "other"}, 409), ({"name": "absent"}, 404), ({"kind": "Node"}, 400)):
            with pytest.raises(ApiError) as caught:
                await client.request("POST", where, body=asked(**bound))
            assert caught.value.code == code
        await client.delete(PODS, "web", namespace="default", grace_seconds=0)
        assert (await client.request("POST", path, body=review))["status"]["authenticated"] is False
