"""Requests that no client should send, many of them at once: each costs one answer, and the server stays up and small.

``API_NONSENSE=10000`` is the long run; ``API_NONSENSE_SEED`` chooses other requests.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from e2e.harness import Cloud, eventually
from faults.apiwriters import BROKEN, SPACE, Door, ask

REQUESTS = int(os.environ.get("API_NONSENSE", "200"))
SEED = int(os.environ.get("API_NONSENSE_SEED", "1"))
AT_ONCE = 8
MIB = 1024 * 1024
MOST_MEMORY = 160 * MIB
"""What the server may grow by at its peak: a body of 3 MiB for each connection, decoded."""
METHODS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"BREW", b"get")
PATHS = (
    f"{SPACE}/pods",
    f"{SPACE}/configmaps",
    f"{SPACE}/configmaps/a",
    f"{SPACE}/secrets/a",
    f"{SPACE}/pods/a/status",
    f"{SPACE}/pods/a/binding",
    f"{SPACE}/pods/a/eviction",
    f"{SPACE}/serviceaccounts/default/token",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/apis/apps/v1/namespaces/default/deployments",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/authentication.k8s.io/v1/tokenreviews",
    "/openapi/v3",
    "/readyz",
    "/%2e%2e/%00",
    "/" + "x" * 3000,
)
QUERIES = (
    "",
    "?limit=-1",
    "?limit=1&continue=%00",
    "?labelSelector=a%20in%20(",
    "?fieldSelector=%ff",
    "?dryRun=Nothing",
    "?%",
    "?a=" * 90,
)
MEDIA = (
    b"application/json",
    b"application/merge-patch+json",
    b"application/strategic-merge-patch+json",
    b"application/json-patch+json",
    b"application/apply-patch+yaml",
    b"application/vnd.kubernetes.protobuf",
    b"text/plain",
    b"\xff",
)
SEEDS = (
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"a": "b"}}, "data": {"a": "1"}},
    {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 1}]}]}},
    {"metadata": {"generateName": "a-"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}}},
    [{"op": "add", "path": "/data/x", "value": "y"}, {"op": "copy", "from": "/data", "path": "/data/z"}],
    {"$patch": "replace", "spec": {"$retainKeys": ["a"], "containers": [{"$patch": "delete", "name": "a"}]}},
)
WRONG = (None, True, -1, 1e308, "", "x" * 300, [], {}, [None], {"a": None}, "\u0000", 2**70)


class Mind:
    """Makes requests up."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> tuple[bytes, bool]:
        """Raw bytes; mostly whole HTTP with something wrong inside. Whether it is whole, so that an answer is due."""
        pick = self._random
        path = pick.choice(PATHS) + pick.choice(QUERIES if pick.random() < 0.4 else ("",))
        head = (
            pick.choice(METHODS) + b" " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: " + pick.choice(MEDIA) + b"\r\n"
        )
        body = pick.choice((self._twisted, self._twisted, self._bytes, self._deep, self._large, self._cut))()
        framing: Callable[[bytes], bytes] = pick.choice((_whole, _whole, _whole, self._chunked, self._short))
        data, whole = head + framing(body), framing is _whole
        if pick.random() < 0.1:
            whole = False
            place = pick.randrange(len(head))
            data = data[:place] + pick.randbytes(3) + data[place + 3 :]
        return data, whole

    def _twisted(self) -> bytes:
        return json.dumps(self._twist(self._random.choice(SEEDS))).encode()

    def _twist(self, value: object) -> object:
        if self._random.random() < 0.15:
            return self._random.choice(WRONG)
        if isinstance(value, dict):
            return {key: self._twist(item) for key, item in value.items()}
        return [self._twist(item) for item in value] if isinstance(value, list) else value

    def _bytes(self) -> bytes:
        return self._random.randbytes(self._random.randrange(2000))

    def _deep(self) -> bytes:
        depth = self._random.choice((50, 70, 1000, 200_000))
        return self._random.choice((b"[" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth + b"]" * depth))

    def _large(self) -> bytes:
        size = self._random.choice((900_000, 3 * MIB - 100, 3 * MIB + 1, 4 * MIB)) if self._random.random() < 0.3 else 10_000
        kind = self._random.randrange(3)
        if kind == 0:
            return b'{"metadata":{"name":"a"},"data":{"a":"' + b"x" * size + b'"}}'
        return b"[" + b"0," * (size // 2) + b"0]" if kind == 1 else b'{"a":"' + b"\xff" * size + b'"}'

    def _cut(self) -> bytes:
        whole = json.dumps(self._random.choice(SEEDS)).encode()
        return whole[: self._random.randrange(len(whole))]

    def _chunked(self, body: bytes) -> bytes:
        end = self._random.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"", b"zz\r\n", b"-1\r\n\r\n", b"ffffffffffffffffffff\r\nx"))
        return b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n" % (len(body), body) + end

    def _short(self, body: bytes) -> bytes:
        """Promises more than it sends."""
        promised = self._random.choice((b"%d" % (len(body) + 10), b"%d" % 10**12, b"-1", b"1e3", b"1, 2"))
        return b"Content-Length: " + promised + b"\r\n\r\n" + body


