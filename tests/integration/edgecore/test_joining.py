from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio
from clouds.scripted import ScriptedCloud, edge_config, pod

from beehive.settings import dump
from edgecore.app import App
from edgecore.config import EdgeCore
from edgecore.edgehub import validity
from edgecore.edgehub.certificates import Certificates, Files, NotReady
from edgecore.jointoken import JoinTokenSource
from viaduct.certificates import Authority


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "joining"
    folder.mkdir()
    return folder


def write(folder: Path, config: EdgeCore) -> JoinTokenSource:
    path = folder / "edgecore.yaml"
    path.write_text(dump(config))
    return JoinTokenSource(path, folder / "bootstrap")


async def run_app(config: EdgeCore, source: JoinTokenSource, nursery: trio.Nursery) -> App:
    app = App(config, source, None)
    app.store.database.open()
    nursery.start_soon(app.run)
    return app


async def test_a_token_becomes_a_certificate_and_a_link_and_is_taken_out(
    cloud: ScriptedCloud, folder: Path, nursery: trio.Nursery
) -> None:
    async with cloud.certificate_server() as address:
        config = edge_config(cloud, folder)
        config.modules.edgeHub.httpServer = address
        config.modules.edgeHub.token = cloud.token()
        source = write(folder, config)
        await run_app(config, source, nursery)
        await cloud.connected()
        assert source.read() == ""
        assert validity.read((folder / "server.crt").read_bytes()).common_name == "system:node:edge-1"
        assert (folder / "server.key").stat().st_mode & 0o777 == 0o600
        await cloud.acked(await cloud.push("insert", "default/pod/web", pod("web")))
        nursery.cancel_scope.cancel()


async def test_an_expired_certificate_falls_back_to_the_token(cloud: ScriptedCloud, folder: Path, nursery: trio.Nursery) -> None:
    cloud.issue("edge-1", folder, days=0)
    async with cloud.certificate_server() as address:
        config = edge_config(cloud, folder)
        config.modules.edgeHub.httpServer = address
        config.modules.edgeHub.token = cloud.token()
        await run_app(config, write(folder, config), nursery)
        await cloud.connected()
        assert len(cloud.enrolments) == 1
        nursery.cancel_scope.cancel()


async def warned(caplog: pytest.LogCaptureFixture, text: str) -> str:
    with trio.fail_after(10):
        while True:
            for record in caplog.records:
                if "no link to the cloud" in record.message and text in record.message:
                    return record.message
            await trio.sleep(0.02)


async def test_causes_are_said_once_each_and_a_token_that_comes_later_is_used(
    cloud: ScriptedCloud, folder: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cloud.issue("edge-1", folder, days=0)
    async with cloud.certificate_server() as address:
        config = edge_config(cloud, folder)
        config.modules.edgeHub.httpServer = address
        await run_app(config, write(folder, config), nursery)
        assert "keadm gettoken" in await warned(caplog, "expired")
        (folder / "bootstrap").write_text(cloud.token(-10))
        assert "the join token has expired" in await warned(caplog, "token has expired")
        (folder / "bootstrap").write_text(cloud.token())
        await cloud.connected()
        nursery.cancel_scope.cancel()
    assert sum("no link" in record.message for record in caplog.records) == 2


async def test_a_cloud_with_another_authority_is_named(
    cloud: ScriptedCloud, folder: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.issue("edge-1", folder)
    (folder / "rootCA.crt").write_bytes(Authority.create().certificate_pem)
    config = edge_config(cloud, folder)
    await run_app(config, write(folder, config), nursery)
    assert f"127.0.0.1:{cloud.port}" in await warned(caplog, "")
    nursery.cancel_scope.cancel()


async def test_a_clock_before_the_certificate_is_said_with_both_times(
    cloud: ScriptedCloud, folder: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.issue("edge-1", folder)
    monkeypatch.setattr("edgecore.edgehub.certificates.time.time", lambda: 86400.0)
    config = edge_config(cloud, folder)
    await run_app(config, write(folder, config), nursery)
    await cloud.connected()
    assert any("1970-01-02T00:00:00Z" in record.message and "set the clock" in record.message for record in caplog.records)
    nursery.cancel_scope.cancel()


async def test_a_certificate_is_renewed_with_itself_in_time(
    cloud: ScriptedCloud, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.issue("edge-1", folder)
    files = Files(folder / "rootCA.crt", folder / "server.crt", folder / "server.key")
    before = files.certificate.read_bytes()
    async with cloud.certificate_server() as address:
        certificates = Certificates(files, server=address, node="edge-1", token=str, enrolled=lambda: None, settle=0.0)
        with trio.move_on_after(0.2) as early:
            await certificates.renewed()
        assert early.cancelled_caught
        nearly_over = validity.read(before).not_after - 3600
        monkeypatch.setattr("edgecore.edgehub.certificates.time.time", lambda: nearly_over)
        with trio.fail_after(20):
            await certificates.renewed()
            await certificates.ready()
    assert cloud.enrolments == [""]
    assert files.certificate.read_bytes() != before


async def test_files_that_cannot_be_written_are_a_cause(cloud: ScriptedCloud, folder: Path) -> None:
    (folder / "file").write_text("")
    files = Files(folder / "file" / "rootCA.crt", folder / "file" / "server.crt", folder / "file" / "server.key")
    async with cloud.certificate_server() as address:
        certificates = Certificates(files, server=address, node="edge-1", token=cloud.token, enrolled=lambda: None)
        with pytest.raises(NotReady, match="file"):
            await certificates.ready()


async def test_a_token_of_another_cluster_is_used_although_the_certificate_is_good(
    cloud: ScriptedCloud, folder: Path, tmp_path: Path, nursery: trio.Nursery
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    ScriptedCloud(old).issue("edge-1", folder)
    async with cloud.certificate_server() as address:
        config = edge_config(cloud, folder)
        config.modules.edgeHub.httpServer = address
        config.modules.edgeHub.token = cloud.token()
        source = write(folder, config)
        await run_app(config, source, nursery)
        await cloud.connected()
        assert len(cloud.enrolments) == 1
        assert source.read() == ""
        nursery.cancel_scope.cancel()
