"""Getting and listing: selectors, pages, versions."""

from __future__ import annotations

from differential.conversation import Api
from differential.objects import config_map, pod
from differential.scenario import scenario

MAPS = ("a", "b", "c", "d", "e")


def create_maps(api: Api) -> None:
    for place, name in enumerate(MAPS):
        labels = {"app": "x" if place % 2 else "y", "number": str(place)} if name != "e" else {}
        api.post("configmaps", config_map(name, {"k": name}, labels=labels), keep=False)


LABELS = (
    "app=x",
    "app==x",
    "app!=x",
    "app",
    "!app",
    "app in (x,y)",
    "app notin (x)",
    "number>1",
    "number<2,app",
    "app=x,number=1",
    "app=",
    "app in ()",
    "app=x y",
    "=x",
    "app in x",
    "a b",
    "app=-",
    ",",
    "app>x",
)


@scenario
def test_label_selectors(api: Api) -> None:
    create_maps(api)
    for selector in LABELS:
        escaped = selector.replace(" ", "%20")
        api.get(f"configmaps?labelSelector={escaped}&fieldSelector=metadata.name!=kube-root-ca.crt")


FIELDS = (
    "metadata.name=a",
    "metadata.name==a",
    "metadata.name!=a,metadata.name!=kube-root-ca.crt",
    "metadata.namespace=default",
    "metadata.uid=x",
    "spec.nodeName=x",
    "metadata.name",
    "metadata.name>a",
    "metadata.name=a,metadata.name=b",
    "=a",
    "metadata.name=a\\,b",
    "metadata.name=Not_Good",
)


@scenario
def test_field_selectors(api: Api) -> None:
    create_maps(api)
    for selector in FIELDS:
        api.get(f"configmaps?fieldSelector={selector}")


PODS = (
    "spec.nodeName=one",
    "spec.nodeName!=one",
    "status.phase=Pending",
    "status.phase!=Running",
    "spec.restartPolicy=Always",
    "spec.schedulerName=default-scheduler",
    "spec.serviceAccountName=default",
    "spec.hostNetwork=false",
    "status.podIP=",
    "status.nominatedNodeName=",
    "metadata.labels=x",
    "status.podIPs=1.2.3.4",
)


@scenario
def test_field_selectors_of_pods(api: Api) -> None:
    for name in ("one", "two"):
        api.post("pods", pod(name, node=name), keep=False)
    for selector in PODS:
        api.get(f"pods?fieldSelector={selector}")


@scenario
def test_field_selectors_of_other_kinds(api: Api) -> None:
    api.post("/api/v1/nodes", {"metadata": {"name": api.namespace}}, keep=False)
    name = f"metadata.name={api.namespace}"
    api.get(f"/api/v1/nodes?fieldSelector={name},spec.unschedulable=false", keep=False)
    found = api.get(f"/api/v1/nodes?fieldSelector={name},spec.unschedulable=false", keep=False)
    api.note("nodes that may be scheduled", len(found["items"]))
    found = api.get(f"/api/v1/nodes?fieldSelector={name},spec.unschedulable=true", keep=False)
    api.note("nodes that may not", len(found["items"]))
    api.get("/api/v1/nodes?fieldSelector=status.phase=x")
    api.get(f"/api/v1/namespaces?fieldSelector={name},status.phase=Active")
    api.get("secrets?fieldSelector=type=Opaque")
    api.get("secrets?fieldSelector=data=x")
    api.get("coordination.k8s.io/v1/leases?fieldSelector=spec.holderIdentity=x")
    api.get("serviceaccounts?fieldSelector=secrets=x")
    api.get("events?fieldSelector=involvedObject.name=x,type=Normal,source=x,reason=y,reportingComponent=z")
    api.get("events?fieldSelector=message=x")
    api.delete(f"/api/v1/nodes/{api.namespace}", keep=False)


