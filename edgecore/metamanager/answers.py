"""What the cloud's answer to a request means. An error is an error whatever shape it has; it is never taken for an object.

Shapes (protocol 2.2, 2.8): ``"OK"``; a bare object; ``{"Object":..,"Err":..}`` with ``Err`` null on success; a failure as
``{"ErrStatus":{..}}`` or as operation ``error`` with a text. A real cloudcore that cannot reach its API server answers
``"Err":{}`` or ``"Err":{"Op":..}``: KubeEdge takes that for success, we do not.
"""

from __future__ import annotations

from typing import Any

from beehive.message import MalformedMessage, Message, Operation, content_text
from edgecore.metamanager.client import NotFound, Refused
from kube.objects import Object


def _say(what: str, why: str) -> str:
    return f"{what}: {why}"


def failure(what: str, err: object) -> NotFound | Refused:
    """The exception for the content of ``Err``, or for a whole content that holds ``ErrStatus``."""
    status = err.get("ErrStatus", err) if isinstance(err, dict) else None
    if not isinstance(status, dict) or not ("code" in status or "reason" in status or "message" in status):
        shown = err if isinstance(err, str) else "the cloud reached no verdict (is its Kubernetes API reachable?)"
        return Refused(_say(what, str(shown)), code=503, reason="ServiceUnavailable")
    message = str(status.get("message") or status.get("reason") or "no reason given")
    reason = str(status.get("reason") or "")
    code = status.get("code")
    code = code if isinstance(code, int) and not isinstance(code, bool) else 500
    if reason == "NotFound" or (not reason and code == 404):
        return NotFound(_say(what, message))
    return Refused(_say(what, message), code=code, reason=reason)


def _content(what: str, answer: Message) -> Any:
    if answer.operation == Operation.ERROR:
        text = _error_text(answer)
        if "not found" in text:
            raise NotFound(_say(what, text))
        raise Refused(_say(what, text), code=500, reason="InternalError")
    try:
        return answer.decode(object)
    except MalformedMessage as error:
        raise Refused(_say(what, str(error)), code=502, reason="BadAnswer") from error


def _error_text(answer: Message) -> str:
    try:
        return content_text(answer) or bytes(answer.content).decode(errors="replace")[:500]
    except MalformedMessage:
        return "unreadable error text"


def wrapped(what: str, answer: Message) -> Object:
    """The object of an ObjectResp.

    Raises NotFound or Refused.
    """
    content = _content(what, answer)
    if not isinstance(content, dict) or "Err" not in content or "Object" not in content:
        raise failure(what, content)
    if content["Err"] is not None:
        raise failure(what, content["Err"])
    if not isinstance(content["Object"], dict) or not isinstance(content["Object"].get("metadata"), dict):
        raise Refused(_say(what, "the cloud's answer holds no object"), code=502, reason="BadAnswer")
    found: Object = content["Object"]
    return found


def bare(what: str, answer: Message) -> Object:
    """An object that comes without a wrapper (ConfigMap, Secret, TokenRequest).

    Raises NotFound or Refused; an object without metadata is a disguised error.
    """
    content = _content(what, answer)
    if isinstance(content, dict) and "ErrStatus" not in content and isinstance(content.get("metadata"), dict):
        return content
    raise failure(what, content)


def done(what: str, answer: Message) -> None:
    """An answer that must be ``"OK"``.

    Raises NotFound or Refused.
    """
    content = _content(what, answer)
    if content != "OK":
        raise failure(what, content)


_NO_ACK_TYPES = frozenset(
    (
        "node",
        "lease",
        "nodepatch",
        "podpatch",
        "podstatus",
        "nodestatus",
        "certificatesigningrequest",
        "serviceaccounttoken",
        "pod",
        "ca.crt",
    )
)


def wants_ack(answer: Message) -> bool:
    """Whether the cloud keeps this answer until it is acknowledged (KubeEdge 1.23: cloudhub dispatcher noAckRequired).

    An acknowledgement too many is ignored there; one too few blocks everything else for this node for 25 s.
    """
    if answer.operation != Operation.RESPONSE or answer.route.group not in ("resource", "func"):
        return False
    if bytes(answer.content).strip() == b'"OK"':
        return False
    parts = answer.resource.split("/")
    return len(parts) < 2 or parts[1] not in _NO_ACK_TYPES
