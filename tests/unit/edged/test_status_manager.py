from __future__ import annotations

import logging

import pytest
import trio
from engines.meta import MemoryMeta

from edgecore.edged.status_manager import StatusManager
from edgecore.metamanager.client import Refused
from kube.objects import Object


def pod(uid: str) -> Object:
    return {"metadata": {"name": "web", "namespace": "default", "uid": uid}, "spec": {}, "status": {}}


class Overtaken(MemoryMeta):
    """While the status of the first pod is on its way, another takes its name in the cloud and here."""

    refusal = Refused("", code=409, reason="Conflict")

    async def patch_pod_status(self, namespace: str, name: str, patch: Object) -> Object:
        self.put("pod", pod("second"))
        raise self.refusal


@pytest.mark.parametrize(
    "refusal",
    [
        Refused("the UID in the precondition does not match", code=409, reason="Conflict"),
        Refused('Pod "web" is invalid: metadata.uid: Invalid value: "first": field is immutable', code=422, reason="Invalid"),
    ],
    ids=lambda one: one.reason,
)
async def test_the_status_of_a_pod_that_lost_its_name_is_dropped(
    refusal: Refused, caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    meta = Overtaken()
    meta.refusal = refusal
    meta.put("pod", pod("first"))
    manager = StatusManager(meta)
    manager.set(pod("first"), {"phase": "Running"})
    with caplog.at_level(logging.INFO), trio.move_on_after(60):
        await manager.run()
    assert caplog.text.count("another pod has its name now") == 1
    assert "refused" not in caplog.text
