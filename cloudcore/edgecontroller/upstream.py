"""Requests of nodes: a table from (type, operation) to what is done and how it is answered. Every request is answered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import trio

from beehive import resource
from beehive.message import Message, Operation, respond
from cloudcore.edgecontroller import answers, node_requests, pod_requests, queries
from cloudcore.edgecontroller.request import Request, World
from kube import objects
from kube.objects import Object
from kube.status import ApiError, bad_request, internal, timeout

log = logging.getLogger(__name__)

DEADLINE: Final = 25.0
"""Seconds for one request; an edge waits 30 or 60."""
MEMBERSHIP: Final = "membership/detail"
APISERVER_CA: Final = "k8s/ca.crt"


class Style(Enum):
    """How results and failures are answered."""

    OBJECT_RESP = "ObjectResp, failures as a full Status in Err"
    BARE = "the object, failures as operation error"
    STATUS = '"OK", failures as a Status'
    OK = '"OK", failures as operation error'
    OK_NODE = '"OK", failures as text, under the resource type node'
    SILENT = "no answer"


@dataclass(frozen=True)
class Rule:
    handler: Callable[[World, Request], Awaitable[Object]]
    style: Style


ANY_OPERATION: Final = "*"

RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("node", Operation.INSERT): Rule(node_requests.register, Style.OBJECT_RESP),
    ("node", Operation.UPDATE): Rule(node_requests.update, Style.OK_NODE),
    ("node", Operation.QUERY): Rule(node_requests.query, Style.BARE),
    ("podlist", Operation.QUERY): Rule(node_requests.everything_again, Style.OK),
    ("nodepatch", ANY_OPERATION): Rule(node_requests.patch_status, Style.OBJECT_RESP),
    ("nodestatus", Operation.INSERT): Rule(node_requests.register, Style.OK_NODE),
    ("nodestatus", Operation.UPDATE): Rule(node_requests.old_status, Style.OK_NODE),
    ("lease", Operation.QUERY): Rule(node_requests.query_lease, Style.OBJECT_RESP),
    ("lease", Operation.INSERT): Rule(node_requests.create_lease, Style.OBJECT_RESP),
    ("lease", Operation.UPDATE): Rule(node_requests.update_lease, Style.OBJECT_RESP),
    ("podpatch", ANY_OPERATION): Rule(pod_requests.patch_status, Style.OBJECT_RESP),
    ("podstatus", Operation.UPDATE): Rule(pod_requests.old_status, Style.OK),
    ("pod", Operation.INSERT): Rule(pod_requests.create_mirror, Style.OBJECT_RESP),
    ("pod", Operation.DELETE): Rule(pod_requests.delete, Style.STATUS),
    ("event", ANY_OPERATION): Rule(pod_requests.event, Style.SILENT),
    ("configmap", Operation.QUERY): Rule(queries.referenced, Style.BARE),
    ("secret", Operation.QUERY): Rule(queries.referenced, Style.BARE),
    ("serviceaccounttoken", Operation.QUERY): Rule(queries.token, Style.BARE),
    ("persistentvolume", Operation.QUERY): Rule(queries.volume, Style.BARE),
    ("persistentvolumeclaim", Operation.QUERY): Rule(queries.claim, Style.BARE),
    ("volumeattachment", Operation.QUERY): Rule(queries.attachment, Style.BARE),
    ("certificatesigningrequest", Operation.INSERT): Rule(queries.create_signing_request, Style.OBJECT_RESP),
    ("certificatesigningrequest", Operation.QUERY): Rule(queries.signing_request, Style.BARE),
}

_ASKING: Final = frozenset({"meta", "dynamiccontroller"})
"""Groups whose senders wait for an answer; device reports (twin) and task reports (hub) must not be answered wrongly."""

_NAMELESS: Final = frozenset({"podstatus"})


class Upstream:
    """Answers nodes. ``apiserver_ca``: the PEM text that U18 asks for."""

    def __init__(self, world: World, *, apiserver_ca: str = "") -> None:
        self._world = world
        self._ca = apiserver_ca

    async def handle(self, node: str, message: Message) -> Message | None:
        """The answer to one message of ``node``, None where the protocol has none. Raises nothing but cancellation."""
        if message.resource == APISERVER_CA and message.operation == Operation.QUERY:
            return respond(message, self._ca, source="cloudhub", group=answers.GROUP)
        if message.resource == MEMBERSHIP:
            return membership(message)
        try:
            path = resource.parse(message.resource)
        except resource.MalformedResource as error:
            if message.route.group not in _ASKING:
                log.debug("node %s: nobody takes %s %s", node, message.operation, message.resource)
                return None
            return answers.bare_failure(message, bad_request(str(error)))
        rule = RULES.get((path.type, message.operation)) or RULES.get((path.type, ANY_OPERATION))
        if rule is None or not (path.name or path.type in _NAMELESS):
            return self._unknown(node, message)
        return await self._answer(rule, Request(node, message, path))

    def overloaded(self, message: Message) -> Message | None:
        """The answer to what cannot even wait."""
        return overloaded(message)

    def _unknown(self, node: str, message: Message) -> Message | None:
        log.debug("node %s: no handler for %s %s", node, message.operation, message.resource)
        why = f"this cloudcore does not serve {message.operation} {message.resource}"
        return answers.bare_failure(message, bad_request(why)) if message.route.group in _ASKING else None

    async def _answer(self, rule: Rule, request: Request) -> Message | None:
        try:
            with trio.fail_after(DEADLINE):
                return _success(rule.style, request, await rule.handler(self._world, request))
        except ApiError as error:
            return _failure(rule.style, request, error)
        except trio.TooSlowError:
            return _failure(rule.style, request, timeout(f"the Kubernetes API did not answer within {DEADLINE:.0f} s"))
        except Exception as error:
            log.exception("node %s: %s %s failed", request.node, request.message.operation, request.message.resource)
            return _failure(rule.style, request, internal(type(error).__name__))


def _success(style: Style, request: Request, result: Object) -> Message | None:
    message, version = request.message, objects.resource_version(result)
    match style:
        case Style.OBJECT_RESP:
            return answers.object_resp(message, result)
        case Style.BARE:
            return answers.bare(message, result)
        case Style.STATUS | Style.OK:
            return answers.ok(message)
        case Style.OK_NODE:
            return answers.ok(_as_node(request), resource_version=version)
        case Style.SILENT:
            return None


def _failure(style: Style, request: Request, error: ApiError) -> Message | None:
    message = request.message
    log.log(
        logging.WARNING if error.code == 403 or error.code >= 500 else logging.DEBUG,
        "node %s: %s %s: %s",
        request.node,
        message.operation,
        message.resource,
        error,
    )
    match style:
        case Style.OBJECT_RESP:
            return answers.object_resp_failure(message, request.path.type, error)
        case Style.STATUS:
            return answers.status_failure(message, error)
        case Style.BARE | Style.OK:
            absent = isinstance(error, queries.MayBeAbsent)
            return answers.absent(message, error) if absent else answers.bare_failure(message, error)
        case Style.OK_NODE:
            return answers.bare_failure(_as_node(request), error)
        case Style.SILENT:
            return None


def _as_node(request: Request) -> Message:
    """Answers to U5 and U8 carry the resource type ``node`` whatever was asked."""
    return request.message.with_resource(str(request.path._replace(type="node")))


def membership(message: Message) -> Message:
    """U20: there are no devices here yet, but an answer stops the edge from asking again for ever (7b.5)."""
    return respond(message, "OK", source="devicecontroller", group="twin").with_resource("twin")


def overloaded(message: Message) -> Message | None:
    """The answer when a node sends faster than the API takes it."""
    error = ApiError(429, "TooManyRequests", "too many requests of this node are waiting; try again", {"retryAfterSeconds": 1})
    try:
        path = resource.parse(message.resource)
    except resource.MalformedResource:
        return answers.bare_failure(message, error) if message.route.group in _ASKING else None
    rule = RULES.get((path.type, message.operation)) or RULES.get((path.type, ANY_OPERATION))
    return _failure(rule.style, Request("", message, path), error) if rule is not None else None