def _whole(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def exchange(door: Door, data: bytes, *, whole: bool) -> bytes:
    """Sends it, and takes what comes back. What waits for the rest of its request waits in vain, for a second."""
    found = b""
    with (
        socket.create_connection(("127.0.0.1", door.port), timeout=60) as plain,
        door.tls.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        with suppress(OSError):  # an answer that comes early ends the sending, and is there to be read all the same
            secured.sendall(data)
        try:
            secured.settimeout(20.0 if whole else 1.0)
            while part := secured.recv(65536):
                found += part
                if _complete(found, head=data.startswith(b"HEAD ")):
                    break
        except OSError:
            pass
    return found


def _complete(found: bytes, *, head: bool) -> bool:
    start, end, body = found.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", start)
    return bool(end) and (head or length is None or len(body) >= int(length[1]))


def fault_of(data: bytes, answer: bytes, *, whole: bool) -> str:
    """What is wrong with an answer; empty when it is right. Only half a request may go without one."""
    if not answer:
        return f"no answer to {len(data)} bytes: {data[:300]!r}" if whole else ""
    code = int(answer[9:12])
    if code >= 500 and code != 501:
        return f"{code} to {data[:300]!r}: {answer[-500:]!r}"
    head, _, body = answer.partition(b"\r\n\r\n")
    if code >= 400 and body and not data.startswith(b"HEAD") and b"application/json" in head:
        told = json.loads(body)
        if (told["kind"], told["status"], told["code"]) != ("Status", "Failure", code):
            return f"{data[:300]!r}: {told}"
    return ""


def test_nonsense_costs_one_answer_each(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    faults: list[str] = []
    codes: Counter[str] = Counter()
    try:
        cloud.start()
        door, before = Door.of(cloud.kubeconfig), cloud.program.memory()

        def send(seed: int) -> None:
            mind = Mind(seed)
            for _ in range(REQUESTS // AT_ONCE):
                data, whole = mind.request()
                answer = exchange(door, data, whole=whole)
                codes[answer[9:12].decode() or "none"] += 1
                if fault := fault_of(data, answer, whole=whole):
                    faults.append(fault)

        threads = [threading.Thread(target=send, args=(SEED * 1000 + number,)) for number in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cloud.program.must_run()
        eventually("the API answers", lambda: _good(door))
        grown = cloud.program.memory("VmHWM") - before
        print(f"{sum(codes.values())} requests: {dict(codes)}; {before // MIB} MiB before, {grown // MIB} MiB more at the peak")
        assert not faults, "\n".join(faults[:10])
        assert "Traceback" not in cloud.program.output()
        assert grown < MOST_MEMORY
    finally:
        cloud.close()


def _good(door: Door) -> bool:
    try:
        with door.connected() as connection:
            return ask(connection, "GET", f"{SPACE}/configmaps")[0] == 200
    except BROKEN:
        return False
