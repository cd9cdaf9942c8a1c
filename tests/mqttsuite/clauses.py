"""All numbered statements of the OASIS texts, and why some have no case of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mqtt.packets import Version

_ALL: Final = {
    Version.V311: """
        1.5.3:1-3 2.2.2:1-2 2.3.1:1-7
        3.1.0:1-2 3.1.2:1-24 3.1.3:1-11 3.1.4:1-5 3.2.0:1 3.2.2:1-6 3.3.1:1-12 3.3.2:1-3 3.3.4:1 3.3.5:1-2 3.6.1:1
        3.8.1:1 3.8.3:1-4 3.8.4:1-6 3.9.3:1-2 3.10.1:1 3.10.3:1-2 3.10.4:1-6 3.12.4:1 3.14.1:1 3.14.4:1-3
        4.1.0:1-2 4.3.1:1 4.3.2:1-2 4.3.3:1-2 4.4.0:1 4.5.0:1-2 4.6.0:1-6 4.7.1:1-3 4.7.2:1 4.7.3:1-4 4.8.0:1-2
        6.0.0:1-4 7.0.0:1-2 7.1.1:1 7.1.2:1""",
    Version.V5: """
        1.5.4:1-3 1.5.5:1 1.5.7:1 2.1.3:1 2.2.1:2-6 2.2.2:1
        3.1.0:1-2 3.1.2:1-30 3.1.3:1-12 3.1.4:1-6 3.2.0:1-2 3.2.2:1-22 3.3.1:1-13 3.3.2:1-20 3.3.4:1-10
        3.4.2:1-3 3.5.2:1-3 3.6.1:1 3.6.2:1-3 3.7.2:1-3 3.8.1:1 3.8.3:1-5 3.8.4:1-8 3.9.2:1-2 3.9.3:1-2 3.10.1:1
        3.10.3:1-2 3.10.4:1-6 3.11.2:1-2 3.11.3:1-2 3.12.4:1 3.14.0:1 3.14.1:1 3.14.2:1-4 3.14.4:1-3 3.15.1:1 3.15.2:1-3
        4.1.0:1-2 4.2:1 4.3.1:1 4.3.2:1-5 4.3.3:1-13 4.4.0:1-2 4.5.0:1-2 4.6.0:1-6 4.7.0:1 4.7.1:1-2 4.7.2:1 4.7.3:1-4
        4.8.2:1-6 4.9.0:1-3 4.12.0:1-7 4.12.1:1-2 4.13.1:1 4.13.2:1 6.0.0:1-4""",
}

CLIENT = "bound to clients"
STRICT = "held by every case, for answers are read by a decoder that takes nothing else"
OPTIONAL = "about options that no server here takes"
NOT_SEEN = "not to be seen from outside"

WITHOUT_CASE: Final[dict[Version, dict[str, str]]] = {
    Version.V311: {
        CLIENT: "2.3.1:2-3 3.1.2:23 3.1.3:1 3.14.4:1 4.5.0:2 4.6.0:2-4 6.0.0:3 7.1.2:1",
        STRICT: "2.2.2:1",
        OPTIONAL: "3.2.2:6 3.8.3:2 7.0.0:1",
        NOT_SEEN: "4.7.3:3 4.8.0:2 7.0.0:2",
    },
    Version.V5: {
        CLIENT: "3.1.2:20-21,30 3.1.3:1 3.2.2:4-5,11,14,18,21 3.3.2:10 3.3.4:8 4.5.0:2 4.6.0:2-4 4.12.0:3 4.12.1:1 6.0.0:3",
        STRICT: "3.2.2:1,8 3.5.2:1 3.6.2:1 3.7.2:1 3.14.2:1-2 3.15.2:1",
        OPTIONAL: "3.1.3:8 3.2.2:9-10,12-13 3.15.2:2-3 4.12.0:2,4-5 4.12.1:2",
        NOT_SEEN: "4.7.3:3",
    },
}


def clauses(written: str) -> Iterator[str]:
    """``3.1.3:1-2,4`` is 3.1.3-1, 3.1.3-2, 3.1.3-4."""
    for part in written.split():
        section, _, numbers = part.partition(":")
        for stretch in numbers.split(","):
            first, _, last = stretch.partition("-")
            yield from (f"{section}-{number}" for number in range(int(first), int(last or first) + 1))


def every(version: Version) -> set[str]:
    return set(clauses(_ALL[version]))


def without_case(version: Version) -> set[str]:
    return {clause for written in WITHOUT_CASE[version].values() for clause in clauses(written)}
