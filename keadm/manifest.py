"""The objects that ``keadm init`` installs: those that come with the program, changed as the command line asks.

Pure. The manifests are rendered from packaging/chart/cloudcore; the keys of ``--set`` are those of the chart, which are
KubeEdge's.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Annotated, Any, Literal

import msgspec
import yaml

from beehive import settings
from cloudcore.config import CloudCoreConfig, check
from keadm import sets
from keadm.steps import KeadmError
from kube import objects
from kube.objects import Object

CONFIG_KEY = "cloudcore.yaml"
CHECKSUM = "checksum/config"


NodePort = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""0: any free one."""


class _Block(msgspec.Struct, rename="camel", kw_only=True):
    """None: as in the manifests, or as it is in the cluster."""


class Image(_Block):
    repository: str | None = None
    tag: str | None = None
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    pull_secrets: list[dict[str, str]] | None = None


class Service(_Block):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = None
    cloudhub_node_port: NodePort | None = None
    cloudhub_https_node_port: NodePort | None = None


class CloudCore(msgspec.Struct, rename="camel", kw_only=True):
    replica_count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    image: Image = msgspec.field(default_factory=Image)
    modules: dict[str, Any] = msgspec.field(default_factory=dict)
    kube_api_config: dict[str, Any] = msgspec.field(default_factory=dict, name="kubeAPIConfig")
    feature_gates: dict[str, Any] = msgspec.field(default_factory=dict)
    service: Service = msgspec.field(default_factory=Service)
    node_selector: dict[str, str] | None = None
    tolerations: list[dict[str, Any]] | None = None
    resources: dict[str, Any] | None = None
    priority_class_name: str | None = None


