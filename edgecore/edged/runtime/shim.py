"""The parent of one container of the process engine. Runs alone: ``python -I -S shim.py <container's directory>``.

It imports nothing but the standard library, and little of that, since one of it stays in memory for each container. It
outlives edgecore (own session, no parent), starts the program that ``container.json`` describes, writes its output to the
log in CRI's format, and when the program ends leaves ``exit.json``. What it knows is in files, written whole or not at all:

start.json  {"shim": [pid, start time], "child": [pid, start time], "started_at": s, "boot": id}; the start time, as in
            /proc/<pid>/stat, tells a process from a later one with the same pid, and the kernel's boot id from one
            after a reboot
exit.json   {"exit_code": n, "finished_at": s, "reason": "", "message": ""}

As in a container, nothing lives longer than the first program: its process group and whatever else descends from it is
killed when it ends. The starting process prints one JSON line, {} or {"error": text}, once the program runs or cannot.
"""

# Plain os calls throughout: pathlib and contextlib would only be memory.
# ruff: noqa: PTH103, PTH104, PTH105, PTH108, PTH110, PTH120, PTH123, PTH208, SIM105, PERF401

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False  # typing itself would be memory
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LONGEST_LINE = 16 * 1024
"""CRI: longer lines are written in parts."""
DRAIN = 2.0
"""Seconds to wait for output after the program's end."""


