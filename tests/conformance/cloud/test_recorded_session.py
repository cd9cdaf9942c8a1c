"""The requests of a KubeEdge 1.23.1 edgecore, in the order in which it made them, against a running cloudcore.

Each answer is held against that of KubeEdge's cloudcore to the same request (recorded/requests.json).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beehive.message import Message, encode
from kube.resources import SECRETS

RECORDED = json.loads((Path(__file__).parent / "recorded" / "requests.json").read_text())["requests"]


class Translation:
    """From what the recorded cluster called a thing (uid, resource version) to what this one calls it."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def learn(self, theirs: Any, ours: Any) -> None:
        for key in ("uid", "resourceVersion"):
            if theirs and ours and key in theirs.get("metadata", {}):
                self._names[json.dumps(theirs["metadata"][key])] = json.dumps(ours["metadata"][key])

    def apply(self, request: dict[str, Any]) -> str:
        text = json.dumps(request)
        for theirs, ours in self._names.items():
            text = text.replace(theirs, ours).replace(json.dumps(theirs)[1:-1], json.dumps(ours)[1:-1])
        return text


def header(answer: dict[str, Any]) -> set[str]:
    return set(answer["header"]) - {"resourceversion"}


def meaning(content: Any) -> Any:
    """What an edge makes of a content: whose object it is, or why there is none."""
    if not isinstance(content, dict):
        return content
    if set(content) == {"Object", "Err"}:
        err = content["Err"] and (content["Err"]["ErrStatus"]["reason"], content["Err"]["ErrStatus"]["code"])
        return err or meaning({**content["Object"], "kind": "", "apiVersion": ""})  # KubeEdge leaves both out here
    named = content["metadata"]
    return content.get("kind"), content.get("apiVersion"), named["name"], named.get("namespace"), content.get("data")


async def test_the_answers_mean_what_those_of_kubeedge_mean(cloud: Any) -> None:
    edge = await cloud.joined()
    words = Translation()
    async with edge.connected():
        for each in RECORDED:
            request, theirs = each["request"], each["answer"]
            if request["route"]["operation"] == "keepalive":
                await edge.transmit(json.dumps(request))
                continue
            answer: Message = await edge.replay(words.apply(request))
            ours = json.loads(encode(answer))
            if theirs is None:  # KubeEdge never answers, so that its edge asks again and again
                assert request["route"]["resource"] == "membership/detail"
                assert (ours["route"]["group"], ours["content"]) == ("twin", "OK")
                continue
            if request["route"]["resource"] == "default/configmap/none":  # their edge stores this error as the object
                assert answer.operation == "error"
                assert json.loads(ours["content"])["ErrStatus"]["reason"] == theirs["content"]["ErrStatus"]["reason"]
                continue
            assert ours["route"] == theirs["route"]
            assert header(ours) == header(theirs)
            assert meaning(ours["content"]) == meaning(theirs["content"])
            if request["route"]["resource"].split("/")[1] in ("node", "lease") and theirs["content"]["Err"] is None:
                words.learn(theirs["content"]["Object"], ours["content"]["Object"])
            if request["route"]["resource"] == "null/node/edge-1":
                words.learn(first_of_the_pod(), await a_pod(cloud))


def first_of_the_pod() -> Any:
    return next(e["answer"]["content"]["Object"] for e in RECORDED if e["request"]["route"]["resource"] == "default/podpatch/web")


async def a_pod(cloud: Any) -> Any:
    """The pod of the recording, with what it refers to."""
    await cloud.config_map("page", greeting="hello")
    await cloud.client.create(
        SECRETS, {"metadata": {"name": "key", "namespace": "default"}, "stringData": {"password": "s3cret"}}, namespace="default"
    )
    optional = {"name": "O", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "a", "optional": True}}}
    needed = {"name": "P", "valueFrom": {"secretKeyRef": {"name": "key", "key": "password"}}}
    return await cloud.pod(
        "web",
        containers=[{"name": "main", "image": "busybox", "env": [needed, optional]}],
        volumes=[{"name": "page", "configMap": {"name": "page"}}],
    )
