from __future__ import annotations

from pathlib import Path

from keadm import folders, unit
from keadm.layout import Layout
from keadm.processes import config_of, runs

ROOT = Path(__file__).parents[3]


def test_a_real_node() -> None:
    layout = Layout()
    assert str(layout.config) == "/etc/kubeedge/config/edgecore.yaml"
    assert str(layout.authority) == "/etc/kubeedge/ca/rootCA.crt"
    assert not layout.relocated
    assert layout.relocate({"a": ["/var/lib/kubeedge/edgecore.db"]}) == {"a": ["/var/lib/kubeedge/edgecore.db"]}


def test_a_prefix_moves_everything_of_ours_and_nothing_else() -> None:
    layout = Layout(Path("/srv/one"))
    tree = {"db": "/var/lib/kubeedge/edgecore.db", "dns": "/etc/resolv.conf", "n": 1, "l": ["/var/log/pods"]}
    moved = layout.relocate(tree)
    assert moved == {
        "db": "/srv/one/var/lib/kubeedge/edgecore.db",
        "dns": "/etc/resolv.conf",
        "n": 1,
        "l": ["/srv/one/var/log/pods"],
    }
    assert all(folder.is_relative_to("/srv/one") for folder in (*layout.folders, *layout.pods))


def test_a_cloud_on_the_same_machine_keeps_its_files(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    theirs = [layout.etc / "config" / "cloudcore.yaml", layout.data / "cloudcore" / "kubernetes.db"]
    ours = [layout.config, layout.key, layout.data / "edgecore.db", layout.at("/var/lib/kubelet/pods/x/y")]
    for file in (*theirs, *ours):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert [problem for folder in (*layout.folders, *layout.pods) for problem in folders.remove(folder, layout.clouds)] == []
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(theirs)


def test_the_logs_of_other_pods_are_not_ours_to_remove() -> None:
    assert Path("/var/log/pods") not in (*Layout().folders, *Layout().pods)


def test_edgecore_is_known_by_its_command_line() -> None:
    assert runs(["/usr/local/bin/edgecore"], "edgecore")
    assert runs(["/venv/bin/python", "/venv/bin/edgecore", "--config", "x"], "edgecore")
    assert runs(["python3.11", "-m", "edgecore"], "edgecore")
    assert not runs(["vim", "edgecore"], "edgecore")
    assert not runs(["python3", "/venv/bin/keadm", "edgecore"], "edgecore")
    assert config_of(["edgecore", "--config", "/a"], Path("/d")) == "/a"
    assert config_of(["edgecore", "--config=/a"], Path("/d")) == "/a"
    assert config_of(["edgecore"], Path("/d")) == "/d"


def test_the_unit_shown_is_the_unit_written() -> None:
    shown = (ROOT / "systemd" / "edgecore.service").read_text(encoding="utf-8")
    assert shown == unit.unit_text(["/usr/local/bin/edgecore", "--config", "/etc/kubeedge/config/edgecore.yaml"])
