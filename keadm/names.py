"""What a person types to name a node or an address, checked. Pure."""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
CLOUD_PORT = 10000
"""CloudHub's WebSocket port (KubeEdge 1.23: common/constants)."""


class NameProblem(ValueError):
    """The text says what is wrong and what would be right."""


def node_name(text: str) -> str:
    """A node's name is a DNS-1123 subdomain of at most 253 characters; raises NameProblem."""
    if not text or len(text) > 253 or _SUBDOMAIN.fullmatch(text) is None:
        near = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
        hint = f", for example {near}" if near and near != text else ""
        raise NameProblem(
            f'"{text}" cannot be a node\'s name: lower case letters, digits, `-` and `.`, beginning and ending with a letter or '
            f"digit, at most 253 characters{hint}. Give one with --edgenode-name"
        )
    return text


def endpoint(text: str) -> tuple[str, int]:
    """``host:port``, ``host`` or ``[v6]:port``; the host without brackets. Raises NameProblem."""
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^\[\]:/\s]+))(?::(?P<port>\d{1,5}))?", text)
    if match is None:
        raise NameProblem(f'"{text}" is not an address: write host:port, 192.0.2.10:10000 or [2001:db8::1]:10000')
    return match["v6"] or match["host"], port_number(match["port"] or str(CLOUD_PORT))


def port_number(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise NameProblem(f'"{text}" is not a port: a number from 1 to 65535')
    return int(text)


def join_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def labels(text: str) -> dict[str, str]:
    """``k=v,k2=v2``, split at the first ``=``; an empty key is skipped, a key without value has "" (as KubeEdge's join).

    Raises NameProblem for what no Kubernetes API takes as a label: the node would never be registered.
    """
    pairs = (item.partition("=") for item in text.split(","))
    found = {key.strip(): value.strip() for key, _, value in pairs if key.strip()}
    for key, value in found.items():
        prefix, slash, name = key.rpartition("/")
        good_prefix = not slash or (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix) is not None)
        if not good_prefix or _QUALIFIED.fullmatch(name) is None or not (value == "" or _QUALIFIED.fullmatch(value)):
            raise NameProblem(
                f'"{key}={value}" cannot be a label: write key=value,...; keys and values are at most 63 letters, digits, `-`, '
                "`_` and `.`, beginning and ending with a letter or digit; a key may have a prefix, example.com/key"
            )
    return found
