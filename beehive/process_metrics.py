"""What this process costs, under the names that Prometheus clients use everywhere."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from beehive.metrics import Family, counter, gauge

_PAGE = resource.getpagesize()


def process_families() -> Iterator[Family]:
    """Memory, time and open files; what /proc does not tell is left out."""
    times = os.times()
    yield counter("process_cpu_seconds_total", "User and system time.", times.user + times.system)
    with suppress(OSError, ValueError, IndexError):
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
        yield gauge("process_resident_memory_bytes", "Resident memory.", resident)
    with suppress(OSError, ValueError, IndexError):
        yield gauge("process_start_time_seconds", "When it started, seconds since 1970.", _started())
    with suppress(OSError):
        yield gauge("process_open_fds", "Open file descriptors.", len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    yield gauge("process_max_fds", "As many may be open.", resource.getrlimit(resource.RLIMIT_NOFILE)[0])


@cache
def _started() -> float:
    """Fixed at the first look: the clock may be set later. /proc/self/stat: the program's name may contain anything, so fields
    are counted from its closing bracket; the 22nd of all is the start in ticks after the boot."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))
