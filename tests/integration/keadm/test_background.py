from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from keadm import background

READY = """
import os, socket, time
print("up", flush=True)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"STATUS=x\\nREADY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(60)
"""


def python(text: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", text]


async def test_it_returns_when_the_program_is_ready(tmp_path: Path) -> None:
    process = await background.start(python(READY), tmp_path / "log", limit=30)
    assert process.poll() is None
    process.kill()
    await process.wait()
    assert (tmp_path / "log").read_text() == "up\n"


async def test_a_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(background.NotStarted, match=r"ended with exit code 3(.|\n)*what was wrong"):
        await background.start(python("print('what was wrong'); raise SystemExit(3)"), tmp_path / "log", limit=30)


async def test_a_program_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    text = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(background.NotStarted, match="did not become ready"):
        await background.start(python(text), tmp_path / "log", limit=1)
    assert not mark.exists() or not Path(f"/proc/{mark.read_text()}").exists()


async def test_a_cancelled_start_leaves_no_process(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    text = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: background.start(python(text), tmp_path / "log", limit=30))
        with trio.fail_after(30):
            while not (mark.exists() and mark.read_text()):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not Path(f"/proc/{mark.read_text()}").exists()
