"""What to do next, as a table of situations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.plan import (
    BACKOFF_STEP,
    SANDBOX,
    VOLUMES,
    CreateSandbox,
    Plan,
    Problem,
    StartContainer,
    StopContainer,
    StopPod,
    backoff_delay,
    is_initialized,
    plan,
)
from edgecore.edged.runtime.engine import ContainerInfo, PodIdentity, PodInfo, SandboxInfo, State
from kube.objects import Object

NOW = 10_000.0
WHO = PodIdentity("default", "web", "u1")
UP = SandboxInfo("s0", WHO, ready=True, attempt=0, ip="10.0.0.2", created_at=100.0)
DOWN = SandboxInfo("s0", WHO, ready=False, attempt=0, created_at=100.0)


def pod(policy: str = "Always", *, mains: int = 1, inits: list[Object] | None = None, **spec: Any) -> Object:
    containers = [{"name": f"c{n}", "image": "a:1"} for n in range(mains)]
    return {
        "metadata": {"name": "web"},
        "spec": {"restartPolicy": policy, "containers": containers, "initContainers": inits} | spec,
    }


def box(name: str = "c0", state: State = State.RUNNING, code: int = 0, **more: Any) -> ContainerInfo:
    values: dict[str, Any] = {"attempt": 0, "hash": "a:1", "created_at": 200.0, "started_at": 200.0, "finished_at": 201.0} | more
    step = values.pop("step", None)
    annotations = {} if step is None else {BACKOFF_STEP: str(step)}
    return ContainerInfo(
        id=f"{name}-{values['attempt']}", name=name, pod=WHO, state=state, image="a:1", image_id="", exit_code=code,
        annotations=annotations, **values,
    )  # fmt: skip


def decide(wanted: Object, *containers: ContainerInfo, sandbox: SandboxInfo | None = UP, **problems: Problem) -> Plan:
    info = PodInfo(WHO, [sandbox] if sandbox else [], containers) if sandbox or containers else None
    renamed = {{"volumes": VOLUMES, "network": SANDBOX}.get(name, name): problem for name, problem in problems.items()}
    return plan(wanted, info, NOW, hash_of=lambda c: str(c["image"]), problems=renamed)


def said(found: Plan) -> list[str]:
    """The actions in short: ``start c0#1`` is container c0, attempt 1."""
    words = []
    for action in found.actions:
        match action:
            case CreateSandbox(attempt):
                words.append(f"sandbox#{attempt}")
            case StopPod():
                words.append("stop pod")
            case StartContainer():
                words.append(f"start {action.name}#{action.attempt}" + (f" for {action.replaces}" if action.replaces else ""))
            case StopContainer():
                words.append(f"stop {action.id}")
    return words


