"""Definitions of custom resources: their life, their names, their faults."""

from __future__ import annotations

from typing import Any

from differential.conversation import Api
from differential.kilns import ANY, PATH, define, definition, established, forget, listed_versions, served, wait
from differential.scenario import scenario

FRESH = {"body.status.conditions": "crd-fresh-conditions"}
"""Of a definition that has just been made."""


@scenario(finish=forget, differs=FRESH)
def test_the_life_of_a_definition(api: Api) -> None:
    wanted = definition(api)
    place = f"{PATH}/{wanted['metadata']['name']}"
    group = wanted["spec"]["group"]
    api.post(PATH, wanted)
    api.until(place, established)
    api.until(f"/apis/{group}/v1", served)
    listed_versions(api, 1)
    api.post(PATH, wanted)
    api.patch(place, {"metadata": {"labels": {"a": "b"}}})
    api.patch(place, {"spec": {"names": {"shortNames": ["kl"], "categories": ["works"]}}}, keep=False)
    api.until(place, lambda answer: answer["status"]["acceptedNames"].get("categories"))
    api.delete(place, keep=False)
    api.until(place, lambda answer: answer.code == 404)
    wait(api, f"/apis/{group}/v1", lambda answer: answer.code == 404)


@scenario(finish=forget)
def test_names_that_are_taken(api: Api) -> None:
    first = definition(api)
    define(api, first)
    second = definition(api)
    second["spec"]["names"] = {"plural": "ovens", "kind": "Kiln", "singular": "kiln"}
    second["metadata"]["name"] = f"ovens.{first['spec']['group']}"
    api.post(PATH, second, keep=False)
    told = wait(api, f"{PATH}/{second['metadata']['name']}", lambda answer: len(answer["status"]["conditions"]) == 2)
    api.note("the conditions", sorted((one["type"], one["status"], one["reason"]) for one in told["status"]["conditions"]))
    api.note("the names", told["status"]["acceptedNames"])
    answer = api.get(f"/apis/{first['spec']['group']}/v1/ovens", keep=False)
    api.note("its objects", answer.code)


@scenario(finish=forget)
def test_faults_of_definitions(api: Api) -> None:
    def send(**changes: Any) -> None:
        wanted = definition(api)
        for key, value in changes.items():
            if key == "name":
                wanted["metadata"]["name"] = value
            elif key == "annotations":
                wanted["metadata"]["annotations"] = value
            else:
                wanted["spec"][key] = value
        api.post(PATH, wanted)

    send(name="other.example.com")
    send(scope="World")
    send(versions=[])
    send(names={"plural": "kilns", "kind": "Kiln", "listKind": "Kiln"})
    send(names={"plural": "kilns", "kind": "Kiln", "shortNames": ["K L"]})
    one = definition(api)["spec"]["versions"][0]
    send(versions=[{**one, "name": "V1"}])
    send(versions=[{**one, "schema": {}}])
    send(versions=[{**one, "additionalPrinterColumns": [{"name": "a", "type": "word", "jsonPath": ".a"}]}])
    send(versions=[{**one, "additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": "a"}]}])
    send(versions=[{**one, "subresources": {"scale": {"specReplicasPath": ".status.a", "statusReplicasPath": ".status.b"}}}])
    send(versions=[{**one, "subresources": {"scale": {"specReplicasPath": ".spec.a"}}}])
    send(preserveUnknownFields=True)
    protected = definition(api)
    protected["spec"]["group"] = f"{api.namespace}.k8s.io"
    protected["metadata"]["name"] = f"kilns.{api.namespace}.k8s.io"
    api.post(PATH, protected)


SCHEMAS: list[dict[str, Any]] = [
    {"type": "string"},
    {},
    {"type": "object", "properties": {"a": {}}},
    {"type": "object", "properties": {"a": {"type": "array"}}},
    {"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
    {"type": "object", "properties": {"a": {"type": "text"}}},
    {"type": "object", "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": ANY}, "additionalProperties": ANY}}},
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a"}}},
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "a(?=b)"}}},
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "[b-a]"}}},
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "a**"}}},
    {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}},
    {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}},
    {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}, "default": {"c": 1}}}},
    {"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-list-type": "map"}}},
    {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}},
    },
    {
        "type": "object",
        "properties": {
            "a": {
                "type": "array",
                "items": {"type": "object", "properties": {"n": {"type": "string"}}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["n"],
            }
        },
    },
    {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}},
    {"type": "object", "properties": {"a": {"type": "string", "oneOf": [{"description": "x"}]}}},
    {"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-embedded-resource": True}}},
    {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": ANY}}}},
    {"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-preserve-unknown-fields": False}}},
    {"type": "object", "nullable": True},
    {"type": "object", "properties": {"a": {"type": "object", "$ref": "#/definitions/a"}}},
    {"type": "object", "properties": {"a": {"type": "object", "unheard": 1}}},
]


@scenario(finish=forget, differs=FRESH)
def test_faults_of_schemas(api: Api) -> None:
    for schema in SCHEMAS:
        api.post(f"{PATH}?fieldValidation=Strict", definition(api, schema))


@scenario(finish=forget)
def test_what_cannot_be_changed(api: Api) -> None:
    wanted = definition(api)
    place = f"{PATH}/{wanted['metadata']['name']}"
    define(api, wanted)
    api.patch(place, {"spec": {"scope": "Cluster"}})
    api.patch(place, {"spec": {"names": {"kind": "Oven", "listKind": "OvenList"}}})
    api.patch(place, {"spec": {"names": {"plural": "ovens"}}})
    newer = {**wanted["spec"]["versions"][0], "name": "v2"}
    api.patch(place, {"spec": {"versions": [{**wanted["spec"]["versions"][0], "storage": False}, newer]}}, keep=False)
    api.get(place)
    api.patch(place, {"spec": {"versions": [newer]}})
    api.patch(f"{place}/status", {"status": {"storedVersions": []}})
    api.patch(f"{place}/status", {"status": {"storedVersions": ["v2"]}})
