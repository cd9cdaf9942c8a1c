"""Reads regular expressions in the language of Go's regexp (RE2), which is that of ``pattern`` in Kubernetes' schemas.

No backreferences and no look-around: whatever is accepted here is matched in a time linear in the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points from and to, both included, sorted."""

LAST: Final = 0x10FFFF
_REPEATS: Final = 1000
_DEPTH: Final = 100


class PatternError(ValueError):
    """Not a regular expression that is understood; the text says where."""


@dataclass(frozen=True)
class Set:
    """One character out of some."""

    ranges: Ranges


@dataclass(frozen=True)
class Assertion:
    """A place: ``begin``, ``end``, ``line begin``, ``line end``, ``word``, ``no word``."""

    kind: str


@dataclass(frozen=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """most None: without limit."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = Set | Assertion | Sequence | Choice | Repeat


@dataclass(frozen=True)
class _Flags:
    ignore_case: bool = False
    multi_line: bool = False
    dot_all: bool = False


_DIGIT: Final[Ranges] = ((48, 57),)
_SPACE: Final[Ranges] = ((9, 10), (12, 13), (32, 32))
_WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
_PERL: Final[dict[str, Ranges]] = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX: Final[dict[str, Ranges]] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_CONTROL: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_PLACES: Final = {"A": "begin", "z": "end", "b": "word", "B": "no word"}


def inverted(ranges: Ranges) -> Ranges:
    """All other characters."""
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    if start <= LAST:
        found.append((start, LAST))
    return tuple(found)


def _both_cases(ranges: Ranges) -> Ranges:
    """Letters of ASCII in both cases; other alphabets keep theirs unless they stand alone."""
    found = list(ranges)
    for low, high in ranges:
        for first, shift in ((65, 32), (97, -32)):
            start, end = max(low, first), min(high, first + 25)
            if start <= end:
                found.append((start + shift, end + shift))
        if low == high and low > 127:
            found += [(ord(other), ord(other)) for other in (chr(low).lower(), chr(low).upper()) if len(other) == 1]
    return tuple(sorted(set(found)))


def parse(text: str) -> Node:
    """Raises PatternError."""
    parser = _Parser(text)
    node = parser.choice(_Flags(), 0)
    if parser.rest:
        raise PatternError("unexpected ): `" + text + "`")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    def _next(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        if self._at >= len(self._text):
            raise PatternError("trailing backslash at end of expression: ``" if self._text.endswith("\\") else "unexpected end")
        self._at += 1
        return self._text[self._at - 1]

    def _skip(self, word: str) -> bool:
        found = self._text.startswith(word, self._at)
        self._at += len(word) if found else 0
        return found

    def choice(self, flags: _Flags, depth: int) -> Node:
        if depth > _DEPTH:
            raise PatternError("expression nests too deeply: `" + self._text + "`")
        holder = [flags]
        parts = [self._sequence(holder, depth)]
        while self._skip("|"):
            parts.append(self._sequence(holder, depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, flags: list[_Flags], depth: int) -> Node:
        parts: list[Node] = []
        while self._next() not in ("", "|", ")"):
            start = self._at
            if (part := self._atom(flags, depth)) is not None:
                parts.append(self._repeated(part, start))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self, part: Node, start: int) -> Node:
        repeated = 0
        while (count := self._count()) is not None:
            repeated += 1
            if repeated > 1:
                raise PatternError("invalid nested repetition operator: `" + self._text[start + 1 : self._at] + "`")
            part = Repeat(part, *count)
            self._skip("?")
        return part

    def _count(self) -> tuple[int, int | None] | None:
        for sign, count in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(sign):
                return count
        if self._next() != "{" or (end := self._text.find("}", self._at)) < 0:
            return None
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if not _number(least) or (most and not _number(most)):
            return None  # a brace like any other letter
        whole = self._text[self._at : end + 1]
        self._at = end + 1
        low = int(least)
        high = low if not comma else int(most) if most else None
        if low > _REPEATS or (high is not None and (high > _REPEATS or high < low)):
            raise PatternError("invalid repeat count: `" + whole + "`")
        return low, high

    def _atom(self, flags: list[_Flags], depth: int) -> Node | None:  # noqa: PLR0911 - one per kind
        present = flags[0]
        letter = self._take()
        if letter in "*+?":
            raise PatternError("missing argument to repetition operator: `" + letter + "`")
        if letter == "(":
            return self._group(flags, depth)
        if letter == "[":
            return self._class(present)
        if letter == ".":
            return Set(((0, LAST),) if present.dot_all else inverted(((10, 10),)))
        if letter == "^":
            return Assertion("line begin" if present.multi_line else "begin")
        if letter == "$":
            return Assertion("line end" if present.multi_line else "end")
        if letter == "\\":
            return self._escape(present)
        return _letters(letter, present)

    def _group(self, flags: list[_Flags], depth: int) -> Node | None:
        inner = flags[0]
        if self._skip("?"):
            if self._skip("P<") or (self._next() == "<" and self._text[self._at + 1 : self._at + 2] not in ("=", "!")):
                self._name()
            else:
                changed, closed = self._flags(inner)
                if closed:
                    flags[0] = changed
                    return None
                inner = changed
        node = self.choice(inner, depth + 1)
        if not self._skip(")"):
            raise PatternError("missing closing ): `" + self._text + "`")
        return node

    def _name(self) -> None:
        self._skip("<")
        end = self._text.find(">", self._at)
        name = self._text[self._at : end] if end >= 0 else ""
        if not name.isidentifier() or not name.isascii():
            raise PatternError("invalid named capture: `" + self._text + "`")
        self._at = end + 1

    def _flags(self, flags: _Flags) -> tuple[_Flags, bool]:
        """The flags of ``(?i-s)`` and ``(?i:...)``, and whether the group is closed by them."""
        value, start = True, self._at
        names = {"i": "ignore_case", "m": "multi_line", "s": "dot_all"}
        while (letter := self._next()) not in ("", ")", ":"):
            self._at += 1
            if letter == "-" and value:
                value = False
            elif letter in names:
                flags = replace(flags, **{names[letter]: value})
            elif letter != "U":
                raise PatternError("invalid or unsupported Perl syntax: `(?" + self._text[start : self._at] + "`")
        return flags, self._take() == ")"

    def _escape(self, flags: _Flags) -> Node:
        letter = self._take()
        if letter in _PLACES:
            return Assertion(_PLACES[letter])
        if letter == "Q":
            quoted, _, _ = self.rest.partition("\\E")
            self._at = min(len(self._text), self._at + len(quoted) + 2)
            return Sequence(tuple(_letters(one, flags) for one in quoted))
        if (named := self._named_set(letter)) is not None:
            return Set(_both_cases(named) if flags.ignore_case else named)
        return _letters(chr(self._code(letter)), flags)

    def _named_set(self, letter: str) -> Ranges | None:
        if letter.lower() in _PERL:
            ranges = _PERL[letter.lower()]
            return inverted(ranges) if letter.isupper() else ranges
        if letter in "pP":
            from cloudcore.apiserver.crd.unicode_sets import named

            name = self._take()
            if name == "{":
                end = self._text.find("}", self._at)
                name = self._text[self._at : end] if end >= 0 else ""
                self._at = max(end + 1, self._at)
            negative = name.startswith("^") != (letter == "P")
            if (found := named(name.removeprefix("^"))) is None:
                raise PatternError("invalid character class range: `\\" + letter + "{" + name + "}`")
            return inverted(found) if negative else found
        return None

    def _code(self, letter: str) -> int:
        """Of the character after a backslash."""
        if letter in _CONTROL:
            return _CONTROL[letter]
        if letter == "x":
            if self._skip("{"):
                end = self._text.find("}", self._at)
                digits = self._text[self._at : end] if end >= 0 else ""
                self._at = end + 1
            else:
                digits = self._text[self._at : self._at + 2]
                self._at += 2
            try:
                code = int(digits, 16)
            except ValueError:
                raise PatternError("invalid escape sequence: `\\x`") from None
            if not digits.isalnum() or code > LAST:
                raise PatternError("invalid escape sequence: `\\x`")
            return code
        if letter in "01234567" and (letter == "0" or self._next() in tuple("01234567")):
            digits = letter
            while len(digits) < 3 and self._next() in tuple("01234567"):
                digits += self._take()
            return int(digits, 8)
        if letter.isascii() and not letter.isalnum():
            return ord(letter)
        raise PatternError("invalid escape sequence: `\\" + letter + "`")

    def _class(self, flags: _Flags) -> Node:
        start = self._at - 1
        negative = self._skip("^")
        found: list[tuple[int, int]] = []
        first = True
        while first or self._next() != "]":
            if not self._next():
                raise PatternError("missing closing ]: `" + self._text[start:] + "`")
            first = False
            found += self._member()
        self._at += 1
        ranges = tuple(sorted(found))
        if flags.ignore_case:
            ranges = _both_cases(ranges)
        return Set(inverted(ranges) if negative else ranges)

    def _member(self) -> Ranges:
        start = self._at
        if self._skip("[:"):
            end = self._text.find(":]", self._at)
            name = self._text[self._at : end] if end >= 0 else ""
            if not (ranges := _POSIX.get(name.removeprefix("^"), ())):
                raise PatternError("invalid character class range: `[:" + name + ":]`")
            self._at = end + 2
            return inverted(ranges) if name.startswith("^") else ranges
        low = self._take()
        if low == "\\":
            letter = self._take()
            if (named := self._named_set(letter)) is not None:
                return named
            low = chr(self._code(letter))
        if self._next() != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return ((ord(low), ord(low)),)
        self._at += 1
        high = self._take()
        if high == "\\":
            high = chr(self._code(self._take()))
        if high < low:
            raise PatternError("invalid character class range: `" + self._text[start : self._at] + "`")
        return ((ord(low), ord(high)),)


def _letters(letter: str, flags: _Flags) -> Node:
    ranges: Ranges = ((ord(letter), ord(letter)),)
    return Set(_both_cases(ranges) if flags.ignore_case else ranges)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9