def main(directory: str) -> int:
    """The first process: starts the second, which stays, and hands on what that one reports."""
    os.chdir(directory)
    errors = os.open("shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(errors, 2)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        os.setsid()
        _shim(writing)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        report = pipe.read(64 * 1024)
    sys.stdout.write((report or b'{"error": "the shim died; see shim.log"}').decode() + "\n")
    return 0


def _shim(report: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    lock = os.open("lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _tell(report, {})  # another shim has it already
        return
    with open("container.json", "rb") as file:
        spec = json.load(file)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        log = Log(spec["log"], spec["log_size"], spec["log_files"])
        child, pipes, error = _start(spec)
    except OSError as failure:
        child, pipes, error = 0, {}, _said(failure)
    if error:
        code = 126 if "ermission" in error else 127
        write("exit.json", {"exit_code": code, "finished_at": time.time(), "reason": "ContainerCannotRun", "message": error})
        _tell(report, {"error": error})
        return
    me = os.getpid()
    pids = {"shim": [me, start_time(me)], "child": [child, start_time(child)]}
    write("start.json", {**pids, "started_at": time.time(), "boot": boot_id()})
    _tell(report, {})
    status = _follow(child, pipes, wake, log)
    code = os.waitstatus_to_exitcode(status)
    code = 128 - code if code < 0 else code
    write("exit.json", {"exit_code": code, "finished_at": time.time(), "reason": "", "message": ""})


def _tell(report: int, answer: dict[str, str]) -> None:
    try:
        os.write(report, json.dumps(answer).encode())
    except BrokenPipeError:
        pass  # edgecore has gone away meanwhile; the files tell
    os.close(report)


def _start(spec: dict[str, Any]) -> tuple[int, dict[int, str], str]:
    """The program's pid and the ends of its output; or why it cannot run."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    failed, failed_end = os.pipe()  # closed by a successful exec
    child = os.fork()
    if child == 0:
        try:
            _become(spec, out_end, err_end)
        except OSError as failure:
            os.write(failed_end, _said(failure).encode())
        except BaseException as failure:
            os.write(failed_end, f"{type(failure).__name__}: {failure}".encode())
        os._exit(127)
    for end in (out_end, err_end, failed_end):
        os.close(end)
    with os.fdopen(failed, "rb") as pipe:
        error = pipe.read(8192).decode(errors="replace")
    if error:
        os.waitpid(child, 0)
    return child, {out: "stdout", err: "stderr"}, error


def _become(spec: dict[str, Any], out: int, err: int) -> None:
    """In the child: everything between fork and exec."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(out, 1)
    os.dup2(err, 2)
    limits = spec["limits"]
    if limits["data"]:
        resource.setrlimit(resource.RLIMIT_DATA, (limits["data"], limits["data"]))
    if limits["nice"] > 0:
        os.nice(limits["nice"])
    _oom_score(limits["oom_score_adj"])
    if spec["no_new_privileges"]:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _user(spec["uid"], spec["gid"])
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which would undo it
    os.chdir(spec["cwd"])
    env = spec["env"]
    argv = spec["argv"]
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - no shell is involved
    except OSError as error:
        where = "" if "/" in argv[0] else f" in PATH ({env.get('PATH', '')})"
        raise OSError(error.errno, f"{os.strerror(error.errno or 0)}{where}", argv[0]) from None


def _user(uid: int, gid: int) -> None:
    """-1: as edgecore. Raises OSError when edgecore may not change to it."""
    try:
        if gid >= 0 and gid != os.getegid():
            os.setgroups([gid])
            os.setgid(gid)
        if uid >= 0 and uid != os.geteuid():
            os.setuid(uid)
    except PermissionError:
        raise OSError(errno.EPERM, f"permission denied to run as user {uid}: edgecore is not root") from None


def _oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        pass  # only root may lower it; the program runs without


def _follow(child: int, pipes: dict[int, str], wake: int, log: Log) -> int:
    """Copies output to the log until the program has ended; returns its wait status."""
    signal.signal(signal.SIGTERM, lambda *_: _kill_group(child, signal.SIGTERM))
    status: int | None = None
    deadline = 0.0
    while status is None or (pipes and time.monotonic() < deadline):
        timeout = None if status is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([wake, *pipes], [], [], timeout)
        for end in ready:
            if end == wake:
                os.read(wake, 4096)
                continue
            data = os.read(end, 64 * 1024)
            log.add(pipes[end], data)
            if not data:
                os.close(end)
                del pipes[end]
        if (found := _reap(child)) is not None and status is None:
            status, deadline = found, time.monotonic() + DRAIN
            _kill_rest(child)
    log.close()
    return status


def _reap(child: int) -> int | None:
    """Collects all that have ended; the status of ``child`` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _kill_rest(child: int) -> None:
    """Everything that descends from the program: its group, then, as long as there are any, the orphans that came to us."""
    _kill_group(child, signal.SIGKILL)
    for _ in range(50):
        orphans = children(os.getpid())
        if not orphans:
            return
        for pid in orphans:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
        _reap(-1)


def _kill_group(leader: int, number: int) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        pass


def children(parent: int) -> list[int]:
    """The pids whose parent is ``parent``, from /proc."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (fields := _stat(int(entry))) and int(fields[1]) == parent:
            found.append(int(entry))
    return found


def start_time(pid: int) -> int:
    """When ``pid`` started, in clock ticks since boot; 0 when there is no such process or it is a zombie."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in ("Z", "X") else 0


def born(pid: int) -> int:
    """As start_time, but a zombie counts: its number, and its group's, is still its own."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the program's name, which may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def boot_id() -> str:
    """Another one after each boot; empty when the kernel does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def write(path: str, record: dict[str, object]) -> None:
    """Whole or not at all, and on disk when it returns."""
    part = f"{path}.part"
    with open(part, "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(part, path)


def _said(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror}"


def _prctl(option: int, value: int) -> None:
    """Best effort: without ctypes the program runs, only its orphans are not found."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


class Log:
    """A container's log: ``<time> <stream> F|P <line>``, at most ``files`` files of about ``size`` bytes: path, path.1, ..."""

    def __init__(self, path: str, size: int, files: int) -> None:
        self.path, self.size, self.files = path, size, files
        self.rest = {"stdout": b"", "stderr": b""}
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.file = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def add(self, stream: str, data: bytes) -> None:
        """More output of ``stream``; empty at its end."""
        *lines, rest = (self.rest[stream] + data).split(b"\n")
        for line in lines:
            self._line(stream, line, b"F")
        while len(rest) >= LONGEST_LINE:
            self._line(stream, rest[:LONGEST_LINE], b"P")
            rest = rest[LONGEST_LINE:]
        if rest and not data:
            self._line(stream, rest, b"F")
            rest = b""
        self.rest[stream] = rest

    def _line(self, stream: str, line: bytes, tag: bytes) -> None:
        while len(line) > LONGEST_LINE:
            self._line(stream, line[:LONGEST_LINE], b"P")
            line = line[LONGEST_LINE:]
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000)) + f".{now % 1_000_000_000:09d}Z"
        try:
            os.write(self.file, b"%s %s %s %s\n" % (stamp.encode(), stream.encode(), tag, line))
            if os.fstat(self.file).st_size > self.size:
                self._rotate()
        except OSError as error:  # a full disk must not stop the program
            sys.stderr.write(f"{self.path}: {error}\n")

    def _rotate(self) -> None:
        for number in range(self.files - 1, 0, -1):
            older = self.path if number == 1 else f"{self.path}.{number - 1}"
            if os.path.exists(older):
                os.replace(older, f"{self.path}.{number}")
        if self.files < 2:
            os.unlink(self.path)
        os.close(self.file)
        self.file = self._open()

    def close(self) -> None:
        for stream in self.rest:
            self.add(stream, b"")
        os.close(self.file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
