"""Custom resources: what their schema makes of them."""

from __future__ import annotations

from typing import Any

from differential.conversation import Api
from differential.kilns import PATH, define, definition, established, forget, listed_versions, served, wait
from differential.scenario import scenario

SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "burners": {"type": "integer", "minimum": 1, "maximum": 8},
        "heat": {"type": "number", "exclusiveMinimum": True, "minimum": 0, "multipleOf": 0.5},
        "fuel": {"type": "string", "enum": ["gas", "wood"]},
        "colour": {"type": "string", "pattern": "^[a-z]+$", "minLength": 3, "maxLength": 6},
        "lit": {"type": "boolean"},
        "since": {"type": "string", "format": "date-time"},
        "maker": {"type": "string", "format": "email"},
        "address": {"type": "string", "format": "ipv4"},
        "port": {"x-kubernetes-int-or-string": True},
        "note": {"type": "string", "nullable": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}, "maxItems": 3, "minItems": 1},
        "doors": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
        "either": {
            "type": "object",
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "some": {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]},
        "both": {"type": "string", "allOf": [{"pattern": "^a"}, {"pattern": "b$"}]},
        "never": {"type": "string", "not": {"enum": ["x"]}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"n": {"type": "integer"}}},
        "part": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {"spec": SPEC, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
}
GOOD: list[dict[str, Any]] = [
    {"burners": 8.0, "heat": 0.5, "fuel": "gas", "colour": "red", "lit": True},
    {"since": "2026-01-01T00:00:00Z", "maker": "a@example.com", "address": "10.0.0.1", "port": 80},
    {"port": "http", "note": None, "lit": None, "tags": ["a", "b"], "doors": [{"name": "a"}, {"name": "b"}]},
    {"labels": {"a": "b"}, "either": {"a": 1}, "some": "b", "both": "ab", "never": "y"},
    {"free": {"n": 1, "unheard": {"of": [1]}}, "part": {"apiVersion": "v1", "kind": "Pod", "spec": {}}},
    {"unheard": 1, "doors": [{"name": "a", "unheard": 1}], "labels": {"a": "b"}},
]
BAD: list[dict[str, Any]] = [
    {"burners": "many"},
    {"burners": 0},
    {"burners": 9},
    {"burners": 1.5},
    {"burners": True},
    {"heat": -0.5},
    {"heat": 0.3},
    {"fuel": "coal"},
    {"fuel": 1},
    {"colour": "Red"},
    {"colour": "re"},
    {"colour": "redredred"},
    {"lit": "yes"},
    {"since": "yesterday"},
    {"maker": "nobody"},
    {"address": "10.0.0.300"},
    {"port": True},
    {"port": 1.5},
    {"tags": []},
    {"tags": ["a", "b", "c", "d"]},
    {"tags": ["a", "a"]},
    {"tags": "a"},
    {"tags": [1]},
    {"tags": [None]},
    {"doors": [{"name": "a"}, {"name": "a"}]},
    {"doors": [{}]},
    {"doors": ["a"]},
    {"labels": {"a": 1}},
    {"labels": {"a": "1", "b": "1", "c": "1"}},
    {"either": {}},
    {"either": {"a": 1, "b": 1}},
    {"some": "c"},
    {"both": "ac"},
    {"never": "x"},
    {"free": {"n": "x"}},
    {"part": {"kind": "Pod"}},
    {"free": 5},
]


def kiln(api: Api, spec: Any, name: str = "k") -> dict[str, Any]:
    group = f"{api.namespace}.example.com"
    return {"apiVersion": f"{group}/v1", "kind": "Kiln", "metadata": {"name": name}, "spec": spec}


def kilns(api: Api, rest: str = "", version: str = "v1") -> str:
    return f"{api.namespace}.example.com/{version}/kilns{rest}"


@scenario(finish=forget)
def test_good_objects(api: Api) -> None:
    define(api, definition(api, SCHEMA))
    for number, spec in enumerate(GOOD):
        api.post(kilns(api), kiln(api, spec, f"k{number}"))
        api.post(kilns(api, "?fieldValidation=Strict"), kiln(api, spec, f"strict{number}"))


@scenario(finish=forget)
def test_bad_objects(api: Api) -> None:
    define(api, definition(api, SCHEMA))
    for spec in BAD:
        api.post(kilns(api), kiln(api, spec))
    api.post(kilns(api), {key: value for key, value in kiln(api, {}).items() if key != "spec"})
    api.post(kilns(api), kiln(api, "x"))
    api.post(kilns(api), kiln(api, {}, "Big"))
    api.post(kilns(api), {**kiln(api, {}), "apiVersion": "v1"})
    api.post(kilns(api), {**kiln(api, {}), "kind": "Oven"})


