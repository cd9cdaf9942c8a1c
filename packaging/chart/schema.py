"""values.schema.json: what values may be set, so that a slip of the pen is found by helm and not by a pod that does not start.

The part below ``cloudCore.modules`` comes from the types that read cloudcore.yaml.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cloudcore.config import KubeAPIConfig, Modules

Schema = dict[str, Any]

BOOLEAN: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
WORD: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
ANYTHING: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
NODE_PORT: Schema = {"type": "integer", "minimum": 0, "maximum": 65535}

ADDRESS: Schema = {"type": "string", "pattern": r"^$|^[0-9]{1,3}([.][0-9]{1,3}){3}$|^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$"}
"""An IP address, as far as a pattern can tell; or nothing, as in KubeEdge's values.yaml."""


def count(least: int = 1) -> Schema:
    return {"type": "integer", "minimum": least}


def _bounds() -> dict[str, dict[str, Schema]]:
    """What cloudcore.config.check refuses beside wrong types, by block of cloudcore.yaml."""
    on: Schema = {"type": "boolean", "const": True}
    durations = ("keepaliveInterval", "writeTimeout", "edgeCertSigningDuration", "tokenRefreshDuration")
    return {
        "CloudHub": {
            "enable": on,
            "nodeLimit": count(),
            "advertiseAddress": {"type": "array", "items": ADDRESS},
            **{key: count() for key in durations},
        },
        "EdgeController": {"enable": on},
        "Listener": {"port": count() | {"maximum": 65535}},
    }


def choice(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def block(**keys: Schema) -> Schema:
    """With no other keys than these."""
    return {"type": "object", "additionalProperties": False, "properties": keys}


def whole(**keys: Schema) -> Schema:
    """As ``block``, and none of them may be taken away (``--set key=null``): the templates look into them."""
    return block(**keys) | {"required": sorted(keys)}


def values_schema() -> Schema:
    """The whole file."""
    blocks, definitions = msgspec.json.schema_components((Modules, KubeAPIConfig), ref_template="#/definitions/{name}")
    modules, kube_api = blocks
    bounds = _bounds()
    parts = {
        "cloudCore": _cloud_core(modules, kube_api),
        "serviceAccount": block(annotations=TEXTS),
        "crds": whole(enabled=BOOLEAN),
        "podDisruptionBudget": whole(enabled=BOOLEAN, maxUnavailable={"type": ["integer", "string"]}),
        "networkPolicy": block(
            enabled=BOOLEAN,
            monitoringFrom=OBJECTS,
            egress=whole(enabled=BOOLEAN, apiServerPorts={"type": "array", "items": count(), "minItems": 1}),
        )
        | {"required": ["egress", "enabled"]},
        "autoscaling": whole(enabled=BOOLEAN, minReplicas=count(), maxReplicas=count(), targetCPUUtilizationPercentage=count()),
        "serviceMonitor": block(enabled=BOOLEAN, interval=WORD, labels=TEXTS) | {"required": ["enabled", "interval"]},
        "namespace": whole(create=BOOLEAN),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart cloudcore",
        "type": "object",
        "additionalProperties": False,
        "properties": parts | {"global": ANYTHING},  # helm's own, for charts that contain this one
        "required": sorted(parts),
        "definitions": {name: _strict(found, bounds.get(name, {})) for name, found in sorted(definitions.items())},
    }


def _cloud_core(modules: Schema, kube_api: Schema) -> Schema:
    pull = choice("Always", "IfNotPresent", "Never")
    return block(
        replicaCount=count(0),
        image=block(repository=WORD, tag=TEXT, pullPolicy=pull, pullSecrets={"type": "array", "items": block(name=WORD)})
        | {"required": ["pullPolicy", "repository"]},
        modules=modules,
        kubeAPIConfig=kube_api,
        featureGates={"type": "object", "additionalProperties": BOOLEAN},
        service=block(
            enable=BOOLEAN,
            type=choice("ClusterIP", "NodePort", "LoadBalancer"),
            cloudhubNodePort=NODE_PORT,
            cloudhubHttpsNodePort=NODE_PORT,
            annotations=TEXTS,
            loadBalancerClass=TEXT,
            loadBalancerSourceRanges={"type": "array", "items": WORD},
            externalTrafficPolicy=choice("", "Local", "Cluster"),
        ),
        hostNetWork=BOOLEAN,
        resources=block(limits=ANYTHING, requests=ANYTHING, claims=OBJECTS),
        affinity=ANYTHING,
        topologySpreadConstraints=OBJECTS,
        tolerations=OBJECTS,
        nodeSelector=TEXTS,
        priorityClassName=TEXT,
        strategy=ANYTHING,
        terminationGracePeriodSeconds=count(0),
        labels=TEXTS,
        annotations=TEXTS,
    ) | {"required": ["image", "modules", "replicaCount", "service", "terminationGracePeriodSeconds"]}


def _strict(found: Schema, bounds: dict[str, Schema]) -> Schema:
    """As cloudcore reads it: unknown keys are errors. Defaults are left to cloudcore."""
    keys = {name: {key: part for key, part in what.items() if key != "default"} for name, what in found["properties"].items()}
    assert keys.keys() >= bounds.keys(), bounds  # noqa: S101 - a key that was renamed
    return block(**keys | bounds)
