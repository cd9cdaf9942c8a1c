from __future__ import annotations

import pytest

from edgecore.edged import killing
from edgecore.edged.runtime.engine import ContainerInfo, PodIdentity, PodInfo, State

POD = PodIdentity("default", "web", "uid-1")


def container(name: str, grace: str | None) -> ContainerInfo:
    annotations = {} if grace is None else {killing.GRACE_ANNOTATION: grace}
    return ContainerInfo(
        id=name,
        name=name,
        pod=POD,
        state=State.RUNNING,
        image="i",
        image_id="i",
        attempt=0,
        hash="h",
        created_at=1.0,
        annotations=annotations,
    )


@pytest.mark.parametrize(
    ("recorded", "grace"),
    [([], None), ([None], None), (["1"], 1.0), (["1", "5"], 5.0), (["nonsense", "-3", "2"], 2.0), (["9" * 400], None)],
)
def test_a_pod_that_nobody_knows_any_more_keeps_its_own_grace_period(recorded: list[str | None], grace: float | None) -> None:
    info = PodInfo(POD, [], [container(f"c{number}", text) for number, text in enumerate(recorded)])
    assert killing.recorded_grace(info) == grace