EXITED, RUNNING, CREATED, UNKNOWN = State.EXITED, State.RUNNING, State.CREATED, State.UNKNOWN
ONE: Object = {"name": "i0", "image": "a:1"}
TWO: Object = {"name": "i1", "image": "a:1"}
SIDE: Object = {"name": "side", "image": "a:1", "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("wanted", "containers", "sandbox", "expected"),
    [
        pytest.param(pod(), [], None, ["sandbox#0"], id="new"),
        pytest.param(pod(), [], UP, ["start c0#0"], id="sandbox is there"),
        pytest.param(pod(mains=2), [box()], UP, ["start c1#0"], id="the other one too"),
        pytest.param(pod(), [box()], UP, [], id="runs"),
        pytest.param(pod(), [box(hash="old:1", attempt=2)], UP, ["stop c0-2", "start c0#3"], id="image changed"),
        pytest.param(pod(), [box(hash="")], UP, [], id="a container without a hash is kept"),
        pytest.param(pod(), [box(state=CREATED)], UP, ["start c0#0 for c0-0"], id="created but never started"),
        pytest.param(pod(), [box(state=UNKNOWN)], UP, ["stop c0-0", "start c0#1"], id="unknown"),
        pytest.param(pod(), [box(state=EXITED, code=1, step=0)], UP, ["start c0#1"], id="first crash, at once"),
        pytest.param(pod(), [box(state=EXITED, step=0)], UP, ["start c0#1"], id="Always restarts after 0, too"),
        pytest.param(pod("OnFailure"), [box(state=EXITED, step=0)], UP, ["stop pod"], id="OnFailure is done at 0"),
        pytest.param(pod("OnFailure"), [box(state=EXITED, code=1, step=0)], UP, ["start c0#1"], id="OnFailure restarts at 1"),
        pytest.param(pod("Never"), [box(state=EXITED, code=1)], UP, ["stop pod"], id="Never is done"),
        pytest.param(pod("Never"), [box(state=EXITED, code=1)], DOWN, [], id="Never, all is stopped"),
        pytest.param(pod("Never", mains=2), [box(state=EXITED), box("c1")], UP, [], id="one ended, one runs"),
        pytest.param(pod(), [box(state=EXITED, code=137)], DOWN, ["sandbox#1"], id="rebooted"),
        pytest.param(pod(), [box()], DOWN, ["stop pod", "sandbox#1"], id="sandbox died, container not yet"),
        pytest.param(pod("Never", mains=2), [box(state=EXITED, code=137)], DOWN, [], id="Never is not begun again"),
        pytest.param(pod(inits=[ONE, TWO]), [], UP, ["start i0#0"], id="first init"),
        pytest.param(pod(inits=[ONE, TWO]), [box("i0")], UP, [], id="first init runs"),
        pytest.param(pod(inits=[ONE, TWO]), [box("i0", EXITED)], UP, ["start i1#0"], id="second init"),
        pytest.param(pod(inits=[ONE, TWO]), [box("i0", EXITED), box("i1", EXITED)], UP, ["start c0#0"], id="inits done"),
        pytest.param(pod(inits=[ONE]), [box("i0", EXITED, 1, step=0)], UP, ["start i0#1"], id="init again"),
        pytest.param(pod("Never", inits=[ONE]), [box("i0", EXITED, 1)], UP, ["stop pod"], id="init failed for good"),
        pytest.param(pod(inits=[ONE]), [box()], UP, [], id="a main container proves that inits were done"),
        pytest.param(pod(inits=[ONE]), [box("i0", EXITED, created_at=50.0)], UP, ["start i0#1"], id="inits of an old sandbox"),
        pytest.param(pod(inits=[SIDE, ONE]), [box("side")], UP, ["start i0#0"], id="sidecar runs, next init"),
        pytest.param(pod(inits=[SIDE]), [box("side")], UP, ["start c0#0"], id="sidecar runs, main"),
        pytest.param(pod(inits=[SIDE]), [box("side", EXITED, step=0), box()], UP, ["start side#1"], id="sidecar restarts at 0"),
        pytest.param(pod("Never", inits=[SIDE]), [box("side"), box(state=EXITED)], UP, ["stop pod"], id="sidecars end last"),
    ],
)
def test_next_steps(wanted: Object, containers: list[ContainerInfo], sandbox: SandboxInfo | None, expected: list[str]) -> None:
    assert said(decide(wanted, *containers, sandbox=sandbox)) == expected


@pytest.mark.parametrize(
    ("step", "ended", "ran", "expected", "next_step"),
    [
        (0, NOW, 1.0, ["start c0#6"], 1),
        (1, NOW - 9, 1.0, [], None),
        (1, NOW - 10, 1.0, ["start c0#6"], 2),
        (5, NOW - 159, 1.0, [], None),
        (5, NOW - 160, 1.0, ["start c0#6"], 6),
        (90, NOW - 299, 1.0, [], None),
        (90, NOW - 300, 1.0, ["start c0#6"], 91),
        (90, NOW, 600.0, ["start c0#6"], 1),  # it ran ten minutes: a first crash again
        (None, NOW - 159, 1.0, [], None),  # another kubelet's container: the restart count stands in
        (3, NOW + 1, 1.0, [], None),  # the engine's clock is a little ahead
        (3, NOW + 5000, 1.0, ["start c0#6"], 4),  # the clock was set back: who knows how long ago that was
    ],
)
def test_back_off(step: int | None, ended: float, ran: float, expected: list[str], next_step: int | None) -> None:
    found = decide(pod(), box(state=EXITED, code=1, step=step, attempt=5, started_at=ended - ran, finished_at=ended))
    assert said(found) == expected
    if next_step is None:
        assert found.crash_waits.keys() == {"c0"}
        assert found.wake_at is not None and NOW < found.wake_at <= NOW + 300
    else:
        start = found.actions[0]
        assert isinstance(start, StartContainer) and start.step == next_step


