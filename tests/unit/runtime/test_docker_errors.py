"""What a person reads when docker or a registry fails."""

from __future__ import annotations

import re

import pytest

from edgecore.edged.runtime import dockerpull
from edgecore.edged.runtime.docker import DockerEngine
from edgecore.edged.runtime.dockerclient import unreachable
from edgecore.edged.runtime.engine import EngineUnavailable
from edgecore.edged.runtime.images import parse_image


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (PermissionError(13, "Permission denied"), "no permission.*group docker"),
        (FileNotFoundError(2, "No such file or directory"), "there is no docker at unix:///x"),
        (ConnectionRefusedError(111, "Connection refused"), "does not run; start it"),
        (TimeoutError("timed out"), "does not answer in time"),
        (RuntimeError("half an answer"), "broke off: half an answer"),
    ],
)
def test_why_docker_cannot_be_reached(error: Exception, says: str) -> None:
    outer = OSError("the SDK's own words")
    outer.__cause__ = error
    found = unreachable(error if isinstance(error, RuntimeError) else outer, "unix:///x")
    assert re.search(says, found)


async def test_a_docker_that_is_not_there() -> None:
    engine = DockerEngine("unix:///nowhere/docker.sock")
    with pytest.raises(EngineUnavailable, match=r"there is no docker at unix:///nowhere/docker\.sock; install or start it"):
        await engine.info()
    with pytest.raises(EngineUnavailable):
        await engine.list_pods()
    await engine.aclose()


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        (
            'Get "https://r/v2/": dial tcp: lookup r on 10.0.0.1:53: no such host',
            "RegistryUnavailable",
            "cannot be reached: its name",
        ),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "RegistryUnavailable", "refuses connections"),
        ("net/http: request canceled (Client.Timeout exceeded)", "RegistryUnavailable", "does not answer"),
        ("x509: certificate signed by unknown authority", "RegistryUnavailable", "not trusted"),
        ("manifest for example.org/app:v9 not found: manifest unknown", "ErrImagePull", "has no app with tag v9"),
        ("pull access denied for app, repository does not exist", "ErrImagePull", "imagePullSecrets"),
        ("toomanyrequests: slow down", "ErrImagePull", "toomanyrequests"),
    ],
)
def test_why_a_pull_failed(text: str, reason: str, says: str) -> None:
    failure = dockerpull.explain("example.org/app:v9", parse_image("example.org/app:v9"), text)
    assert failure.reason == reason
    assert says in str(failure)
    assert "example.org/app:v9" in str(failure)


def test_errors_inside_a_pulls_stream() -> None:
    lines = [b'{"status":"Pulling"}', b"", b'garbage "error"', b'{"errorDetail":{},"error":"no space left"}', b'["error"]']
    assert list(dockerpull._errors(lines)) == ["no space left"]
