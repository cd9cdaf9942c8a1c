"""The status of a pod, as a table of situations."""

from __future__ import annotations

from typing import Any

import pytest

from edgecore.edged.container_status import Observation
from edgecore.edged.plan import VOLUMES, Problem
from edgecore.edged.runtime.engine import ContainerInfo, PodIdentity, PodInfo, SandboxInfo, State
from edgecore.edged.status import Verdict, pod_status
from kube.objects import Object

NOW = 1_800_000_000.0
WHO = PodIdentity("default", "web", "u1")
UP = SandboxInfo("s0", WHO, ready=True, attempt=0, ip="10.0.0.2", created_at=100.0)
CREATED, RUNNING, EXITED, UNKNOWN = State.CREATED, State.RUNNING, State.EXITED, State.UNKNOWN


def pod(policy: str = "Always", *, mains: int = 1, inits: tuple[str, ...] = (), status: Object | None = None) -> Object:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {
            "restartPolicy": policy,
            "containers": [{"name": f"c{n}", "image": "a:1"} for n in range(mains)],
            "initContainers": [{"name": name, "image": "a:1"} for name in inits],
        },
        "status": status or {},
    }


def box(name: str = "c0", state: State = RUNNING, code: int = 0, **more: Any) -> ContainerInfo:
    values: dict[str, Any] = {"attempt": 0, "started_at": 200.0, "finished_at": 201.0} | more
    return ContainerInfo(
        id=f"docker://{name}{values['attempt']}", name=name, pod=WHO, state=state, image="a:1",
        image_id="docker://sha256:1", hash="", exit_code=code, created_at=150.0, **values,
    )  # fmt: skip


def status(wanted: Object, *containers: ContainerInfo, verdict: Verdict | None = None, **more: Any) -> Object:
    info = PodInfo(WHO, [UP], containers) if containers else None
    seen = Observation(info, more.pop("initialized", True), **more)
    return pod_status(wanted, seen, host_ip="192.0.2.1", now=NOW, verdict=verdict)


def state_of(found: Object, index: int = 0) -> str:
    """``waiting ContainerCreating``, ``running``, ``terminated 3 Error``."""
    entry = found["containerStatuses"][index]
    ((kind, body),) = entry["state"].items()
    return " ".join(str(part) for part in (kind, body.get("exitCode"), body.get("reason")) if part is not None)


@pytest.mark.parametrize(
    ("wanted", "containers", "phase", "state"),
    [
        (pod(), [], "Pending", "waiting ContainerCreating"),
        (pod(), [box(state=CREATED)], "Pending", "waiting ContainerCreating"),
        (pod(), [box()], "Running", "running"),
        (pod(), [box(state=EXITED, code=3)], "Running", "terminated 3 Error"),
        (pod(), [box(state=EXITED, code=0)], "Running", "terminated 0 Completed"),
        (pod(), [box(state=EXITED, code=137, reason="OOMKilled")], "Running", "terminated 137 OOMKilled"),
        (pod("OnFailure"), [box(state=EXITED, code=3)], "Running", "terminated 3 Error"),
        (pod("OnFailure"), [box(state=EXITED, code=0)], "Succeeded", "terminated 0 Completed"),
        (pod("Never"), [box(state=EXITED, code=3)], "Failed", "terminated 3 Error"),
        (pod("Never"), [box(state=EXITED, code=0)], "Succeeded", "terminated 0 Completed"),
        (pod("Never", mains=2), [box(), box("c1", EXITED, 1)], "Running", "running"),
        (pod("Never", mains=2), [box(state=EXITED), box("c1", EXITED, 1)], "Failed", "terminated 0 Completed"),
        (pod(mains=2), [box()], "Pending", "running"),
        (pod(), [box(state=UNKNOWN)], "Running", "terminated 137 ContainerStatusUnknown"),
        (pod(status={"phase": "Failed"}), [box(state=EXITED)], "Failed", "terminated 0 Completed"),  # never leaves it
    ],
)
def test_phase_and_state(wanted: Object, containers: list[ContainerInfo], phase: str, state: str) -> None:
    found = status(wanted, *containers)
    assert (found["phase"], state_of(found)) == (phase, state)


@pytest.mark.parametrize(
    ("initialized", "containers", "phase", "inits", "main"),
    [
        (False, [], "Pending", ["waiting", "waiting"], "waiting PodInitializing"),
        (False, [box("i0")], "Pending", ["running", "waiting"], "waiting PodInitializing"),
        (False, [box("i0", EXITED), box("i1", EXITED, 1)], "Pending", ["terminated", "terminated"], "waiting PodInitializing"),
        (True, [box("i0", EXITED), box("i1", EXITED), box()], "Running", ["terminated", "terminated"], "running"),
    ],
)
def test_init_containers(initialized: bool, containers: list[ContainerInfo], phase: str, inits: list[str], main: str) -> None:
    found = status(pod(inits=("i0", "i1")), *containers, initialized=initialized)
    assert found["phase"] == phase
    assert [next(iter(entry["state"])) for entry in found["initContainerStatuses"]] == inits
    assert state_of(found) == main
    condition = {entry["type"]: entry for entry in found["conditions"]}["Initialized"]
    assert condition["status"] == str(initialized)


