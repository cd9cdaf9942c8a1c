from __future__ import annotations

from pathlib import Path

from edgecore.config import EdgeCore
from edgecore.pods import EngineNote, edged_settings


def test_docker_is_remembered_and_nothing_else(tmp_path: Path) -> None:
    note = EngineNote(tmp_path / "kubelet")
    assert note.read() == "auto"
    note.write("process")
    assert note.read() == "auto"
    note.write("docker")
    note.write("docker")
    assert note.read() == "docker"
    (tmp_path / "kubelet" / "edgecore-runtime").write_bytes(b"\xff\xfe")
    assert note.read() == "auto"


def test_an_unwritable_root_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    note = EngineNote(tmp_path / "file")
    note.write("docker")
    assert note.read() == "auto"


def test_edged_hears_what_the_file_says() -> None:
    config = EdgeCore()
    edged = config.modules.edged
    edged.hostnameOverride, edged.nodeLabels = "edge-1", {"a": "b"}
    edged.tailoredKubeletConfig.nodeStatusReportFrequency = "2m30s"
    edged.tailoredKubeletConfig.clusterDNS = ["169.254.96.16"]
    settings = edged_settings(config)
    assert (settings.node_name, settings.node_labels) == ("edge-1", {"a": "b"})
    assert (settings.status_report_frequency, settings.cluster_dns) == (150.0, ["169.254.96.16"])
