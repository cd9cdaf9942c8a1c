"""``edgecore broker`` as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import trio

from edgecore.brokercommand import main as broker_command
from keadm.__main__ import main as keadm

pytestmark = pytest.mark.usefixtures("mosquitto_clients")


async def test_the_broker_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "edgecore", "broker", "-p"]
    process = await trio.lowlevel.open_process(
        [*command, "0", "--view", tmp_path / "view", "--metrics", "0"], stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        said = b""
        with trio.fail_after(20):
            while not (metrics := re.search(rb"metrics are on 127.0.0.1, port (\d+)", said)):
                chunk = await process.stderr.receive_some()
                assert chunk, said
                said += chunk
        port = re.search(rb"port (\d+)", said)
        assert port is not None
        number = port[1].decode()
        await trio.run_process(["mosquitto_pub", "-p", number, "-q", "2", "-r", "-t", "a", "-m", "x"])
        read = await trio.run_process(["mosquitto_sub", "-p", number, "-t", "a", "-C", "1", "-W", "10"], capture_stdout=True)
        assert read.stdout == b"x\n"
        async with httpx2.AsyncClient() as client:
            assert (
                "mqtt_messages_received_total 1\n" in (await client.get(f"http://127.0.0.1:{metrics[1].decode()}/metrics")).text
            )
        assert await trio.to_thread.run_sync(keadm, ["ctl", "broker", "--socket", str(tmp_path / "view")]) == 0
        assert f"listens on mqtt://127.0.0.1:{number}\n" in capsys.readouterr().out
        second = await trio.run_process([*command, number], check=False, capture_stderr=True)
        assert second.returncode == 1
        assert f"cannot listen on 127.0.0.1:{number}: Address already in use; another program has it" in second.stderr.decode()
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await process.stderr.aclose()


@pytest.mark.parametrize("words", [["-p", "65536"], ["-p", "-1"], ["-p", "a"], ["--metrics", "65536"], ["--metrics", "host:"]])
def test_what_is_no_port_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        broker_command(words)
    assert ended.value.code == 2
    assert "is not a port: a number from 0 to 65535" in capsys.readouterr().err