@scenario
def test_pages(api: Api) -> None:
    create_maps(api)
    only = "fieldSelector=metadata.name!=kube-root-ca.crt"
    first = api.get(f"configmaps?limit=2&{only}")
    second = api.get(f"configmaps?limit=2&{only}&continue={first['metadata']['continue']}")
    api.get(f"configmaps?limit=2&{only}&continue={second['metadata']['continue']}")
    app = api.get("configmaps?limit=1&labelSelector=app=x")
    last = {"body.metadata.continue": "last-page"}
    api.get(f"configmaps?limit=1&labelSelector=app=x&continue={app['metadata']['continue']}", differs=last)
    api.get("configmaps?limit=4&labelSelector=app", differs=last)
    api.get("configmaps?limit=0&labelSelector=app=x")
    api.get("configmaps?limit=-1&labelSelector=app=x")
    api.get("configmaps?limit=x")
    api.get(f"configmaps?continue={first['metadata']['continue']}&resourceVersion=1")
    api.get("configmaps?continue=nonsense", differs={"body.message": "continue-token-texts"})
    api.get("configmaps?continue=%25%25", differs={"body.message": "continue-token-texts"})
    api.get("secrets?limit=1")


@scenario
def test_pages_without_a_selector_count_what_is_left(api: Api) -> None:
    for name in MAPS:
        api.post("secrets", {"metadata": {"name": name}}, keep=False)
    first = api.get("secrets?limit=2")
    api.delete("secrets/d", keep=False)
    api.post("secrets", {"metadata": {"name": "cc"}}, keep=False)
    api.get(f"secrets?limit=2&continue={first['metadata']['continue']}")
    api.get(f"secrets?limit=10&continue={first['metadata']['continue']}")


@scenario
def test_list_versions(api: Api) -> None:
    create_maps(api)
    only = "labelSelector=app=x"
    version = api.get(f"configmaps?{only}")["metadata"]["resourceVersion"]
    api.get(f"configmaps?{only}&resourceVersion=0")
    api.get(f"configmaps?{only}&resourceVersion={version}")
    for match in ("NotOlderThan", "Exact", "Newest"):
        api.get(f"configmaps?{only}&resourceVersion={version}&resourceVersionMatch={match}")
    api.get(f"configmaps?{only}&resourceVersionMatch=NotOlderThan")
    api.get(f"configmaps?{only}&resourceVersion=0&resourceVersionMatch=NotOlderThan")
    api.get(f"configmaps?{only}&resourceVersion=0&resourceVersionMatch=Exact")
    api.get(f"configmaps?{only}&resourceVersion=x")
    api.get(f"configmaps?{only}&resourceVersion=-1")
    api.get(f"configmaps?{only}&resourceVersion={version}&limit=1")
    api.get(f"configmaps/b?resourceVersion={version}")
    api.get("configmaps/b?resourceVersion=0")
    api.get("configmaps/b?resourceVersion=x")


@scenario
def test_a_version_of_the_future(api: Api) -> None:
    create_maps(api)
    api.get("configmaps?resourceVersion=999999999999&timeoutSeconds=1")
    api.get("configmaps/a?resourceVersion=999999999999")


@scenario
def test_exact_sees_the_past(api: Api) -> None:
    create_maps(api)
    version = api.get("configmaps?labelSelector=app=x")["metadata"]["resourceVersion"]
    api.delete("configmaps/b")
    api.patch("configmaps/d", {"data": {"k": "new"}})
    api.get(f"configmaps?labelSelector=app=x&resourceVersion={version}&resourceVersionMatch=Exact")


@scenario
def test_head_and_options(api: Api) -> None:
    api.post("configmaps", config_map("a"), keep=False)
    api.request("HEAD", "configmaps/a")
    api.request("HEAD", "configmaps/b")
    api.request("OPTIONS", "configmaps/a")
    api.request("TRACE", "configmaps/a")
    api.request("BREW", "configmaps/a")
    api.post("configmaps/a", config_map("a"))
    api.put("configmaps", config_map("a"))
    api.patch("configmaps", {})
    api.post(f"/api/v1/namespaces/{api.namespace}", {})
    api.delete("/api/v1/namespaces")


@scenario
def test_all_namespaces(api: Api) -> None:
    api.post("secrets", {"metadata": {"name": "a", "labels": {"only": api.namespace}}})
    api.get(f"/api/v1/secrets?labelSelector=only={api.namespace}")
    api.get(f"/api/v1/secrets?fieldSelector=metadata.namespace={api.namespace}")
    api.get(f"/api/v1/secrets?fieldSelector=metadata.name=a,metadata.namespace={api.namespace}")
    api.get("/api/v1/secrets/a")
    api.get("/api/v1/namespaces/not-there/secrets")


@scenario
def test_the_objects_in_a_list_have_no_kind(api: Api) -> None:
    api.post("secrets", {"metadata": {"name": "a"}})
    api.get("secrets")
    api.get("serviceaccounts")
    api.get("pods")
