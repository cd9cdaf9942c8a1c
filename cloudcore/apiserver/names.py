"""Which names, label keys and label values Kubernetes accepts, and how it says that it does not."""

from __future__ import annotations

import re
import secrets
from typing import Final

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DNS_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_ENVIRONMENT: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"

SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
DNS_LABEL_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_QUALIFIED_RULE: Final = (
    "a qualified name must" + _NAME_PART_RULE.removeprefix("name part must") + " with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
ENVIRONMENT_RULE: Final = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start "
    "with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is "
    "'[-._a-zA-Z][-._a-zA-Z0-9]*')"
)
CONFIG_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def subdomain_problem(name: str) -> str | None:
    if len(name) > 253:
        return "must be no more than 253 characters"
    return None if _SUBDOMAIN.fullmatch(name) else SUBDOMAIN_RULE


def label_problem(name: str) -> str | None:
    """For names that must be one DNS label: namespaces, containers, volumes."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if "." in name:
        return "must not contain dots"
    return None if _LABEL.fullmatch(name) else LABEL_RULE


def dns_label_problem(name: str) -> str | None:
    """For names that must not begin with a digit: versions and plurals of custom resources."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return None if _DNS_LABEL.fullmatch(name) else DNS_LABEL_RULE


def qualified_problem(key: str) -> str | None:
    """For keys of labels and annotations."""
    prefix, slash, part = key.rpartition("/")
    if "/" in prefix:
        return _QUALIFIED_RULE
    if slash and not prefix:
        return "prefix part must be non-empty"
    if prefix and (why := subdomain_problem(prefix)) is not None:
        return f"prefix part {why}"
    if not part:
        return "name part must be non-empty"
    if len(part) > 63:
        return "name part must be no more than 63 characters"
    return None if _QUALIFIED.fullmatch(part) else _NAME_PART_RULE


def label_value_problem(value: str) -> str | None:
    if len(value) > 63:
        return "must be no more than 63 characters"
    return None if not value or _QUALIFIED.fullmatch(value) else _VALUE_RULE


def environment_problem(name: str) -> str | None:
    return None if _ENVIRONMENT.fullmatch(name) else ENVIRONMENT_RULE


def config_key_problem(key: str) -> str | None:
    if len(key) > 253:
        return "must be no more than 253 characters"
    if key in {".", ".."}:
        return f"must not be '{key}'"
    return None if _CONFIG_KEY.fullmatch(key) else CONFIG_KEY_RULE


def with_suffix(prefix: str) -> str:
    """A name from ``generateName``: five random letters and digits that spell nothing."""
    return prefix[:58] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
