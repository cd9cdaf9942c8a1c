"""What the Node object says about this machine, read from /proc, /sys and /etc. Missing files count as unknown."""

from __future__ import annotations

import os
import platform
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgecore.address import local_address

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}
_PRESSURE_MEMORY: Final = 100 * 1024 * 1024
_PRESSURE_DISK: Final = 0.10


@dataclass(frozen=True)
class MachineFacts:
    """Sizes in bytes."""

    cpus: int
    memory: int
    memory_available: int
    disk: int
    disk_available: int
    pids_left: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str
    address: str


def architecture() -> str:
    """As Go names it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def observe(root: Path, *, node_ip: str = "", interface: str = "") -> MachineFacts:
    """Blocking, quick. ``root``: the directory whose file system holds the pods."""
    memory = _meminfo()
    disk, free = _disk(root)
    return MachineFacts(
        cpus=len(os.sched_getaffinity(0)) or 1,
        memory=memory.get("MemTotal", 0),
        memory_available=memory.get("MemAvailable", 0),
        disk=disk,
        disk_available=free,
        pids_left=_pids_left(),
        machine_id=_text("/etc/machine-id") or _text("/var/lib/dbus/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        architecture=architecture(),
        address=node_ip or _interface_address(interface) or local_address(ipv6=True),
    )


def _text(path: str) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text().strip()
    return ""


def _meminfo() -> dict[str, int]:
    found: dict[str, int] = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number and number[0].isdigit():
            found[name] = int(number[0]) * 1024
    return found


def _disk(root: Path) -> tuple[int, int]:
    for place in (root, *root.parents):
        with suppress(OSError):
            found = os.statvfs(place)
            return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    return 0, 0


def _pids_left() -> int:
    limit, used = _text("/proc/sys/kernel/pid_max"), _text("/proc/loadavg").split()
    if not limit.isdigit() or len(used) < 4 or "/" not in used[3]:
        return 1 << 20
    return int(limit) - int(used[3].split("/")[1])


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip().strip('"')
    return "Linux"


def _interface_address(name: str) -> str:
    """The IPv4 address of an interface; "" when it has none."""
    if not name:
        return ""
    import fcntl
    import struct

    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # SIOCGIFADDR, netdevice(7)
        answer = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", name[:15].encode()))
        return socket.inet_ntoa(answer[20:24])
    return ""


def memory_pressure(facts: MachineFacts) -> bool:
    """kubelet's default evictionHard: less than 100 Mi available."""
    return facts.memory > 0 and facts.memory_available < _PRESSURE_MEMORY


def disk_pressure(facts: MachineFacts) -> bool:
    """kubelet's default evictionHard: less than a tenth available."""
    return facts.disk > 0 and facts.disk_available < facts.disk * _PRESSURE_DISK


def pid_pressure(facts: MachineFacts) -> bool:
    return facts.pids_left < 1000