class Values(_Block):
    """What ``--set`` may change; everything else is a matter of the chart."""

    cloud_core: CloudCore = msgspec.field(default_factory=CloudCore)


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for."""

    advertise: tuple[str, ...] = ()
    version: str = ""
    repository: str = ""
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Present:
    """What is in the cluster and stays unless the command line says otherwise. config: the text of cloudcore.yaml."""

    config: str = ""
    deployment: Object = field(default_factory=dict)
    service: Object = field(default_factory=dict)
    namespace: Object | None = None


def definitions() -> list[Object]:
    """The custom resource definitions."""
    folder = files("cloudcore") / "crds"
    texts = (one.read_text(encoding="utf-8") for one in sorted(folder.iterdir(), key=lambda one: one.name))
    return [obj for text in texts for obj in yaml.safe_load_all(text) if obj]


def shipped() -> list[Object]:
    """Everything else, as it comes."""
    text = (files("keadm") / "manifests" / "cloudcore.yaml").read_text(encoding="utf-8")
    return [obj for obj in yaml.safe_load_all(text) if obj]


def manifests(wishes: Wishes, present: Present = Present()) -> list[Object]:
    """What is to be in the cluster. Raises KeadmError for a ``--set`` that does not fit."""
    values = _values(wishes)
    made = {obj["kind"]: obj for obj in shipped() if objects.name(obj) == "cloudcore"}
    text, config = _configuration(made["ConfigMap"], values, wishes, present)
    made["ConfigMap"]["data"][CONFIG_KEY] = text
    _shape(made["Deployment"], values.cloud_core, present, text)
    _listen(made["Deployment"], config)
    _open(made["Service"], values.cloud_core.service, present)
    found = [made.get(obj["kind"], obj) if objects.namespace(obj) == "kubeedge" else obj for obj in shipped()]
    for obj in found:
        if obj["kind"] == "Namespace" and present.namespace is not None:
            obj["metadata"]["labels"] = _pod_security(present.namespace)
    return found


def _pod_security(namespace: Object) -> dict[str, str]:
    """The levels of a namespace that is there stay: pods of others may run in it (EdgeMesh's do, and need `privileged`)."""
    return {key: value for key, value in objects.labels(namespace).items() if key.startswith("pod-security.kubernetes.io/")}


def _values(wishes: Wishes) -> Values:
    tree: dict[str, Any] = {}
    try:
        for expression in wishes.sets:
            sets.apply(tree, expression)
        values = settings.parse(yaml.safe_dump(tree), Values, origin="--set")
    except (sets.SetError, settings.SettingsError) as error:
        raise KeadmError(f"{error} (the Helm chart can set more than this command)") from error
    image = values.cloud_core.image
    image.tag = image.tag or wishes.version or None
    image.repository = image.repository or (f"{wishes.repository.rstrip('/')}/cloudcore" if wishes.repository else None)
    return values


def _configuration(shipped_map: Object, values: Values, wishes: Wishes, present: Present) -> tuple[str, CloudCoreConfig]:
    """cloudcore.yaml and what it says: as shipped, then as it is in the cluster, then as asked for. Raises KeadmError."""
    tree = yaml.safe_load(shipped_map["data"][CONFIG_KEY])
    names, monitor = tree["modules"]["cloudHub"]["dnsNames"], tree["commonConfig"]["monitorServer"]
    core = values.cloud_core
    asked = {"modules": core.modules, "kubeAPIConfig": core.kube_api_config, "featureGates": core.feature_gates}
    there = f"ConfigMap kubeedge/cloudcore: {CONFIG_KEY}"
    try:
        settings.parse(present.config, CloudCoreConfig, origin=there)
        tree = merged(tree, yaml.safe_load(present.config) or {})
        tree = merged(tree, {key: part for key, part in asked.items() if part})
        settings.parse(yaml.safe_dump(tree), CloudCoreConfig, origin=CONFIG_KEY)  # before it is taken apart
        hub = tree["modules"]["cloudHub"]
        hub["advertiseAddress"] = list(wishes.advertise) or [address for address in hub.get("advertiseAddress") or () if address]
        hub["dnsNames"] = list(dict.fromkeys([*(name for name in hub.get("dnsNames") or () if name), *names]))
        tree["commonConfig"]["monitorServer"] = monitor  # the probes are there
        text = yaml.safe_dump(tree, sort_keys=True)
        config = settings.parse(text, CloudCoreConfig, origin=CONFIG_KEY)
        check(config, origin=CONFIG_KEY)
    except settings.SettingsError as error:
        hint = ". Correct it (kubectl -n kubeedge edit configmap cloudcore), or delete it" if str(error).startswith(there) else ""
        raise KeadmError(f"{error}{hint}") from error
    return text, config


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Blocks merge, everything else is replaced; a block without content is none. Neither argument changes."""
    result = copy.deepcopy(base)
    for key, value in over.items():
        if value is None and isinstance(result.get(key), dict):
            continue
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def _shape(deployment: Object, core: CloudCore, present: Present, config: str) -> None:
    spec, now = deployment["spec"], present.deployment.get("spec") or {}
    template = spec["template"]
    template["metadata"]["annotations"][CHECKSUM] = hashlib.sha256(config.encode()).hexdigest()
    spec["replicas"] = _first(core.replica_count, now.get("replicas"), spec["replicas"])
    pod, pod_now = template["spec"], now.get("template", {}).get("spec", {})
    _fill(pod["containers"][0], next(iter(pod_now.get("containers", ())), {}), core)
    asked = {
        "imagePullSecrets": core.image.pull_secrets,
        "nodeSelector": core.node_selector,
        "tolerations": core.tolerations,
        "priorityClassName": core.priority_class_name,
    }
    wanted = {key: _first(value, pod_now.get(key)) for key, value in asked.items()}
    pod.update({key: value for key, value in wanted.items() if value is not None})


def _listen(deployment: Object, config: CloudCoreConfig) -> None:
    """The ports have names by which the Service finds them."""
    hub = config.modules.cloud_hub
    numbers = {"cloudhub": hub.websocket.port, "cloudhub-https": hub.https.port}
    for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]:
        port["containerPort"] = numbers.get(port["name"], port["containerPort"])


def _fill(container: Object, now: Object, core: CloudCore) -> None:
    """The tag is that of this version unless another one is asked for: a second run upgrades."""
    image = core.image
    repository, tag = _split(container["image"])
    container["image"] = f"{_first(image.repository, _split(now.get('image', ''))[0] or None, repository)}:{image.tag or tag}"
    container["imagePullPolicy"] = _first(image.pull_policy, now.get("imagePullPolicy"), container["imagePullPolicy"])
    container["resources"] = _first(core.resources, now.get("resources") or None, container["resources"])


def _split(image: str) -> tuple[str, str]:
    """Repository and tag; the repository may name a port."""
    image = image.partition("@")[0]
    repository, _, tag = image.rpartition(":")
    return (repository, tag) if repository and "/" not in tag else (image, "")


def _first(*values: Any) -> Any:
    """The first that is set: what is asked for, then what is in the cluster, then what is shipped."""
    return next((value for value in values if value is not None), None)


def _open(service: Object, wanted: Service, present: Present) -> None:
    """Type and node ports: edges know them, so they stay."""
    spec, now = service["spec"], present.service.get("spec") or {}
    spec["type"] = wanted.type or now.get("type") or spec["type"]
    kept = {port.get("name"): port.get("nodePort") for port in now.get("ports") or ()}
    asked = {"cloudhub": wanted.cloudhub_node_port, "cloudhub-https": wanted.cloudhub_https_node_port}
    for port in spec["ports"]:
        own = asked[port["name"]]
        number = own if own is not None else kept.get(port["name"]) or port.get("nodePort")
        port.pop("nodePort", None)
        if number and spec["type"] != "ClusterIP":
            port["nodePort"] = number


def merged_definition(ours: Object, theirs: Object | None) -> Object:
    """Our definition with every version that the cluster has beside ours: objects may be stored in it, and other programs may ask
    for it. Ours is the one that is stored from now on."""
    result = copy.deepcopy(ours)
    versions = result["spec"]["versions"]
    mine = {version["name"] for version in versions}
    others = (theirs or {}).get("spec", {}).get("versions") or []
    versions += [version | {"storage": False} for version in others if version["name"] not in mine]
    return result
