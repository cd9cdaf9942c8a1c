from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.runtime.engine import ImagePullFailed
from edgecore.edged.runtime.images import is_name, parse_image

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("kubeedge/pause:3.6", "docker.io/kubeedge/pause:3.6"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("10.0.0.1:5000/a/b/c", "10.0.0.1:5000/a/b/c:latest"),
        ("ghcr.io/owner/app@" + DIGEST, "ghcr.io/owner/app@" + DIGEST),
        ("ghcr.io/owner/app:v1@" + DIGEST, "ghcr.io/owner/app:v1@" + DIGEST),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_names_are_completed_as_docker_does(name: str, full: str) -> None:
    assert str(parse_image(name)) == full


@pytest.mark.parametrize(
    "name",
    ["", "UPPER", "nginx:", "nginx:a b", ":latest", "a//b", "/a", "a/", "-a", "a..b", "nginx@sha256:1", "nginx@", "http://x/y",
     "a b", "ä", "f" * 64, "x" * 256, "exa mple.org/a", "nginx:" + "t" * 129, "nginx\n"],
)  # fmt: skip
def test_names_that_docker_refuses(name: str) -> None:
    with pytest.raises(ImagePullFailed, match="invalid") as caught:
        parse_image(name)
    assert caught.value.reason == "InvalidImageName"


@given(st.text())
def test_any_text_is_a_name_or_invalid_and_completing_twice_changes_nothing(text: str) -> None:
    try:
        name = parse_image(text)
    except ImagePullFailed as error:
        assert error.reason == "InvalidImageName"
        return
    assert parse_image(str(name)) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [("busybox", True), ("sha256:" + "a" * 64, True), ("a" * 64, True), ("", False), ("../containers/x", False), ("a b", False)],
)
def test_what_docker_may_be_asked_for(name: str, expected: bool) -> None:
    assert is_name(name) is expected
