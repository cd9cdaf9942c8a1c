"""Custom resources beside their schema: scope, collections, discovery, what changes while objects exist."""

from __future__ import annotations

from typing import Any

from differential.conversation import Answer, Api
from differential.kilns import PATH, define, definition, established, forget, listed_versions, served, wait
from differential.scenario import scenario

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def kiln(api: Api, spec: Any, name: str = "k", **metadata: Any) -> dict[str, Any]:
    group = f"{api.namespace}.example.com"
    return {"apiVersion": f"{group}/v1", "kind": "Kiln", "metadata": {"name": name, **metadata}, "spec": spec}


def kilns(api: Api, rest: str = "") -> str:
    return f"{api.namespace}.example.com/v1/kilns{rest}"


@scenario(finish=forget)
def test_cluster_scope(api: Api) -> None:
    wanted = definition(api)
    wanted["spec"]["scope"] = "Cluster"
    group = wanted["spec"]["group"]
    api.post(PATH, wanted, keep=False)
    wait(api, f"{PATH}/{wanted['metadata']['name']}", established)
    wait(api, f"/apis/{group}/v1/kilns", served)
    api.post(f"/apis/{group}/v1/kilns", kiln(api, {"a": 1}))
    api.get(f"/apis/{group}/v1/kilns/k")
    api.patch(f"/apis/{group}/v1/kilns/k", {"spec": {"a": 2}})
    api.delete(f"/apis/{group}/v1/kilns/k")


@scenario(finish=forget)
def test_a_stricter_schema_lets_old_faults_be(api: Api) -> None:
    spec: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    wanted = definition(api, schema, subresources={"status": {}})
    define(api, wanted)
    api.post(kilns(api), kiln(api, {"a": "long", "b": 1}), keep=False)
    spec["properties"]["a"]["maxLength"] = 2
    spec["properties"]["c"] = {"type": "string", "default": "new"}
    api.patch(f"{PATH}/{wanted['metadata']['name']}", {"spec": wanted["spec"]}, keep=False)
    wait(api, kilns(api, "/k"), lambda answer: "c" in answer["spec"])
    api.patch(kilns(api, "/k"), {"spec": {"b": 2}})
    api.patch(kilns(api, "/k/status"), {"status": {"a": 1}})
    api.patch(kilns(api, "/k"), {"spec": {"a": "longer"}})
    api.patch(kilns(api, "/k"), {"spec": {"a": "ok"}})
    api.post(kilns(api), kiln(api, {"a": "long"}, "l"))


@scenario(finish=forget)
def test_metadata(api: Api) -> None:
    define(api, definition(api))
    api.post(kilns(api), kiln(api, {}, labels={"a": "b"}, annotations={"c": "d"}, finalizers=["example.com/hold"]))
    api.patch(kilns(api, "/k"), {"metadata": {"finalizers": []}})
    api.post(kilns(api), kiln(api, {}, "bad", labels={"a b": "c"}))
    api.post(kilns(api), kiln(api, {}, "elsewhere", namespace="default"))
    api.post(kilns(api), kiln(api, {}, "unheard", unheard=1))
    api.post(kilns(api, "?fieldValidation=Strict"), kiln(api, {}, "strict", unheard=1))
    api.post(kilns(api), {**kiln(api, {}), "metadata": {"generateName": "made-"}})
    api.post(kilns(api, "?dryRun=All"), kiln(api, {}, "dry"))
    api.get(kilns(api, "/dry"))
    api.get(kilns(api, "/k"), accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    api.get(kilns(api), accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")


@scenario(finish=forget)
def test_collections(api: Api) -> None:
    define(api, definition(api))
    for name in ("a", "b", "c"):
        api.post(kilns(api), kiln(api, {}, name, labels={"name": name}), keep=False)
    page = api.get(kilns(api, "?limit=2"))
    api.get(kilns(api, f"?limit=2&continue={page['metadata']['continue']}"))
    api.get(kilns(api, "?labelSelector=name in (a,b)".replace(" ", "%20")))
    api.delete(kilns(api, "?labelSelector=name=a"))
    api.get(kilns(api))
    api.get(f"/apis/{api.namespace}.example.com/v1/kilns?fieldSelector=metadata.namespace={api.namespace}")


@scenario(finish=forget)
def test_discovery(api: Api) -> None:
    wanted = definition(
        api, subresources={"status": {}, "scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a"}}
    )
    wanted["spec"]["names"] |= {"shortNames": ["kl"], "categories": ["works"]}
    wanted["spec"]["versions"].append({**wanted["spec"]["versions"][0], "name": "v1beta1", "storage": False})
    define(api, wanted)
    group = wanted["spec"]["group"]
    api.get(f"/apis/{group}/v1")
    listed_versions(api, 2)

    def ours(found: Answer) -> list[Any]:
        return [one for one in found["items"] if one["metadata"]["name"] == group]

    found = wait(api, "/apis", lambda found: len(ours(found)[0]["versions"]) == 2, accept=AGGREGATED)
    api.note("aggregated", [{**one, "metadata": one["metadata"]["name"]} for one in ours(found)])

    def listed(found: Answer) -> list[Any]:
        return [one for one in found["groups"] if one["name"] == group]

    api.note("groups", listed(wait(api, "/apis", lambda found: len(listed(found)[0]["versions"]) == 2)))
