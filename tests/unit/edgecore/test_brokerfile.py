"""The configuration file of the broker alone: what it means, and what is refused, with its line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.brokerfile import Settings, parse
from edgecore.brokerkeys import ELSEWHERE, KEYS
from edgecore.brokersetup import Setup
from mqtt.accessfile import AccessFileError
from mqtt.limits import Limits

VALUES = ["true", "false", "1883", "0 /s", "5 ::1", "20", "14d", "/f", "mqtt", "660", "all"]


def read(text: str) -> Settings:
    return parse(text.splitlines(), "broker.conf")


def test_a_file_that_says_nothing_is_a_broker_for_this_machine() -> None:
    settings = read("# nothing\n\n")
    [listener] = settings.listeners
    assert (listener.name, settings.access.anonymous) == ("127.0.0.1:1883", True)
    assert settings.limits == Limits()
    assert settings.persistence is None


def test_who_names_a_listener_says_who_may_come_in() -> None:
    settings = read("listener 1883\nlistener 0 /run/x/s\nlistener 8883 ::1")
    assert [each.name for each in settings.listeners] == [":1883", "/run/x/s", "::1:8883"]
    assert settings.access.anonymous is None
    assert read("port 1884\nbind_address 10.0.0.1").listeners[0].name == "10.0.0.1:1884"


def test_access_is_shared_or_of_each_listener() -> None:
    shared = read("password_file /p\nlistener 1\nacl_file /a\nlistener 2\nallow_anonymous true")
    assert shared.access_of(shared.listeners[0]) is shared.access_of(shared.listeners[1])
    assert (shared.access.password_file, shared.access.acl_file, shared.access.anonymous) == (Path("/p"), Path("/a"), True)
    own = read("per_listener_settings true\nlistener 1\nacl_file /a\nlistener 2\nallow_anonymous true\nacl_file /b")
    first, second = (own.access_of(each) for each in own.listeners)
    assert (first.acl_file, first.anonymous, second.acl_file, second.anonymous) == (Path("/a"), None, Path("/b"), True)


def test_web_pages_and_reports() -> None:
    origins = "websockets_origin https://a.example\nwebsockets_origin http://b.example:8080"
    settings = read(f"sys_interval 0\nlistener 5\nlistener 6\nprotocol websockets\n{origins}\nlistener 7\nprotocol websockets")
    first, second, third = Setup(settings).config.listeners
    assert (first.websocket, second.websocket, third.websocket) == (False, True, True)
    assert (second.origins, third.origins) == ({"https://a.example", "http://b.example:8080"}, frozenset())
    assert Setup(settings).config.sys_interval == 0
    assert Setup(read("")).config.sys_interval == 10


def test_limits_and_durations() -> None:
    settings = read(
        "max_packet_size 2000\nmax_inflight_messages 7\nmax_queued_messages 8\nmax_queued_bytes 9000\nmax_keepalive 60\n"
        "persistent_client_expiration 14d\nconnect_timeout 3\nmax_publish_rate 50\npersistence true\npersistence_location /d"
    )
    assert settings.limits == Limits(
        packet=2000,
        in_flight=7,
        queued_messages=8,
        queued_bytes=9000,
        keep_alive=60,
        session_expiry=14 * 86400,
        connect_timeout=3,
        publish_rate=50.0,
    )
    assert settings.persistence == Path("/d")
    assert read("persistence_location /d").persistence is None


def test_every_key_of_limits_is_a_limit() -> None:
    assert {key.limit for key in KEYS.values() if key.limit} <= {each.name for each in fields(Limits)}
    assert not set(KEYS) & set(ELSEWHERE)


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in text and key != "listener"] == []


def test_the_documented_file() -> None:
    text = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text()
    block = text.partition("### Who may do what")[2].partition("    listener 8883")
    lines = (block[1] + block[2]).partition("\n\n")[0].splitlines()
    settings = parse([line.strip() for line in lines], "docs/mqtt.md")
    assert [each.name for each in settings.listeners] == [":8883", "/run/mqtt.sock"]
    assert (settings.access.anonymous, settings.persistence) == (True, Path("/var/lib/mqtt"))


@given(st.lists(st.tuples(st.sampled_from([*KEYS, "zzz"]), st.text(max_size=12) | st.sampled_from(VALUES)), max_size=6))
def test_any_file_is_taken_or_refused_with_a_line(lines: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{word} {value}" for word, value in lines)
    try:
        settings = read(text)
    except AccessFileError as error:
        assert "line " in str(error)
    else:
        assert settings.listeners


TLS = "listener 8883\ncertfile /c\nkeyfile /k"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("alow_anonymous true", 1, "`alow_anonymous` is not a key of this broker; the nearest is `allow_anonymous`"),
        ("max_packetsize 5", 1, "the nearest is `max_packet_size`"),
        ("listener 1\n\nzzz 5", 3, "`zzz` is not a key of this broker"),
        # Somebody has named the file of passwords.
        ("ann:$7$101$c2FsdA==$aGFzaA==", 1, ": what stands at the beginning is not a key of this broker"),
        ("message_size_limit 5", 1, "max_packet_size bounds whole packets"),
        ("connection home", 1, "bridges are a matter of edgecore.yaml"),
        ("bridge_cafile /c", 1, "bridges are a matter of edgecore.yaml"),
        ("auth_opt_db x", 1, "users stand in password_file"),
        ("allow_anonymous", 1, "needs a value"),
        ("allow_anonymous yes", 1, "`allow_anonymous yes`: expected is true or false"),
        ("allow_anonymous true # why", 1, "a comment stands on a line of its own"),
        ("persistence true\npersistence true", 2, "`persistence` stands in line 1 already"),
        ("listener 1\nmax_connections 5\nlistener 2\nmax_connections 5\nmax_connections 6", 5, "stands in line 4 already"),
        ("port 0", 1, "expected is a number from 1 to 65535"),
        ("port 70000", 1, "expected is a number from 1 to 65535"),
        ("port x", 1, "expected is a number from 1 to 65535"),
        ("listener x", 1, "expected is a port"),
        ("listener 70000", 1, "expected is a port"),
        ("listener 0", 1, "the path of a unix socket"),
        ("listener 0 127.0.0.1", 1, "the path of a unix socket"),
        ("listener 5 /run/x", 1, "a unix socket has port 0"),
        ("listener 5\nport 6", 2, "`port` is for the file without listeners"),
        ("max_connections 6\nlistener 5", 1, "`max_connections` is for one listener and stands before the first"),
        ("listener 5\nper_listener_settings true", 2, "must stand before the first listener"),
        ("max_queued_messages 0", 1, "a number from 1"),
        ("max_packet_size 19", 1, "a number from 20"),
        ("max_keepalive 5", 1, "a number from 10 to 65535 seconds"),
        ("persistent_client_expiration 5", 1, "such as 14d"),
        ("log_dest syslog", 1, "expected is stderr"),
        ("set_tcp_nodelay false", 1, "it is always set"),
        ("user nobody-at-all", 1, "who runs this: the broker does not change its user"),
        ("protocol http2", 1, "expected is mqtt or websockets"),
        ("listener 5\nwebsockets_origin https://a.example", 2, "needs `protocol websockets`"),
        ("listener 5\nprotocol websockets\nwebsockets_origin a.example", 3, "http:// or https:// with a host"),
        ("listener 5\nprotocol websockets\nwebsockets_origin https://a.example/", 3, "http:// or https:// with a host"),
        ("listener 0 /s\nsocket_mode 999", 2, "a file mode such as 660"),
        ("listener 5\nsocket_mode 660", 2, "is for unix sockets"),
        ("listener 8883\ncertfile /c", 2, "needs `keyfile`"),
        ("listener 8883\nkeyfile /c", 2, "needs `certfile`"),
        ("listener 8883\nrequire_certificate true", 2, "needs `certfile`"),
        (f"{TLS}\nrequire_certificate true", 4, "needs `cafile`"),
        (f"{TLS}\nuse_identity_as_username true", 4, "needs `require_certificate true`"),
        (
            f"{TLS}\ncafile /a\nrequire_certificate true\nuse_identity_as_username true\nuse_subject_as_username true",
            7,
            "exclude each other",
        ),
    ],
)
def test_what_is_refused_names_line_and_what_is_expected(text: str, line: int, problem: str) -> None:
    with pytest.raises(AccessFileError) as refused:
        read(text)
    assert str(refused.value).startswith(f"broker.conf: line {line}: ")
    assert problem in str(refused.value)
