"""What kubectl prints, command by command."""

from __future__ import annotations

from differential.conversation import Api
from differential.scenario import scenario
from differential.terminal import kubectl

MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {app: web}}
data: {colour: red}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  schedulerName: nobody
  automountServiceAccountToken: false
  containers:
  - {name: c, image: "nginx:1.25", ports: [{containerPort: 80}]}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      schedulerName: nobody
      automountServiceAccountToken: false
      containers: [{name: c, image: "nginx:1.25"}]
"""


@scenario
def test_apply(api: Api) -> None:
    kubectl(api, "apply", "-f", "-", stdin=MAP)
    kubectl(api, "apply", "-f", "-", stdin=MAP)
    kubectl(api, "apply", "-f", "-", stdin=MAP.replace("red", "blue"))
    kubectl(api, "diff", "-f", "-", stdin=MAP.replace("red", "blue"))
    kubectl(api, "apply", "--dry-run=server", "-f", "-", stdin=MAP)
    kubectl(api, "apply", "-f", "-", stdin=MAP.replace("data:", "dat:"))
    kubectl(api, "apply", "-f", "-", stdin=MAP.replace("settings", "Bad_Name"))
    kubectl(api, "create", "-f", "-", stdin=MAP)
    kubectl(api, "get", "configmap", "settings", "-o", "jsonpath={.data.colour}")


@scenario
def test_patch_label_annotate(api: Api) -> None:
    kubectl(api, "apply", "-f", "-", stdin=MAP, keep=False)
    kubectl(api, "label", "configmap", "settings", "a=b")
    kubectl(api, "label", "configmap", "settings", "a=c")
    kubectl(api, "label", "--overwrite", "configmap", "settings", "a=c")
    kubectl(api, "label", "configmap", "settings", "a-")
    kubectl(api, "annotate", "configmap", "settings", "note=text")
    kubectl(api, "annotate", "configmap", "settings", "bad key=text")
    kubectl(api, "patch", "configmap", "settings", "-p", '{"data":{"size":"1"}}')
    kubectl(api, "patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"size":null}}')
    kubectl(api, "patch", "configmap", "settings", "--type=json", "-p", '[{"op":"remove","path":"/data/none"}]')
    kubectl(api, "patch", "configmap", "none", "-p", "{}")
    kubectl(api, "get", "configmap", "settings", "--show-labels")


@scenario
def test_edit(api: Api) -> None:
    kubectl(api, "create", "configmap", "settings", "--from-literal=colour=red")
    kubectl(api, "edit", "configmap", "settings", editor="s/red/blue/")
    kubectl(api, "edit", "configmap", "settings", editor="s/none/none/")
    kubectl(api, "get", "configmap", "settings", "-o", "custom-columns=NAME:.metadata.name,COLOUR:.data.colour")


@scenario
def test_get(api: Api) -> None:
    kubectl(api, "get", "pods")
    kubectl(api, "apply", "-f", "-", stdin=POD)
    kubectl(api, "get", "pods")
    kubectl(api, "get", "pods", "-o", "wide")
    kubectl(api, "get", "pods", "-o", "name")
    kubectl(api, "get", "pod", "web", "-o", "jsonpath={.spec.containers[*].image}")
    kubectl(api, "get", "pods", "-l", "app=web", "--no-headers")
    kubectl(api, "get", "pods", "-l", "app=x")
    kubectl(api, "get", "pods", "--field-selector=status.phase=Running")
    kubectl(api, "get", "pod/none", "configmap/none")
    kubectl(api, "get", "nothing")
    kubectl(api, "get", "all")
    kubectl(api, "get", "secrets,serviceaccounts")
    kubectl(api, "wait", "--for=jsonpath={.status.phase}=Pending", "pod/web", "--timeout=5s")
    kubectl(api, "wait", "--for=condition=Ready", "pod/web", "--timeout=1s")
    kubectl(api, "delete", "pod", "web", "--wait")
    kubectl(api, "delete", "pod", "web")
    kubectl(api, "delete", "pod", "web", "--ignore-not-found")
    kubectl(api, "wait", "--for=delete", "pod/web", "--timeout=5s")


@scenario
def test_describe(api: Api) -> None:
    kubectl(api, "apply", "-f", "-", stdin=POD, keep=False)
    kubectl(api, "apply", "-f", "-", stdin=MAP, keep=False)
    kubectl(api, "describe", "pod", "web")
    kubectl(api, "describe", "configmap", "settings")
    kubectl(api, "describe", "serviceaccount", "default")


def delete_node(api: Api) -> None:
    api.delete(f"/api/v1/nodes/{api.namespace}", keep=False)


@scenario(finish=delete_node)
def test_cordon_and_drain(api: Api) -> None:
    name = api.namespace
    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}
    api.post("/api/v1/nodes", {"metadata": {"name": name}, "status": ready}, keep=False)
    kubectl(api, "cordon", name)
    kubectl(api, "cordon", name)
    kubectl(api, "uncordon", name)
    kubectl(api, "taint", "node", name, "key=value:NoSchedule")
    kubectl(api, "taint", "node", name, "key=value:NoSchedule-")
    kubectl(api, "apply", "-f", "-", stdin=POD.replace("schedulerName: nobody", f"nodeName: {name}"))
    kubectl(api, "drain", name, "--timeout=10s")
    kubectl(api, "drain", name, "--force", "--grace-period=0", "--timeout=60s")
    kubectl(api, "get", "pods")


def revised(api: Api, number: str) -> None:
    """The history is what the controller has written, and it has."""
    key = "deployment.kubernetes.io/revision"
    api.until("apps/v1/deployments/web", lambda found: found["metadata"]["annotations"][key] == number, keep=False)


@scenario
def test_rollout_and_scale(api: Api) -> None:
    kubectl(api, "apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl(api, "wait", "--for=jsonpath={.status.replicas}=1", "deployment/web", "--timeout=60s")
    kubectl(api, "get", "deployment", "web", "-o", "wide")
    kubectl(api, "scale", "deployment", "web", "--replicas=2")
    kubectl(api, "scale", "deployment", "web", "--replicas=3", "--current-replicas=7")
    kubectl(api, "wait", "--for=jsonpath={.status.replicas}=2", "deployment/web", "--timeout=60s")
    kubectl(api, "rollout", "status", "deployment/web", "--watch=false")
    kubectl(api, "set", "image", "deployment/web", "c=nginx:1.26")
    revised(api, "2")
    kubectl(api, "rollout", "history", "deployment/web")
    kubectl(api, "rollout", "undo", "deployment/web")
    revised(api, "3")
    kubectl(api, "rollout", "restart", "deployment/web")
    kubectl(api, "rollout", "pause", "deployment/web")
    kubectl(api, "rollout", "resume", "deployment/web")
    kubectl(api, "delete", "deployment", "web", "--wait")


COMMON = (
    "configmaps",
    "events",
    "namespaces",
    "nodes",
    "pods",
    "secrets",
    "serviceaccounts",
    "customresourcedefinitions",
    "controllerrevisions",
    "daemonsets",
    "deployments",
    "replicasets",
    "leases",
    "objectsyncs",
)


@scenario
def test_api_resources(api: Api) -> None:
    lines = kubectl(api, "api-resources", "-o", "wide", keep=False).splitlines()
    api.note(
        "kubectl api-resources",
        [" ".join(line.split()) for line in lines if line.split()[0] in COMMON and " events.k8s" not in line],
    )
    kubectl(api, "api-versions", differs={"body.out": "fewer-kinds"})


@scenario
def test_explain(api: Api) -> None:
    """The fields and their types are the same; the descriptions are not."""
    kubectl(api, "explain", "nothing")
    for path in ("configmap", "namespace.spec", "lease.spec"):
        lines = kubectl(api, "explain", path, keep=False).splitlines()
        fields = [
            " ".join(line.split()) for line in lines if line.startswith(("KIND", "VERSION", "GROUP", "  ")) and "\t<" in line
        ]
        api.note(f"kubectl explain {path}", fields)
    kubectl(api, "explain", "configmap", differs={"body.out": "field-descriptions"})
