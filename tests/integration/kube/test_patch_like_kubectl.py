"""Our patches against Kubernetes' own code, which kubectl carries: random pods, random patches, one result."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kube.patch import json_patch, merge_patch, strategic_merge
from kube.strategies import strategy_for

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


class Case:
    """A pod and patches to it, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def some(self, names: str, limit: int) -> list[str]:
        return self._rng.sample(names, self._rng.randint(0, limit))

    def chance(self, share: float) -> bool:
        return self._rng.random() < share

    def container(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"name": name, "image": self._rng.choice(["one", "two"])}
        if self.chance(0.6):
            found["env"] = [{"name": key, "value": self._rng.choice("123")} for key in self.some("xyz", 3)]
        if self.chance(0.5):
            found["args"] = ["first", *self.some("pqr", 2)]
        return found

    def pod(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web",
                "labels": {"app": "web"} | dict.fromkeys(self.some("abc", 3), "1"),
                "finalizers": [f"example.com/{key}" for key in ["z", *self.some("abcd", 4)]],
            },
            "spec": {
                "containers": [self.container(name) for name in ["main", *self.some("abc", 3)]],
                "tolerations": [{"key": key, "operator": "Exists"} for key in ["t", *self.some("ab", 2)]],
            },
        }

    def strategic(self, pod: dict[str, Any]) -> dict[str, Any]:
        labels: dict[str, Any] = {key: self._rng.choice(["2", None]) for key in self.some("abcd", 3)}
        finalizers = [f"example.com/{key}" for key in self.some("abcdef", 3)]
        metadata: dict[str, Any] = {"labels": labels | ({"$patch": "replace", "new": "1"} if self.chance(0.2) else {})}
        metadata["finalizers"] = finalizers
        if self.chance(0.4):
            metadata["$deleteFromPrimitiveList/finalizers"] = ["example.com/z"]
        spec: dict[str, Any] = {"containers": [self.changed(name) for name in self.some("abcdef", 3)]}
        if self.chance(0.4):
            names = [entry["name"] for entry in [*pod["spec"]["containers"], *spec["containers"]]]
            gone = {entry["name"] for entry in spec["containers"] if entry.get("$patch") == "delete"}
            names = [name for name in dict.fromkeys(names) if name not in gone]
            self._rng.shuffle(names)
            spec["$setElementOrder/containers"] = [{"name": name} for name in names]
            spec["containers"].sort(key=lambda entry: names.index(entry["name"]) if entry["name"] in names else -1)
        if self.chance(0.4):
            spec["tolerations"] = [{"key": "u", "operator": "Exists"}]
        return {"metadata": metadata, "spec": spec}

    def changed(self, name: str) -> dict[str, Any]:
        if self.chance(0.25):
            return {"name": name, "$patch": "delete"}
        found = self.container(name)
        if self.chance(0.3):
            found["args"] = None
        if self.chance(0.2) and "env" in found:
            found["env"] = [{"$patch": "replace"}, *found["env"]]
        return found

    def merge(self) -> dict[str, Any]:
        labels = {key: self._rng.choice(["2", None]) for key in self.some("abcd", 3)}
        return {"metadata": {"labels": labels}, "spec": {"containers": [self.container("only")]}}

    def operations(self) -> list[dict[str, Any]]:
        return [
            {"op": "test", "path": "/metadata/labels/app", "value": "web"},
            {"op": "add", "path": f"/spec/containers/{self._rng.choice('01-')}", "value": self.container("new")},
            {"op": "replace", "path": "/spec/containers/0/image", "value": "three"},
            {"op": "copy", "from": "/metadata/labels/app", "path": "/metadata/labels/copy"},
            {"op": "move", "from": "/metadata/finalizers/0", "path": "/metadata/finalizers/-"},
            {"op": "remove", "path": f"/spec/tolerations/{self._rng.choice(['0', '-1'])}"},
        ]


def kubectl(folder: Path, pod: dict[str, Any], kind: str, patch: Any) -> Any:
    assert KUBECTL is not None
    file = folder / "pod.json"
    file.write_text(json.dumps(pod))
    argv = [KUBECTL, "patch", "--local", "-f", str(file), f"--type={kind}", "-p", json.dumps(patch), "-o", "json"]
    environment = {"HOME": str(folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    found = subprocess.run(argv, capture_output=True, check=True, env=environment, timeout=60)
    return json.loads(found.stdout)


def plain(value: Any) -> Any:
    """Without what decoding into Kubernetes' types would leave out: empty lists, nulls and left-over directives."""
    if isinstance(value, dict):
        kept = {key: plain(inner) for key, inner in value.items() if key != "$patch"}
        return {key: inner for key, inner in kept.items() if inner not in (None, [], {})}
    if isinstance(value, list):
        return [plain(item) for item in value if not (isinstance(item, dict) and "$patch" in item)]
    return value


@pytest.mark.parametrize("seed", range(12))
def test_three_kinds_of_patches(tmp_path: Path, seed: int) -> None:
    case = Case(seed)
    pod = case.pod()
    strategy = strategy_for("v1", "Pod")
    assert strategy is not None
    patch = case.strategic(pod)
    assert plain(strategic_merge(pod, patch, strategy)) == plain(kubectl(tmp_path, pod, "strategic", patch))
    merge = case.merge()
    assert plain(merge_patch(pod, merge)) == plain(kubectl(tmp_path, pod, "merge", merge))
    operations = case.operations()
    assert plain(json_patch(pod, operations)) == plain(kubectl(tmp_path, pod, "json", operations))