def test_delays_grow_to_five_minutes() -> None:
    assert [backoff_delay(step) for step in range(9)] == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_problem_holds_back_its_container_only() -> None:
    found = decide(pod(mains=2), c0=Problem("ErrImagePull", "x", retry_at=NOW + 7))
    assert said(found) == ["start c1#0"]
    assert found.wake_at == NOW + 7


def test_a_problem_whose_time_has_come_holds_back_nothing() -> None:
    assert said(decide(pod(), c0=Problem("ErrImagePull", "x", retry_at=NOW))) == ["start c0#0"]


@pytest.mark.parametrize("kind", ["volumes", "network"])
def test_a_problem_of_the_pod_holds_back_the_sandbox(kind: str) -> None:
    assert said(decide(pod(), sandbox=None, **{kind: Problem("ContainerCreating", "x", retry_at=NOW + 1)})) == []


def test_missing_volumes_hold_back_containers_but_stop_none() -> None:
    late = Problem("ContainerCreating", "x", retry_at=NOW + 1)
    assert said(decide(pod(mains=2), box(), volumes=late)) == []


def test_the_cloud_remembers_restarts_that_the_engine_lost() -> None:
    wanted = pod() | {"status": {"containerStatuses": [{"name": "c0", "restartCount": 4, "containerID": "docker://x"}]}}
    assert said(decide(wanted)) == ["start c0#5"]


@pytest.mark.parametrize(("age", "expected"), [(1, []), (4.9, []), (5, ["sandbox#1"]), (-2, []), (-3600, ["sandbox#1"])])
def test_sandboxes_that_die_young_are_not_made_in_a_hot_loop(age: float, expected: list[str]) -> None:
    found = decide(pod(), sandbox=SandboxInfo("s0", WHO, ready=False, attempt=0, created_at=NOW - age))
    assert said(found) == expected
    assert expected or (found.wake_at is not None and NOW < found.wake_at <= NOW + 5 + max(0, -age))


def test_the_deadline_wakes() -> None:
    wanted = pod(activeDeadlineSeconds=30) | {"status": {"startTime": "1970-01-01T02:46:30Z"}}
    assert decide(wanted, box()).wake_at == 9990 + 30


def test_a_sidecar_that_stopped_does_not_undo_initialization() -> None:
    info = PodInfo(WHO, [UP], [box("side", EXITED), box()])
    assert is_initialized(pod(inits=[SIDE]), info, UP)


STATES = st.sampled_from(list(State))
BOXES = st.lists(
    st.builds(
        box,
        name=st.sampled_from(["c0", "c1", "i0", "side", "stranger"]),
        state=STATES,
        code=st.sampled_from([0, 1, 137]),
        attempt=st.integers(0, 3),
        created_at=st.floats(0, 300),
        finished_at=st.floats(0, 20_000),
        step=st.sampled_from([None, 0, 3]),
    ),
    max_size=6,
    unique_by=lambda c: (c.name, c.attempt),
)


@given(BOXES, st.sampled_from([UP, DOWN, None]), st.sampled_from(["Always", "OnFailure", "Never"]))
def test_a_plan_is_always_sound(containers: list[ContainerInfo], sandbox: SandboxInfo | None, policy: str) -> None:
    found = decide(pod(policy, mains=2, inits=[SIDE, ONE]), *containers, sandbox=sandbox)
    starts = [action for action in found.actions if isinstance(action, StartContainer)]
    stopped = {action.id for action in found.actions if isinstance(action, StopContainer)}
    assert len({action.name for action in starts}) == len(starts)
    if starts:
        assert sandbox is UP  # nothing starts outside a sandbox that is up
    for action in starts:
        same = [c for c in containers if c.name == action.name]
        assert all(c.attempt < action.attempt or c.id == action.replaces for c in same)  # a new number each time
        running = [c for c in same if c.state is RUNNING and c.attempt == max(s.attempt for s in same)]
        assert all(c.id in stopped for c in running)  # never two at once
    if policy == "Never":
        ended = {c.name for c in containers if c.state is EXITED and c.name in ("c0", "c1") and not c.hash.startswith("old")}
        latest = {name: max((c for c in containers if c.name == name), key=lambda c: c.attempt) for name in ended}
        assert not [a for a in starts if a.name in latest and latest[a.name].state is EXITED]


def test_a_retry_that_was_set_by_another_clock_is_not_awaited() -> None:
    problem = Problem("ErrImagePull", "x", retry_at=NOW + 86_400)
    assert said(decide(pod(), c0=problem)) == ["start c0#0"]