@scenario(finish=forget)
def test_defaults(api: Api) -> None:
    place = {"type": "object", "default": {}, "properties": {"row": {"type": "integer", "default": 1}}}
    spec = {
        "type": "object",
        "default": {"fuel": "gas"},
        "properties": {
            "fuel": {"type": "string", "default": "wood"},
            "note": {"type": "string", "nullable": True, "default": "none"},
            "place": place,
            "doors": {
                "type": "array",
                "items": {"type": "object", "properties": {"open": {"type": "boolean", "default": False}}},
            },
        },
    }
    wanted = definition(api, {"type": "object", "properties": {"spec": spec}})
    define(api, wanted)
    api.post(kilns(api), {key: value for key, value in kiln(api, {}, "bare").items() if key != "spec"})
    api.post(kilns(api), kiln(api, {}, "empty"))
    api.post(kilns(api), kiln(api, {"fuel": None, "note": None, "place": None, "doors": [{}, {"open": True}]}, "nulls"))
    spec["properties"]["later"] = {"type": "string", "default": "added"}
    api.patch(
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{wanted['metadata']['name']}",
        {"spec": wanted["spec"]},
        keep=False,
    )
    api.until(kilns(api, "/bare"), lambda answer: "later" in answer["spec"])
    api.patch(kilns(api, "/empty"), {"spec": {"fuel": None}})


@scenario(finish=forget)
def test_patches(api: Api) -> None:
    define(api, definition(api, SCHEMA))
    api.post(kilns(api), kiln(api, {"burners": 1}))
    api.patch(kilns(api, "/k"), {"spec": {"burners": 2}})
    api.patch(kilns(api, "/k"), [{"op": "replace", "path": "/spec/burners", "value": 3}], "json")
    api.note("a strategic patch", api.patch(kilns(api, "/k"), {"spec": {"burners": 4}}, "strategic", keep=False).code)
    api.patch(kilns(api, "/k"), {"spec": {"burners": "x"}})
    api.patch(kilns(api, "/k"), {"spec": {"unheard": 1}})
    api.put(kilns(api, "/k"), {**kiln(api, {"burners": 5}), "status": {"a": 1}})
    api.delete(kilns(api, "/k"))
    api.get(kilns(api, "/k"))


@scenario(finish=forget)
def test_status_and_scale(api: Api) -> None:
    spec = {"type": "object", "properties": {"size": {"type": "integer", "maximum": 5}, "name": {"type": "string"}}}
    status = {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}}
    paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    define(api, definition(api, schema, subresources={"status": {}, "scale": paths}))
    made = {**kiln(api, {"size": 1}), "status": {"size": 9}}
    api.post(kilns(api), made)
    api.patch(
        kilns(api, "/k/status"),
        {"metadata": {"labels": {"a": "b"}}, "spec": {"size": 2}, "status": {"size": 3, "selector": "a=b"}},
    )
    api.patch(kilns(api, "/k"), {"spec": {"size": 2}, "status": {"size": 4}})
    api.patch(kilns(api, "/k/status"), {"status": {"size": "x"}})
    api.get(kilns(api, "/k/scale"))
    api.patch(kilns(api, "/k/scale"), {"spec": {"replicas": 4}})
    api.get(kilns(api, "/k"))
    api.patch(kilns(api, "/k/scale"), {"spec": {"replicas": 6}})
    api.get(kilns(api, "/k/log"))


@scenario(finish=forget)
def test_no_subresources(api: Api) -> None:
    define(api, definition(api))
    api.post(kilns(api), {**kiln(api, {}), "status": {"a": 1}})
    api.patch(kilns(api, "/k"), {"status": {"a": 2}})
    api.get(kilns(api, "/k/status"))
    api.get(kilns(api, "/k/scale"))


@scenario(finish=forget)
def test_columns(api: Api) -> None:
    columns = [
        {"name": "Text", "type": "string", "jsonPath": ".spec.text"},
        {"name": "Number", "type": "integer", "jsonPath": ".spec.number", "priority": 1},
        {"name": "Real", "type": "number", "jsonPath": ".spec.real", "description": "A real number"},
        {"name": "Yes", "type": "boolean", "jsonPath": ".spec.yes"},
        {"name": "When", "type": "date", "jsonPath": ".spec.when"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "First", "type": "string", "jsonPath": ".spec.list[0]"},
        {"name": "All", "type": "string", "jsonPath": ".spec.list"},
        {"name": "Label", "type": "string", "jsonPath": ".metadata.labels.example\\.com/a"},
    ]
    define(api, definition(api, additionalPrinterColumns=columns))
    spec = {"text": "a", "number": 3, "real": 1.5, "yes": True, "when": "2020-01-01T00:00:00Z", "list": ["x", {"y": 1}]}
    full = {**kiln(api, spec), "status": {"conditions": [{"type": "Up", "status": "False"}, {"type": "Ready", "status": "True"}]}}
    full["metadata"]["labels"] = {"example.com/a": "b"}
    api.post(kilns(api), full, keep=False)
    api.post(kilns(api), kiln(api, {"text": 5, "number": "x", "yes": "x", "when": "x", "list": {}}, "odd"), keep=False)
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    api.get(kilns(api), accept=table, differs={"body.columnDefinitions[0].description": "column-descriptions"})


