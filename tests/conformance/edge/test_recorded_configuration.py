"""The configuration that KubeEdge 1.23.1 prints is ours too: no key unknown, none taken for a change."""

from __future__ import annotations

from pathlib import Path

from edgecore import config

RECORDED = Path(__file__).parent / "recorded" / "edgecore.yaml"


def test_every_key_is_known_and_none_counts_as_changed() -> None:
    found = config.load(RECORDED)
    assert found.modules.edged.hostnameOverride == "edge-1"
    assert config.not_built(found) == []


def test_what_was_changed_in_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "edgecore.yaml"
    text = RECORDED.read_text()
    file.write_text(text.replace("imageMinimumGCAge: 2m0s", "imageMinimumGCAge: 3m0s").replace("verbosity: 0", "verbosity: 1"))
    keys = [name.rpartition(".")[2] for name in config.not_built(config.load(file))]
    assert keys == ["imageMinimumGCAge", "logging"]
