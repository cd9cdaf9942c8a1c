"""The table of docs/mqtt.md, made of the cases and of what is known to fail:

export PYTHONPATH=.:tests
python -m mqttsuite.table                writes the table anew
python -m mqttsuite.table RECORD...      first takes over what runs of the suite with CONFORMANCE_RECORD=RECORD have found
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mqttsuite.case import CASES, KNOWN, SOMETIMES, Case, known_failures
from mqttsuite.clauses import WITHOUT_CASE, clauses, every
from mqttsuite.servers import AMQTT, SERVERS

from mqtt.packets import Version

_TESTS = Path(__file__).resolve().parents[1]
PAGE = _TESTS.parent / "docs" / "mqtt.md"
BEGIN, END = "<!-- conformance: made by tests/mqttsuite/table.py -->", "<!-- end of conformance -->"
_SHOWN = {"ours": "ours", "mosquitto": "mosquitto 2.0.11", "amqtt": f"amqtt {AMQTT}"}
_TITLES = {
    "1.5": "data types",
    "2.1": "packet format",
    "2.2": "packet format",
    "2.3": "packet format",
    "3.1": "CONNECT",
    "3.2": "CONNACK",
    "3.3": "PUBLISH",
    "3.4": "acknowledgements",
    "3.5": "acknowledgements",
    "3.6": "acknowledgements",
    "3.7": "acknowledgements",
    "3.8": "SUBSCRIBE",
    "3.9": "SUBACK",
    "3.10": "UNSUBSCRIBE",
    "3.11": "UNSUBACK",
    "3.12": "PINGREQ",
    "3.14": "DISCONNECT",
    "3.15": "AUTH",
    "4.1": "session state",
    "4.3": "QoS",
    "4.4": "redelivery",
    "4.5": "receipt",
    "4.6": "order",
    "4.7": "topics and filters",
    "4.9": "flow control",
    "4.2": "transport",
    "6.0": "WebSocket",
    "7.1": "transport",
    "4.12": "extended authentication",
}
_OTHER_TITLES = {"3.1.1": {"4.8": "errors"}, "5.0": {"4.8": "shared subscriptions", "4.13": "errors"}}


def load_cases() -> None:
    """Fills ``CASES`` from all files of the suite, also where pytest was asked for some of them only."""
    for path in sorted((_TESTS / "conformance" / "mqtt").glob("test_*.py")):
        text = path.read_text()
        if "from mqttsuite.case" in text and not _loaded(text):
            spec = importlib.util.spec_from_file_location(f"suite_{path.stem}", path)
            assert spec is not None and spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _loaded(text: str) -> bool:
    return any(f"def test_{name}(" in text for name in CASES)


def section(case: Case, version: Version) -> str:
    """``3.1 CONNECT``."""
    clause = case.clauses[version][0]
    number = ".".join(clause.partition("-")[0].split(".")[:2])
    return f"{number} {_TITLES.get(number) or _OTHER_TITLES[version.text][number]}"


def render() -> str:
    """What stands between the two marks of the page."""
    known = known_failures()
    lines = [*(_coverage(version) for version in (Version.V311, Version.V5)), "", *_counts(known), ""]
    for server in SERVERS:
        lines += [*_failures(server.name, known.get(server.name, {})), ""]
    return "\n".join(lines).rstrip()


def _coverage(version: Version) -> str:
    """How many of the numbered statements have a case, and what is with the others."""
    tested = {clause for case in CASES.values() for clause in case.clauses.get(version, ())}
    others = "; ".join(f"{len([*clauses(written)])} {why}" for why, written in WITHOUT_CASE[version].items())
    return f"- {version.text}: {len(tested)} of {len(every(version))} numbered statements have cases. The others: {others}."


def _counts(known: dict[str, dict[str, str]]) -> Iterator[str]:
    yield "| MQTT | section | cases | " + " | ".join(_SHOWN[server.name] for server in SERVERS) + " |"
    yield "|---|---|---|" + "---|" * len(SERVERS)
    for version in (Version.V311, Version.V5):
        cases = [each for each in CASES.values() if version in each.clauses]
        for title in sorted({section(each, version) for each in cases}, key=_order):
            yield _line(version, title, [each for each in cases if section(each, version) == title], known)
        yield _line(version, "**all**", cases, known)


def _order(title: str) -> list[int]:
    return [int(part) for part in title.split(maxsplit=1)[0].split(".")]


def _line(version: Version, title: str, cases: list[Case], known: dict[str, dict[str, str]]) -> str:
    cells = []
    for server in SERVERS:
        failed = [each for each in cases if f"{each.name} {version.text}" in known.get(server.name, {})]
        cells.append(str(len(cases) - len(failed)) if version in server.versions else "-")
    return f"| {version.text} | {title} | {len(cases)} | {' | '.join(cells)} |"


def _failures(server: str, known: dict[str, str]) -> Iterator[str]:
    if not known:
        yield f"{_SHOWN[server].capitalize()} fails none."
        return
    yield f"{_SHOWN[server].capitalize()} fails (what it does instead in brackets):"
    yield ""
    for case in sorted(CASES.values(), key=_first_clause):
        for found, versions in _alike(case, known):
            clauses = "; ".join(f"{version.text}: {', '.join(case.clauses[version])}" for version in versions)
            yield f"- {clauses}: {case.about} ({found})"


def _alike(case: Case, known: dict[str, str]) -> Iterable[tuple[str, list[Version]]]:
    found: dict[str, list[Version]] = {}
    for version in case.clauses:
        text = known.get(f"{case.name} {version.text}")
        if text:
            found.setdefault(text, []).append(version)
    return found.items()


def _first_clause(case: Case) -> list[int]:
    clause = next(iter(case.clauses.values()))[0]
    return [int(part) for part in clause.replace("-", ".").split(".")]


def page_with_table(page: str) -> str:
    """The page with the table made anew. Raises ValueError where the marks are missing."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE} has no place for the table")
    return f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}"


def take_over(records: list[Path]) -> None:
    """Writes known.json. What failed in some of the runs only fails sometimes."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for line in record.read_text().splitlines():
            server, case, text = json.loads(line)
            found.setdefault((server, case), []).append(text)
    known: dict[str, dict[str, str]] = {server.name: {} for server in SERVERS}
    for (server, case), texts in sorted(found.items()):
        failed = [text for text in texts if text]
        if failed:
            known[server][case] = failed[0] if len(failed) == len(texts) else SOMETIMES + failed[0]
    KNOWN.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    load_cases()
    if sys.argv[1:]:
        take_over([Path(each) for each in sys.argv[1:]])
    PAGE.write_text(page_with_table(PAGE.read_text()))