def test_an_init_container_that_failed_for_good_fails_the_pod() -> None:
    assert status(pod("Never", inits=("i0",)), box("i0", EXITED, 1), initialized=False)["phase"] == "Failed"


def test_a_crash_loop() -> None:
    found = status(pod(), box(state=EXITED, code=1, attempt=3), box(attempt=2, state=EXITED, code=9), crash_waits={"c0": 40.0})
    assert state_of(found) == "waiting CrashLoopBackOff"
    entry = found["containerStatuses"][0]
    assert entry["state"]["waiting"]["message"] == "back-off 40s restarting failed container=c0 pod=web_default(u1)"
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    assert (entry["restartCount"], entry["ready"], found["phase"]) == (3, False, "Running")


def test_the_last_state_of_a_restarted_container() -> None:
    entry = status(pod(), box(attempt=2), box(state=EXITED, code=9, attempt=1))["containerStatuses"][0]
    assert entry["lastState"]["terminated"]["exitCode"] == 9
    assert entry["state"]["running"]["startedAt"] == "1970-01-01T00:03:20Z"
    assert (entry["restartCount"], entry["ready"], entry["started"]) == (2, True, True)


@pytest.mark.parametrize(
    ("name", "reason", "expected"),
    [("c0", "ErrImagePull", "waiting ErrImagePull"), (VOLUMES, "ContainerCreating", "waiting ContainerCreating")],
)
def test_problems_are_shown(name: str, reason: str, expected: str) -> None:
    found = status(pod(), problems={name: Problem(reason, "because")})
    assert state_of(found) == expected
    assert found["containerStatuses"][0]["state"]["waiting"]["message"] == "because"


def test_readiness_comes_from_probes_where_there_are_any() -> None:
    found = status(pod(mains=2), box(), box("c1"), ready={"c1": False})
    ready = {entry["type"]: entry for entry in found["conditions"]}["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [c1]"


@pytest.mark.parametrize(
    ("containers", "phase", "state"),
    [
        ([], "Failed", "terminated 137 ContainerStatusUnknown"),
        ([box(state=EXITED, code=143)], "Failed", "terminated 143 Error"),
        ([box(state=EXITED, code=0)], "Succeeded", "terminated 0 Completed"),
    ],
)
def test_a_pod_that_was_ended(containers: list[ContainerInfo], phase: str, state: str) -> None:
    found = status(pod(), *containers, stopping=True, ended=True)
    assert (found["phase"], state_of(found)) == (phase, state)
    assert {entry["type"]: entry["status"] for entry in found["conditions"]}["Ready"] == "False"


def test_what_the_cloud_knew_outlives_the_container() -> None:
    known = {"terminated": {"exitCode": 5, "reason": "Error"}}
    before = {"containerStatuses": [{"name": "c0", "containerID": "docker://x", "restartCount": 2, "state": known}]}
    found = status(pod(status=before), stopping=True, ended=True)
    assert state_of(found) == "terminated 5 Error"
    assert found["containerStatuses"][0]["restartCount"] == 2
    again = status(pod(status=before))["containerStatuses"][0]
    assert again["lastState"] == known and "waiting" in again["state"]


def test_a_rejected_pod() -> None:
    found = status(pod(), verdict=Verdict("NodePorts", "taken"), stopping=True)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "NodePorts", "taken")
    assert found["containerStatuses"] == []


def test_a_terminal_phase_is_held_back_while_a_container_runs() -> None:
    late = Verdict("DeadlineExceeded", "too late")
    assert status(pod(), box(), verdict=late)["phase"] == "Running"
    assert status(pod(), box(state=EXITED, code=143), verdict=late, stopping=True)["phase"] == "Failed"


def test_transition_times_move_only_with_the_status() -> None:
    first = status(pod(), box())
    old = "2020-01-01T00:00:00Z"
    for entry in first["conditions"]:
        entry["lastTransitionTime"] = old
    second = status(pod(status=first), box(state=EXITED, code=1))
    times = {entry["type"]: entry["lastTransitionTime"] for entry in second["conditions"]}
    assert times["Initialized"] == old and times["Ready"] == "2027-01-15T08:00:00Z"
    assert second["startTime"] == first["startTime"]


@pytest.mark.parametrize("junk", [None, 7, "x", [], {"containerStatuses": [None, 3, {"name": None}], "conditions": "no"}])
def test_junk_in_the_stored_status_is_ignored(junk: Any) -> None:
    assert status(pod() | {"status": junk}, box())["phase"] == "Running"
