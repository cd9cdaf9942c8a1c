"""The configuration that KubeEdge 1.23.1 prints is ours too: no key unknown."""

from __future__ import annotations

from pathlib import Path

from cloudcore import config

RECORDED = Path(__file__).parent / "recorded" / "cloudcore.yaml"


def test_every_key_is_known() -> None:
    found = config.load(RECORDED)
    assert found.modules.cloud_hub.websocket.port == 10000
    assert not found.standalone.enable