@scenario(finish=forget)
def test_two_versions(api: Api) -> None:
    wanted = definition(api)
    first = wanted["spec"]["versions"][0]
    old = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
    wanted["spec"]["versions"].append({**first, "name": "v1beta1", "storage": False, "schema": {"openAPIV3Schema": old}})
    define(api, wanted)
    wait(api, kilns(api, version="v1beta1"), served)
    api.post(kilns(api), kiln(api, {"a": 1, "b": 2}), keep=False)
    api.get(kilns(api, "/k", "v1beta1"))
    api.get(kilns(api, "", "v1beta1"))
    api.patch(kilns(api, "/k", "v1beta1"), {"spec": {"a": 2}})
    api.get(kilns(api, "/k"))
    api.put(kilns(api, "/k", "v1beta1"), kiln(api, {"a": 3}))
    with api.watch(kilns(api, "?watch=1&resourceVersion=0", "v1beta1")) as watching:
        watching.take(1)
    listed_versions(api, 2)


@scenario(finish=forget)
def test_fields_to_select_by(api: Api) -> None:
    spec = {"type": "object", "properties": {"fuel": {"type": "string"}, "lit": {"type": "boolean"}}}
    fields = [{"jsonPath": ".spec.fuel"}, {"jsonPath": ".spec.lit"}]
    define(api, definition(api, {"type": "object", "properties": {"spec": spec}}, selectableFields=fields))
    for name, fuel in (("a", "gas"), ("b", "wood")):
        api.post(kilns(api), kiln(api, {"fuel": fuel, "lit": fuel == "gas"}, name), keep=False)
    api.get(kilns(api, "?fieldSelector=spec.fuel=gas"))
    api.get(kilns(api, "?fieldSelector=spec.lit=false"))
    api.get(kilns(api, "?fieldSelector=spec.other=x"))


@scenario(finish=forget)
def test_deletion_of_a_definition_with_objects(api: Api) -> None:
    wanted = definition(api)
    place = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{wanted['metadata']['name']}"
    define(api, wanted)
    api.post(kilns(api), kiln(api, {}), keep=False)
    held = kiln(api, {}, "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    api.post(kilns(api), held, keep=False)
    api.delete(place, keep=False)
    api.until(kilns(api, "/k"), lambda answer: answer.code == 404)
    api.until(kilns(api, "/held"), lambda answer: "deletionTimestamp" in answer["metadata"])
    api.post(kilns(api), kiln(api, {}, "late"))
    api.patch(kilns(api, "/held"), {"metadata": {"finalizers": None}}, keep=False)
    api.until(place, lambda answer: answer.code == 404)
    define(api, wanted)
    wait(api, place, established)
    api.get(kilns(api))


@scenario(finish=forget)
def test_expressions(api: Api) -> None:
    """They are taken, and do nothing here."""
    rule = {"rule": "self.a > 1", "message": "a must be more than 1"}
    spec = {"type": "object", "properties": {"a": {"type": "integer"}}, "x-kubernetes-validations": [rule]}
    define(api, definition(api, {"type": "object", "properties": {"spec": spec}}))
    api.post(kilns(api), kiln(api, {"a": 2}))
    api.post(kilns(api), kiln(api, {"a": 1}, "small"), differs="crd-expressions")


@scenario(finish=forget)
def test_conversion_by_webhook(api: Api) -> None:
    wanted = definition(api)
    hook = {"clientConfig": {"url": "https://127.0.0.1:9/"}, "conversionReviewVersions": ["v1"]}
    wanted["spec"]["conversion"] = {"strategy": "Webhook", "webhook": hook}
    api.post(PATH, wanted, differs="crd-conversion")


@scenario(finish=forget)
def test_a_watch_ends_with_the_definition(api: Api) -> None:
    wanted = definition(api)
    define(api, wanted)
    with api.watch(kilns(api, "?watch=1")) as watching:
        api.post(kilns(api), kiln(api, {}), keep=False)
        watching.take(1)
        api.delete(f"{PATH}/{wanted['metadata']['name']}", keep=False)
        watching.rest()


@scenario(finish=forget)
def test_a_deprecated_version(api: Api) -> None:
    wanted = definition(api)
    first = wanted["spec"]["versions"][0]
    for name, warning in (("v1beta1", {}), ("v1alpha1", {"deprecationWarning": "no more of this"}), ("v2", {})):
        wanted["spec"]["versions"].append({**first, "name": name, "storage": False, "deprecated": True, **warning})
    define(api, wanted)
    api.post(kilns(api), kiln(api, {}), keep=False)
    for version in ("v1", "v1beta1", "v1alpha1", "v2"):
        wait(api, kilns(api, version=version), served)
        api.get(kilns(api, "/k", version))
    listed_versions(api, 4)
