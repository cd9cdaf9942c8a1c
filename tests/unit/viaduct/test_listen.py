"""Listening, and what is said when it does not work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from beehive.supervise import Fatal
from viaduct.listen import holder_of, open_listeners, port_of
from viaduct.rejection import rejection_text


async def test_a_port_that_is_in_use_is_told_with_its_holder() -> None:
    first = await open_listeners("127.0.0.1", 0, purpose="the first")
    port = port_of(first)
    try:
        with pytest.raises(Fatal) as caught:
            await open_listeners("127.0.0.1", port, purpose="CloudHub (WebSocket)")
    finally:
        for listener in first:
            await listener.aclose()
    text = str(caught.value)
    assert f"port {port} for CloudHub (WebSocket) is in use" in text
    assert f"(pid {os.getpid()})" in text
    assert "stop that program or set another port" in text


async def test_ipv6_is_found_too() -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    [listener] = await open_listeners("::1", 0, purpose="a test")
    async with listener:
        assert f"(pid {os.getpid()})" in holder_of(port_of([listener]))


async def test_addresses_that_are_not_ours_or_none() -> None:
    with pytest.raises(Fatal, match="no such address"):
        await open_listeners("192.0.2.1", 0, purpose="a test")
    with pytest.raises(Fatal, match="is not an address"):
        await open_listeners("no.such.host.invalid", 0, purpose="a test")


def test_nobody_holds_a_free_port() -> None:
    assert holder_of(1) == ""


def test_a_rejection_is_quoted_in_one_line() -> None:
    text = rejection_text(403, b"node\n\n \xff not   allowed" + b"x" * 10_000, "cloud:10000")
    assert text.startswith("cloud:10000 answered the upgrade with HTTP 403 (node \ufffd not allowedxxx")
    assert len(text) < 400
    assert "\n" not in text
    assert rejection_text(599, b"", "c:1") == "c:1 answered the upgrade with HTTP 599; see its log for the reason"
