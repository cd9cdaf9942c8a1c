"""What the log says of those who are refused, and names out of certificates."""

from __future__ import annotations

import logging

import pytest

from mqtt.access import Peer
from mqtt.packets import Connect, Version
from mqtt.reasons import Reason
from mqtt.refusals import Refusals
from mqtt.subject import common_name, subject


def test_one_line_for_a_host_in_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    connect = Connect(Version.V5, "c\n2026 ERROR", username="ann")

    def refuse(address: str, now: float) -> None:
        refusals.refused(connect, Peer(address), Reason.BAD_USER_NAME_OR_PASSWORD, now)

    with caplog.at_level(logging.WARNING):
        for number in range(100):
            refuse(f"10.0.0.1:{number}", 5.0 + number / 10)
        refuse("10.0.0.2:1", 6.0)
        refuse("10.0.0.1:7", 66.0)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert said[0].startswith("10.0.0.1:0: client 'c\\n2026 ERROR', user 'ann' refused: bad user name or password; for a minute")
    assert "(and 99 times before)" in said[2]


def test_what_strangers_say_of_themselves_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    connect = Connect(Version.V5, "\x1b" * 60_000, username="\u202e" * 20_000)
    Refusals().refused(connect, Peer("10.0.0.1:1"), Reason.NOT_AUTHORIZED, 1.0)
    [said] = [record.getMessage() for record in caplog.records]
    assert len(said) < 600
    assert said.isprintable()


def test_hosts_are_forgotten() -> None:
    refusals = Refusals()
    for number in range(5000):
        refusals.refused(Connect(Version.V5, "c"), Peer(f"{number}:1"), Reason.NOT_AUTHORIZED, 1.0)
    assert len(refusals._told) <= 1024


def named(*names: tuple[str, str]) -> dict[str, tuple[tuple[tuple[str, str], ...], ...]]:
    return {"subject": tuple((name,) for name in names)}


def test_names_of_certificates() -> None:
    assert common_name({}) is None
    assert subject({}) is None
    pump = named(("countryName", "DE"), ("organizationName", "A, B"), ("commonName", "pump"))
    assert common_name(pump) == "pump"
    assert subject(pump) == "CN=pump,O=A\\, B,C=DE"
    # A trusted name is no way to pass for a part of this program, or for another realm.
    assert common_name(named(("commonName", "\0inside"))) is None
    assert subject(named(("commonName", "\0inside"))) == "CN=\\00inside"
    assert common_name(named(("commonName", "a"), ("commonName", "b"))) is None
