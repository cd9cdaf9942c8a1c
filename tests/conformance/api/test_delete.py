"""Deleting: grace, preconditions, finalizers, whole collections."""

from __future__ import annotations

from differential.conversation import Api
from differential.objects import config_map, pod
from differential.scenario import scenario


@scenario
def test_what_a_deletion_answers(api: Api) -> None:
    api.post("configmaps", config_map("a"))
    api.delete("configmaps/a")
    api.delete("configmaps/a")
    api.post("secrets", {"metadata": {"name": "s"}})
    api.delete("secrets/s")
    api.post("serviceaccounts", {"metadata": {"name": "sa"}})
    api.delete("serviceaccounts/sa")
    api.post("coordination.k8s.io/v1/leases", {"metadata": {"name": "l"}})
    api.delete("coordination.k8s.io/v1/leases/l")
    api.post("/api/v1/nodes", {"metadata": {"name": api.namespace}}, keep=False)
    api.delete(f"/api/v1/nodes/{api.namespace}")
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": api.namespace}}
    api.post("events", event)
    api.delete("events/e")
    sync = "reliablesyncs.kubeedge.io/v1alpha1/objectsyncs"
    api.post(sync, {"apiVersion": "reliablesyncs.kubeedge.io/v1alpha1", "kind": "ObjectSync", "metadata": {"name": "s"}})
    api.delete(f"{sync}/s")


@scenario
def test_grace(api: Api) -> None:
    api.post("pods", pod("p"))
    api.delete("pods/p")
    api.delete("pods/p")
    api.delete("pods/p", {"gracePeriodSeconds": 10})
    api.delete("pods/p", {"gracePeriodSeconds": 60})
    api.patch("pods/p", {"metadata": {"labels": {"a": "b"}}})
    api.delete("pods/p?gracePeriodSeconds=0")
    api.get("pods/p")


@scenario
def test_grace_of_pods_that_do_not_run(api: Api) -> None:
    api.post("pods", pod("unbound", node="", schedulerName="nobody"))
    api.delete("pods/unbound", {"gracePeriodSeconds": 20})
    api.get("pods/unbound")
    api.post("pods", pod("done"))
    api.patch("pods/done/status", {"status": {"phase": "Succeeded"}})
    api.delete("pods/done")
    api.get("pods/done")
    api.post("pods", pod("five", terminationGracePeriodSeconds=5))
    api.delete("pods/five", {})
    api.post("pods", pod("none", terminationGracePeriodSeconds=0))
    api.delete("pods/none")
    api.post("pods", pod("negative"))
    api.delete("pods/negative?gracePeriodSeconds=-5")
    api.delete("pods/negative?gracePeriodSeconds=x")
    api.delete("pods/negative", {"gracePeriodSeconds": "x"}, differs="delete-option-faults")


@scenario
def test_preconditions(api: Api) -> None:
    made = api.post("configmaps", config_map("a"))
    other = "00000000-0000-0000-0000-000000000000"
    api.delete("configmaps/a", {"preconditions": {"uid": other}})
    api.delete("configmaps/a", {"preconditions": {"resourceVersion": "77"}})
    api.delete("configmaps/a", {"preconditions": {"uid": other, "resourceVersion": "77"}})
    api.delete("configmaps/a", {"preconditions": {"uid": made.uid, "resourceVersion": made.version}})
    api.get("configmaps/a")


@scenario
def test_options_that_are_refused(api: Api) -> None:
    api.post("configmaps", config_map("a"))
    api.delete("configmaps/a", {"propagationPolicy": "Sideways"})
    api.delete("configmaps/a", {"propagationPolicy": "Orphan", "orphanDependents": True})
    api.delete("configmaps/a?propagationPolicy=Sideways")
    api.delete("configmaps/a", {"kind": "Pod", "apiVersion": "v1"}, differs="delete-option-faults")
    api.delete("configmaps/a", {"nonsense": 1})
    api.delete("configmaps/a", b"{", differs="delete-option-faults")
    api.delete("configmaps/a", b"[]", differs="delete-option-faults")
    api.delete("configmaps/a", b"x", media="text/plain", differs={"body.message": "media-types"})
    api.delete("configmaps/a", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
    api.get("configmaps/a")


@scenario
def test_propagation_leaves_finalizers(api: Api) -> None:
    for policy in ("Orphan", "Foreground"):
        name = policy.lower()
        api.post("configmaps", config_map(name, finalizers=["example.com/hold"]))
        api.delete(f"configmaps/{name}", {"propagationPolicy": policy})
        api.until(f"configmaps/{name}", lambda answer: answer["metadata"]["finalizers"] == ["example.com/hold"])
        api.patch(f"configmaps/{name}", {"metadata": {"finalizers": None}})
        api.get(f"configmaps/{name}")


@scenario
def test_finalizers(api: Api) -> None:
    api.post("configmaps", config_map("a", {"k": "v"}, finalizers=["example.com/a", "example.com/b"]))
    api.delete("configmaps/a")
    api.delete("configmaps/a")
    api.patch("configmaps/a", {"data": {"k": "w"}})
    more = {"metadata": {"finalizers": ["example.com/a", "example.com/c"]}}
    api.patch("configmaps/a", more, differs={"body.details.causes": "doubled-causes"})
    api.post("configmaps", config_map("a"))
    api.patch("configmaps/a", {"metadata": {"finalizers": ["example.com/a"]}})
    api.patch("configmaps/a", {"metadata": {"deletionTimestamp": None}})
    api.delete("configmaps/a?gracePeriodSeconds=0")
    with api.watch("configmaps?watch=1&fieldSelector=metadata.name=a") as watch:
        watch.take(1)
        api.patch("configmaps/a", {"metadata": {"finalizers": []}})
        watch.take(1)
    api.get("configmaps/a")


@scenario
def test_a_pod_with_finalizers(api: Api) -> None:
    api.post("pods", pod("p", metadata={"finalizers": ["example.com/a"]}))
    api.delete("pods/p")
    api.delete("pods/p?gracePeriodSeconds=0")
    api.get("pods/p")
    api.patch("pods/p", {"metadata": {"finalizers": None}})
    api.get("pods/p")


@scenario
def test_deletions_as_a_watch_tells_them(api: Api) -> None:
    version = api.get("pods")["metadata"]["resourceVersion"]
    forced = {"body[2]": "force-deletion-in-one-step"}
    with api.watch(f"pods?watch=1&resourceVersion={version}", differs=forced) as watch:
        api.post("pods", pod("p"))
        api.delete("pods/p")
        seen = {"body.metadata.resourceVersion": "force-deletion-in-one-step"}
        api.delete("pods/p?gracePeriodSeconds=0", differs=seen)
        watch.take(3)


@scenario
def test_collections(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.post("configmaps", config_map(name, labels={"app": "x" if name != "c" else "y"}), keep=False)
        api.post("pods", pod(name), keep=False)
    api.delete("configmaps?labelSelector=app=z")
    api.delete("configmaps?labelSelector=app=x")
    api.get("configmaps?labelSelector=app")
    api.delete("configmaps?fieldSelector=metadata.name=c&dryRun=All")
    api.delete("configmaps?fieldSelector=data=c")
    api.delete("configmaps?fieldSelector=metadata.name=c")
    api.delete("pods", {"gracePeriodSeconds": 7})
    api.get("pods")
    api.delete("pods?gracePeriodSeconds=0")
    api.get("pods")
    api.delete("/api/v1/configmaps")
