"""The keys of a broker's configuration: those of mosquitto.conf that mean something here, and a few of our own.

Source of names, meanings and defaults: mosquitto.conf(5) of 2.0. What mosquitto knows and this broker does differently or not
at all is an error that says so, for a key that is silently without effect is worse than none.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from mqtt.limits import UNLIMITED

Scope = Literal["broker", "listener", "access"]


class Unusable(ValueError):
    """The value of a key; the text says what is expected."""


@dataclass(frozen=True, slots=True)
class Key:
    """scope: of the whole broker, of one listener, or of either (``per_listener_settings``).

    limit: the field of :class:`mqtt.limits.Limits` that it sets. more: may be given several times.
    """

    scope: Scope
    parse: Callable[[str], object]
    limit: str | None = None
    more: bool = False


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise Unusable("true or false")
    return text == "true"


def _always(value: str, why: str) -> Callable[[str], object]:
    def parse(text: str) -> object:
        if text != value:
            raise Unusable(f"{value}: {why}")
        return text

    return parse


def _number(least: int, most: int, unit: str = "") -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise Unusable(f"a number from {least} to {most}{unit}")
        return int(text)

    return parse


def _count(most: int = 1_000_000_000) -> Callable[[str], int]:
    return _number(1, most, " (there is no `unlimited` here)")


def _size(least: int = 1) -> Callable[[str], int]:
    return _number(least, 1 << 40, " bytes (there is no `unlimited` here)")


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise Unusable(", ".join(words[:-1]) + f" or {words[-1]}")
        return text

    return parse


def _mode(text: str) -> int:
    if not (len(text) in (3, 4) and all(sign in "01234567" for sign in text) and int(text, 8) <= 0o777):
        raise Unusable("a file mode such as 660")
    return int(text, 8)


_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400, "m": 30 * 86400, "y": 365 * 86400}


def _duration(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 8 and unit in _UNITS and int(number)):
        raise Unusable("a number with h, d, w, m or y behind it, such as 14d")
    return min(int(number) * _UNITS[unit], UNLIMITED)


def _rate(text: str) -> float:
    return float(_number(1, 1_000_000, " messages per second")(text))


def _origin(text: str) -> str:
    scheme, slashes, rest = text.partition("://")
    if text not in ("*", "null") and not (scheme in ("http", "https") and slashes and rest and "/" not in rest):
        raise Unusable("http:// or https:// with a host and maybe a port, as a browser names where a page comes from, or *")
    return text


def _user(text: str) -> str:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        # In a container a user may be a number only.
        name = str(os.geteuid())
    if text != name:
        raise Unusable(f"{name}, who runs this: the broker does not change its user; let who starts it do that (systemd: User=)")
    return text


LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LOG_TYPES: Final = {
    "debug": "debug",
    "error": "error",
    "warning": "warning",
    "notice": "info",
    "information": "info",
    "all": "debug",
    "none": "critical",
}
"""What mosquitto calls kinds of messages, and the level that lets them through here."""

KEYS: Final[dict[str, Key]] = {
    "listener": Key("broker", str, more=True),
    "per_listener_settings": Key("broker", _boolean),
    "persistence": Key("broker", _boolean),
    "persistence_location": Key("broker", Path),
    "log_type": Key("broker", _choice(*LOG_TYPES), more=True),
    "log_dest": Key("broker", _always("stderr", "what keeps logs reads them there")),
    "user": Key("broker", _user),
    "sys_interval": Key("broker", _number(0, 65535, " seconds")),
    "set_tcp_nodelay": Key("broker", _always("true", "it is always set")),
    "queue_qos0_messages": Key("broker", _always("false", "QoS 0 is not kept for clients that are away")),
    "max_packet_size": Key("broker", _number(20, 268_435_460, " bytes"), "packet"),
    "max_inflight_messages": Key("broker", _count(65535), "in_flight"),
    "max_queued_messages": Key("broker", _count(), "queued_messages"),
    "max_queued_bytes": Key("broker", _size(), "queued_bytes"),
    "max_topic_alias": Key("broker", _number(0, 65535), "topic_aliases"),
    "max_keepalive": Key("broker", _number(10, 65535, " seconds"), "keep_alive"),
    "persistent_client_expiration": Key("broker", _duration, "session_expiry"),
    # Ours.
    "connect_timeout": Key("broker", _number(1, 3600, " seconds"), "connect_timeout"),
    "max_connect_size": Key("broker", _number(256, 268_435_460, " bytes"), "unknown_packet"),
    "max_total_connections": Key("broker", _count(), "connections"),
    "max_receive_messages": Key("broker", _count(65535), "receive_maximum"),
    "max_output_bytes": Key("broker", _size(4096), "output"),
    "max_topic_bytes": Key("broker", _number(1, 65535, " bytes"), "topic_bytes"),
    "max_topic_levels": Key("broker", _count(65535), "topic_levels"),
    "max_subscriptions": Key("broker", _count(), "subscriptions"),
    "max_sessions": Key("broker", _count(), "sessions"),
    "max_retained_messages": Key("broker", _count(), "retained_messages"),
    "max_retained_bytes": Key("broker", _size(), "retained_bytes"),
    "max_publish_rate": Key("broker", _rate, "publish_rate"),
    # Of one listener.
    "port": Key("listener", _number(1, 65535)),
    "bind_address": Key("listener", str),
    "protocol": Key("listener", _choice("mqtt", "websockets")),
    "websockets_origin": Key("listener", _origin, more=True),
    "max_connections": Key("listener", _count()),
    "socket_mode": Key("listener", _mode),
    "certfile": Key("listener", Path),
    "keyfile": Key("listener", Path),
    "cafile": Key("listener", Path),
    "crlfile": Key("listener", Path),
    "tls_version": Key("listener", _choice("tlsv1.2", "tlsv1.3")),
    "require_certificate": Key("listener", _boolean),
    "use_identity_as_username": Key("listener", _boolean),
    "use_subject_as_username": Key("listener", _boolean),
    "use_username_as_clientid": Key("listener", _boolean),
    # Of all listeners, or of one.
    "allow_anonymous": Key("access", _boolean),
    "password_file": Key("access", Path),
    "acl_file": Key("access", Path),
}

ELSEWHERE: Final = {
    "message_size_limit": "max_packet_size bounds whole packets",
    "autosave_interval": "everything is written before it is acknowledged",
    "autosave_on_changes": "everything is written before it is acknowledged",
    "persistence_file": "persistence_location names the folder; the file in it has a name of its own",
    "include_dir": "one file says everything",
    "log_timestamp": "every line of the log has its time",
    "log_timestamp_format": "every line of the log has its time",
    "capath": "name one file with cafile",
    "ciphers": "TLS 1.2 and later with what OpenSSL holds safe",
    "ciphers_tls1.3": "TLS 1.2 and later with what OpenSSL holds safe",
    "dhparamfile": "keys are agreed on elliptic curves",
    "psk_file": "clients show certificates or passwords",
    "psk_hint": "clients show certificates or passwords",
    "pid_file": "who starts the program knows its process",
    "clientid_prefixes": "acl_file says who may do what",
    "upgrade_outgoing_qos": "a message is never delivered at a higher QoS than it was sent with",
    "retain_available": "retained messages are always there, within max_retained_messages",
    "memory_limit": "max_connections, max_queued_bytes, max_retained_bytes bound what is kept",
    "mount_point": "topics are the same on all listeners",
    "max_inflight_bytes": "max_inflight_messages and max_output_bytes bound what is on its way",
    "allow_zero_length_clientid": "a client without an identifier gets one, as the standard has it",
    "auto_id_prefix": "identifiers that are given here begin with auto-",
    "connection_messages": "log_type debug tells more",
    "check_retain_source": "rights are asked when a message is published, and when it is delivered",
    "max_qos": "QoS 0 to 2 are there for all",
    "bind_interface": "name an address behind the port of the listener",
    "socket_domain": "name an IPv4 or IPv6 address behind the port of the listener",
    "http_dir": "no files are served here",
    "tls_engine": "keys are files here",
    "tls_keyform": "keys are files here",
    "allow_duplicate_messages": "overlapping subscriptions give one copy",
    "websockets_headers_size": "a request may have 8 KB",
    "websockets_log_level": "log_type debug tells more",
}
"""Keys of mosquitto that are not here, and what is instead."""

_FAMILIES: Final = {
    (
        "connection",
        "address",
        "addresses",
        "topic",
        "bridge_",
        "remote_",
        "local_",
        "cleansession",
        "notifications",
        "try_private",
    ): ("bridges are a matter of edgecore.yaml: modules.eventBus, mqttMode"),
    ("plugin", "plugin_", "auth_plugin", "auth_plugin_", "auth_opt_"): "users stand in password_file, their rights in acl_file",
}


def instead_of(word: str) -> str | None:
    """What is here in place of a key of mosquitto; None when there is no such key."""
    if word in ELSEWHERE:
        return ELSEWHERE[word]
    for family, instead in _FAMILIES.items():
        if any(word == each or (each.endswith("_") and word.startswith(each)) for each in family):
            return instead
    return None
