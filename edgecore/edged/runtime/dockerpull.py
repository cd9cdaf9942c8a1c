"""Pulling an image through docker, and saying plainly why it failed."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edgecore.edged.runtime.dockerclient import DockerClient
from edgecore.edged.runtime.engine import Credentials, EngineError, EngineUnavailable, ImagePullFailed
from edgecore.edged.runtime.images import ImageName, parse_image

if TYPE_CHECKING:
    from docker import APIClient

WHOLE_PULL = 3600.0
"""Seconds; a large image over a thin line takes long."""
WITHOUT_PROGRESS = 60.0
"""Seconds of silence after which a pull has failed (kubelet: imagePullProgressDeadline)."""
LONGEST_LINE = 1 << 20

_UNREACHABLE = (
    ("no such host", "its name is not known to the DNS"),
    ("server misbehaving", "its name could not be looked up"),
    ("Temporary failure in name resolution", "its name could not be looked up"),
    ("connection refused", "it refuses connections"),
    ("network is unreachable", "there is no route to it"),
    ("no route to host", "there is no route to it"),
    ("i/o timeout", "it does not answer"),
    ("Client.Timeout", "it does not answer"),
    ("TLS handshake timeout", "it does not answer"),
    ("certificate", "its certificate is not trusted"),
    ("x509", "its certificate is not trusted"),
    ("server gave HTTP response to HTTPS client", "it speaks http, not https (docker's insecure-registries)"),
    ("connection reset", "it broke off the connection"),
    ("EOF", "it broke off the connection"),
)


async def pull(client: DockerClient, image: str, credentials: Sequence[Credentials]) -> None:
    """Tries each of the credentials that fit, then none. Raises ImagePullFailed."""
    name = parse_image(image)
    fitting = [item for item in credentials if not item.registry or item.registry == name.registry]
    failure: ImagePullFailed | None = None
    for item in [*fitting, None]:
        try:
            work = functools.partial(_pull, name, item)
            await client.call(f"image {image}", work, within=WHOLE_PULL, gate=client.long)
        except EngineUnavailable as error:
            raise ImagePullFailed(str(error)) from error
        except EngineError as error:
            failed = explain(image, name, str(error).removeprefix(f"image {image}: "))
            if failed.reason == "RegistryUnavailable":
                raise failed from error
            failure = failure or failed
        else:
            return
    raise failure or ImagePullFailed(f"image {image}: no way to pull it")


def _pull(name: ImageName, credentials: Credentials | None, api: APIClient) -> None:
    """POST /images/create, read to its end: docker reports a failure inside the stream."""
    parameters = {"fromImage": name.repository, "tag": name.digest or name.tag}
    headers = {"X-Registry-Auth": _auth(credentials, name.registry)} if credentials else {}
    url = f"{api.base_url}/v{api.api_version}/images/create"
    with api.post(url, params=parameters, headers=headers, stream=True, timeout=WITHOUT_PROGRESS) as answer:
        if answer.status_code >= 400:
            raise EngineError(_message(answer.raw.read(LONGEST_LINE)))
        for error in _errors(answer.iter_lines(chunk_size=4096)):
            raise EngineError(error)


def _errors(lines: Iterable[bytes]) -> Iterable[str]:
    for line in lines:
        if len(line) > LONGEST_LINE or b'"error"' not in line:
            continue
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict) and report.get("error"):
            yield str(report["error"])


def _message(body: bytes) -> str:
    try:
        decoded = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return str(decoded.get("message", decoded)) if isinstance(decoded, dict) else str(decoded)


def _auth(credentials: Credentials, registry: str) -> str:
    record = {"username": credentials.username, "password": credentials.password, "serveraddress": registry}
    return base64.urlsafe_b64encode(json.dumps(record).encode()).decode()


def explain(image: str, name: ImageName, text: str) -> ImagePullFailed:
    """docker's text turned into cause and remedy; the text itself stays at the end."""
    for sign, cause in _UNREACHABLE:
        if sign in text:
            return ImagePullFailed(
                f"image {image}: the registry {name.registry} cannot be reached: {cause}; check this node's network and DNS, "
                f"or load the image here (docker load) and use imagePullPolicy: IfNotPresent (docker says: {text})",
                reason="RegistryUnavailable",
            )
    if "manifest unknown" in text or "not found" in text:
        return ImagePullFailed(f"image {image}: {name.registry} has no {name.path} with tag {name.digest or name.tag} ({text})")
    if any(sign in text for sign in ("denied", "unauthorized", "authentication required", "no basic auth credentials")):
        return ImagePullFailed(
            f"image {image}: {name.registry} does not let us pull it: it does not exist, or imagePullSecrets are missing or "
            f"wrong ({text})"
        )
    return ImagePullFailed(f"image {image}: {text}")
