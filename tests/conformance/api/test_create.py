"""Creating objects."""

from __future__ import annotations

from differential.conversation import Api
from differential.scenario import scenario


@scenario
def test_create_and_again(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    api.post("configmaps", body)
    api.post("configmaps", body)
    api.get("configmaps/a")
    api.get("configmaps/b")


@scenario
def test_generate_name(api: Api) -> None:
    api.post("configmaps", {"metadata": {"generateName": "made-"}})
    api.post("configmaps", {"metadata": {"generateName": "Made_"}})
    api.post("configmaps", {"metadata": {}})
