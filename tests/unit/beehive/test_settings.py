from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from beehive import settings


class Hub(msgspec.Struct, rename="camel"):
    enable: bool = True
    heartbeat: int = 15
    address_list: list[str] = []
    labels: dict[str, str] = {}


class Item(msgspec.Struct):
    name: str = ""


class Modules(msgspec.Struct, rename="camel"):
    edge_hub: Hub = msgspec.field(default_factory=Hub)
    items: list[Item] = []


class Config(msgspec.Struct, rename="camel"):
    kind: str = "EdgeCore"
    modules: Modules = msgspec.field(default_factory=Modules)
    optional: Hub | None = None


def parse(text: str) -> Config:
    return settings.parse(text, Config, origin="f.yaml")


def test_absent_and_null_keys_keep_their_defaults() -> None:
    config = parse("modules:\n  edgeHub:\n    heartbeat: 5\n    enable: null\noptional: null\n")
    assert config.modules.edge_hub == Hub(heartbeat=5)
    assert parse("") == parse("# nothing\n") == Config()


def test_what_is_dumped_loads_again() -> None:
    config = parse("modules: {edgeHub: {heartbeat: 7, labels: {a: b}}}")
    assert settings.parse(settings.dump(config), Config, origin="x") == config


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "modules:\n  edgeHub:\n    hartbeat: 5\n",
            "f.yaml: line 3: unknown key `modules.edgeHub.hartbeat`; did you mean `heartbeat`?",
        ),
        ("modules:\n  EdgeHub: {}\n", "f.yaml: line 2: unknown key `modules.EdgeHub`; did you mean `edgeHub`?"),
        ("zzz: 1\n", "f.yaml: line 1: unknown key `zzz`; known here: kind, modules, optional"),
        (
            "modules:\n  items:\n  - name: a\n  - nam: b\n",
            "f.yaml: line 4: unknown key `modules.items[1].nam`; did you mean `name`?",
        ),
        ("optional:\n  hartbeat: 1\n", "f.yaml: line 2: unknown key `optional.hartbeat`; did you mean `heartbeat`?"),
        ("modules:\n  edgeHub:\n    heartbeat: soon\n", "f.yaml: line 3: `modules.edgeHub.heartbeat`: expected `int`, got `str`"),
        ("modules:\n  edgeHub: []\n", "f.yaml: line 2: `modules.edgeHub`: expected `object`, got `array`"),
        ("- a\n", "f.yaml: line 1: the file must be a block of `key: value` lines, not a list"),
    ],
)
def test_mistakes_are_one_line_with_place_and_hint(text: str, error: str) -> None:
    with pytest.raises(settings.SettingsError) as caught:
        parse(text)
    assert str(caught.value) == error


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\ta: 1", "a: !!python/object:os.system {}", "{" * 5000, "a: \x00"])
def test_broken_yaml_says_so(text: str) -> None:
    with pytest.raises(settings.SettingsError, match=r"^f\.yaml: "):
        parse(text)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match=r"no such file.*--defaultconfig"):
        settings.load(tmp_path / "none.yaml", Config)


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(settings.SettingsError, match="cannot be read"):
        settings.load(path, Config)
