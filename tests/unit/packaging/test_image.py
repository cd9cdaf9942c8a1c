"""The parts of the image recipe that need no network. The image itself is made, loaded and run by tests/e2e/test_chart.py."""

from __future__ import annotations

import io
import json
import marshal
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "packaging" / "image"))

import archive  # noqa: E402
import bytecode  # noqa: E402
import debs  # noqa: E402
import elf  # noqa: E402
import wheels  # noqa: E402
from problem import Problem  # noqa: E402
from tree import Tree  # noqa: E402


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return {member.name: member for member in found}


def test_a_layer_says_nothing_of_when_and_by_whom_it_was_made() -> None:
    one, other = Tree(), Tree()
    one.file("etc/a", "1", 0o600)
    one.link("usr/bin/b", "../c")
    other.link("/bin/b", "../c")
    other.file("etc/a", "1", 0o600)
    assert one.layer() == other.layer()
    found = members(one.layer())
    assert list(found) == ["etc", "etc/a", "usr", "usr/bin", "usr/bin/b"]
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, 946684800)}
    assert (found["etc/a"].mode, found["usr/bin/b"].linkname) == (0o600, "../c")


def test_a_missing_library_is_found() -> None:
    tree = Tree()
    program = Path(sys.executable).resolve().read_bytes()
    assert "libc.so.6" in elf.needed(program)
    assert elf.needed(b"#!/bin/sh\n") == []
    tree.file("usr/bin/python", program)
    with pytest.raises(Problem, match=r"libc\.so\.6 \(for /usr/bin/python\)"):
        elf.check(tree)
    for library in elf.needed(program):
        tree.file(f"usr/lib/{library}", b"")
    elf.check(tree)


def test_bytecode_is_loaded_without_looking_at_its_source() -> None:
    tree = Tree()
    tree.file("opt/good.py", "x = 40 + 2\n")
    tree.file("opt/template.py", "{{ not python }} =\n")
    bytecode.compile_all(tree, "opt")
    assert [path for path, _ in tree.files("opt/__pycache__")] == ["opt/__pycache__/good.cpython-311.pyc"]
    compiled = tree.entries["opt/__pycache__/good.cpython-311.pyc"].data
    assert compiled is not None
    assert int.from_bytes(compiled[4:8], "little") == 1  # PEP 552's flag: hash-based, unchecked
    names: dict[str, int] = {}
    exec(marshal.loads(compiled[16:]), names)  # noqa: S102, S302
    assert names["x"] == 42


def test_the_archive_is_both_an_oci_layout_and_a_docker_archive(tmp_path: Path) -> None:
    image = archive.Image([b"layer one", b"layer two"], {"User": "65532"}, "registry.example/a/b:1.2", 1_700_000_000)
    size = archive.save(image, tmp_path / "image.tar", tmp_path)
    archive.save(image, tmp_path / "again.tar", tmp_path)
    assert (tmp_path / "image.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()
    assert size == (tmp_path / "image.tar").stat().st_size
    with tarfile.open(tmp_path / "image.tar") as found:
        files = {member.name: found.extractfile(member).read() for member in found}  # type: ignore[union-attr]
    (docker,) = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["registry.example/a/b:1.2"]
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "registry.example/a/b:1.2"
    manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
    assert ["blobs/" + layer["digest"].replace(":", "/") for layer in manifest["layers"]] == docker["Layers"]
    config = json.loads(files[docker["Config"]])
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert len(config["rootfs"]["diff_ids"]) == 2


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("usr/bin/python3.11", True),
        ("usr/bin/openssl", False),
        ("usr/sbin/update-ca-certificates", False),
        ("usr/lib/python3.11/json/decoder.py", True),
        ("usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", True),
        ("usr/lib/python3.11/lib-dynload/readline.cpython-311-x86_64-linux-gnu.so", False),
        ("usr/share/doc/libc6/copyright", True),
        ("usr/share/doc/libc6/changelog.Debian.gz", False),
        ("usr/share/zoneinfo/Europe/Berlin", True),
        ("usr/share/zoneinfo/right/Europe/Berlin", False),
        ("etc/cron.daily/apt", False),
    ],
)
def test_what_of_a_package_comes_along(path: str, kept: bool) -> None:
    assert (debs.LEFT_OUT.match(path) is None) == kept


def test_it_installs_what_setup_cfg_names() -> None:
    found = wheels.requirements()
    assert any(line.startswith("trio ") for line in found)
    assert any(line.startswith("h11 ") for line in found)
    assert not any(line.startswith(("docker", "pytest")) for line in found)


def test_a_wheel_is_unpacked_as_pip_would(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a-1.whl", "w") as made:
        for name in ("a/__init__.py", "a/b.so", "a/tests/test_a.py", "a-1.dist-info/METADATA", "a-1.dist-info/RECORD"):
            made.writestr(name, name)
        made.writestr("a-1.data/platlib/a/c.py", "c")
        made.writestr("a-1.data/scripts/a", "#!python")
    tree = Tree()
    wheels.unpack(tmp_path / "a-1.whl", tree, "opt")
    assert {path for path, _ in tree.files()} == {"opt/a/__init__.py", "opt/a/b.so", "opt/a-1.dist-info/METADATA", "opt/a/c.py"}
