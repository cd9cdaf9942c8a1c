"""``keadm ctl broker`` and the metrics, on a broker that runs."""

from __future__ import annotations

import json
import re
import socket
import stat
from functools import partial
from pathlib import Path

import httpx2
import pytest
import trio
from brokers.ledger import Ledger
from brokers.sockets import RawClient

from edgecore.brokerview.serve import serve_metrics, serve_view
from keadm.__main__ import main
from mqtt.broker import Broker
from mqtt.limits import Limits
from mqtt.listeners import Listener
from mqtt.local import Inside
from mqtt.packets import PubAck, Publish, Version, Will

from .conftest import Start


async def keadm(capsys: pytest.CaptureFixture[str], path: Path, *words: str, code: int = 0) -> tuple[str, str]:
    """What ``keadm ctl broker`` writes to its two outputs."""
    capsys.readouterr()
    with trio.fail_after(20):
        assert await trio.to_thread.run_sync(main, ["ctl", "broker", "--socket", str(path), *words]) == code
    said = capsys.readouterr()
    return said.out, said.err


async def busy(start: Start, nursery: trio.Nursery, path: Path) -> Broker:
    """A broker with a reader, a client that is away and has lost something, one of the program, and one with a strange name."""
    broker = await start(Limits(queued_messages=2), listeners=[Listener(port=0), Listener(port=0, websocket=True)])
    port = broker.ports[0]
    reader = await RawClient.connected(port, "reader", Version.V5, username="bob", keep_alive=30, will=Will("w", b""))
    await reader.subscribe("a/#", 1)
    await reader.subscribe("$share/group/b")
    away = await RawClient.connected(port, "away", clean_start=False)
    await away.subscribe("a/+", 2)
    await away.reset()
    await RawClient.connected(port, "red\x1b[31m\u202e")
    with trio.fail_after(10):
        while broker.core.clients.sessions["away"].connected:
            await trio.sleep(0.002)
    writer = await RawClient.connected(port, "writer")
    for number in range(1, 5):
        await writer.send(Publish("a/b", b"x", 1, packet_id=number))
        assert await writer.next() == PubAck(number)
    await nursery.start(partial(serve_view, broker, path, version="edgecore 1"))
    return broker


