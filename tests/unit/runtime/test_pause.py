from __future__ import annotations

import io
import os
import platform
import signal
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from edgecore.edged.runtime.pause import architecture, pause_program, pause_tar


@pytest.mark.parametrize(("arch", "machine", "bits"), [("amd64", 62, 64), ("arm64", 183, 64), ("arm", 40, 32)])
def test_headers_say_what_follows(arch: str, machine: int, bits: int) -> None:
    program = pause_program(arch)
    assert program[:5] == b"\x7fELF" + bytes([bits // 32])
    kind, found, version = struct.unpack_from("<HHI", program, 16)
    assert (kind, found, version) == (2, machine, 1)
    if bits == 64:
        entry, first = struct.unpack_from("<QQ", program, 24)
        _, flags, offset, address, _, in_file, in_memory, align = struct.unpack_from("<IIQQQQQQ", program, first)
    else:
        entry, first = struct.unpack_from("<II", program, 24)
        _, offset, address, _, in_file, in_memory, flags, align = struct.unpack_from("<IIIIIIII", program, first)
    assert (offset, in_file, in_memory, flags) == (0, len(program), len(program), 5)
    assert address % align == 0
    assert address < entry < address + len(program)
    assert struct.unpack("<Q", program[-8:])[0] == 1 << 1 | 1 << 14 | 1 << 16
    assert len(program) % (8 if bits == 64 else 4) == 0


def test_the_image_holds_the_program_alone_and_is_always_the_same() -> None:
    data = pause_tar("arm64")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (entry,) = tar.getmembers()
        content = tar.extractfile(entry)
        assert content is not None
        assert (entry.name, entry.mode, content.read()) == ("pause", 0o755, pause_program("arm64"))
    assert data == pause_tar("arm64")


def test_names_of_machines() -> None:
    names = [architecture(name) for name in ("x86_64", "aarch64", "armv7l", "riscv64", "")]
    assert names == ["amd64", "arm64", "arm", None, None]


@pytest.mark.skipif(architecture(platform.machine()) is None, reason="no pause program for this machine")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_waits_and_ends_when_told(tmp_path: Path, number: signal.Signals) -> None:
    arch = architecture(platform.machine())
    assert arch is not None
    path = tmp_path / "pause"
    path.write_bytes(pause_program(arch))
    path.chmod(0o755)
    with subprocess.Popen([str(path)]) as process:
        while not _waits(process.pid):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGCHLD)
        process.send_signal(number)
        assert process.wait(timeout=20) == 0


def _waits(pid: int) -> bool:
    """Whether the program has been loaded and sleeps, which it does only in its loop."""
    name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    return name == "pause" and rest.split()[0] == "S"