async def test_what_a_person_sees(
    start: Start, nursery: trio.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "view"
    broker = await busy(start, nursery, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    out, _ = await keadm(capsys, path)
    plain, web = broker.ports
    assert out.startswith(f"edgecore 1, up 0s, listens on mqtt://127.0.0.1:{plain}, ws://127.0.0.1:{web}\n")
    assert re.search(r"^ +4  messages received$", out, re.M)
    assert re.search(r"^ +2  messages dropped: queue full$", out, re.M)
    async with Inside(broker).open("recorder"):
        out, _ = await keadm(capsys, path, "clients")
    lines = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert [line[0] for line in lines] == ["CLIENT", "away", "reader", "recorder", r"red\x1b[31m\u202e", "writer"]
    assert lines[1][1:] == ["-", "no", "-", "-", "-", "-", "1", "2", "2"]
    assert lines[2][1:3] + lines[2][4:5] + lines[2][7:] == ["bob", "yes", "5.0", "2", "4", "0"]
    out, _ = await keadm(capsys, path, "queues")
    assert [re.split(r" {2,}", line)[:4] for line in out.splitlines()[1:]] == [
        ["away", "no", "0", "2"],
        ["reader", "yes", "4", "0"],
    ]
    out, _ = await keadm(capsys, path, "subscriptions")
    assert [re.split(r" {2,}", line) for line in out.splitlines()[1:]] == [
        ["away", "a/+", "2", "-", "-"],
        ["reader", "a/#", "1", "-", "-"],
        ["reader", "b", "0", "group", "-"],
    ]
    out, _ = await keadm(capsys, path, "drops")
    assert re.split(r" {2,}|\n", out) == ["REASON", "MESSAGES", "queue full", "2", ""]


async def test_what_a_program_sees(
    start: Start, nursery: trio.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "view"
    await busy(start, nursery, path)
    [row] = json.loads((await keadm(capsys, path, "clients", "re?der", "-o", "json"))[0])
    assert row["will"] == "w"
    assert {name: row[name] for name in ("client", "keepAlive", "inFlight", "version")} == {
        "client": "reader",
        "keepAlive": 30,
        "inFlight": 4,
        "version": "5.0",
    }
    status = json.loads((await keadm(capsys, path, "status", "-o", "json"))[0])
    assert (status["sessions"], status["connected"], status["dropped"]) == (4, 3, {"queue full": 2})
    assert json.loads((await keadm(capsys, path, "drops", "-o", "json"))[0]) == {"queue full": 2}
    out, err = await keadm(capsys, path, "subscriptions", "--limit", "2", "-o", "json")
    assert len(json.loads(out)) == 2
    assert "more than 2" in err
    out, err = await keadm(capsys, path, "subscriptions", "--limit", "3", "-o", "json")
    assert (len(json.loads(out)), err) == (3, "")


async def test_many_rows_come_in_pieces_and_clients_are_served_between(
    start: Start, nursery: trio.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "view"
    broker = await start()
    for number in range(1500):
        async with Inside(broker).open(f"c{number}", keep=True):
            pass
    await nursery.start(partial(serve_view, broker, path))
    out, err = await keadm(capsys, path, "clients", "-o", "json")
    assert len(json.loads(out)) == 1000
    assert "more than 1000" in err
    out, err = await keadm(capsys, path, "clients", "-o", "json", "--limit", "1500")
    assert {row["client"] for row in json.loads(out)} == {f"c{number}" for number in range(1500)}
    assert not err


async def test_metrics_name_nobody(start: Start, nursery: trio.Nursery, tmp_path: Path) -> None:
    broker = await busy(start, nursery, tmp_path / "view")
    port = await nursery.start(partial(serve_metrics, broker, "127.0.0.1", 0, version="edgecore 1"))
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert [(await client.get(path)).status_code for path in ("/clients", "/subscriptions", "/status")] == [404] * 3
        assert (await client.post("/metrics")).status_code == 405
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert all(re.fullmatch(r"[a-z_]+(\{[a-z]+=\"[^\"]*\"\})?", name) for name in values)
    assert values['mqtt_messages_dropped_total{reason="queue full"}'] == 2
    assert values['mqtt_messages_dropped_total{reason="expired"}'] == 0
    assert values["mqtt_clients_connected"] == 3
    assert values["mqtt_queued_messages"] == 2
    assert values["process_open_fds"] > 3
    assert "reader" not in answer.text
    assert "a/b" not in answer.text


async def test_what_goes_wrong_is_said(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "view"
    _, err = await keadm(capsys, path, "clients", code=1)
    assert f"no broker has its view at {path}. Does edgecore run" in err
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    _, err = await keadm(capsys, path, "clients", code=1)
    assert "Connection refused" in err
    broker = await start()
    async with trio.open_nursery() as life:
        await life.start(partial(serve_view, broker, path))
        with pytest.raises(OSError, match=f"cannot listen on {path}: Address already in use"):
            await serve_view(broker, path)
        assert "connections" in (await keadm(capsys, path))[0]
        life.cancel_scope.cancel()
    assert not path.exists()
    mqtt = await start(listeners=[Listener(path=path)])
    _, err = await keadm(capsys, path, code=1)
    assert "no HTTP answer" in err
    assert not mqtt.core.clients.sessions


async def test_a_bad_question_is_refused(start: Start, nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "view"
    await nursery.start(partial(serve_view, await start(), path))
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path)), base_url="http://view") as client:
        for query in ("limit=x", "limit=-1", "limit=" + "9" * 30, "color=red", "&".join(f"x{n}=1" for n in range(20))):
            assert (await client.get(f"/clients?{query}")).status_code == 400, query
        assert (await client.get("/clients?match=[a")).status_code == 200


async def test_a_disk_that_fails_is_seen(
    start: Start, nursery: trio.Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger()
    broker = await start(journal=ledger)
    path = tmp_path / "view"
    await nursery.start(partial(serve_view, broker, path))
    assert "the disk" not in (await keadm(capsys, path))[0]
    ledger.failing = "database or disk is full"  # type: ignore[attr-defined]
    assert "the disk does not take what has to be kept: database or disk is full" in (await keadm(capsys, path))[0]
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path)), base_url="http://view") as client:
        assert "\nmqtt_journal_failing 1\n" in (await client.get("/metrics")).text
