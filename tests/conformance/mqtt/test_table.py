"""The table in the documentation is what the suite finds: every case is held to what is known to fail, and the table is made of
that."""

from __future__ import annotations

import pytest
from mqttsuite.case import CASES, known_failures
from mqttsuite.clauses import every, without_case
from mqttsuite.servers import SERVERS
from mqttsuite.table import PAGE, load_cases, page_with_table

from mqtt.packets import Version


def test_page_has_the_table_of_these_cases() -> None:
    load_cases()
    page = PAGE.read_text()
    assert page == page_with_table(page), "make it again: PYTHONPATH=.:tests python -m mqttsuite.table"


def test_known_failures_are_of_cases_that_exist() -> None:
    load_cases()
    runs = {(run.server, f"{run.case} {run.version.text}") for case in CASES.values() for run in case.runs()}
    known = {(server, case) for server, cases in known_failures().items() for case in cases}
    assert known <= runs
    assert {server for server, _ in known} <= {server.name for server in SERVERS}


@pytest.mark.parametrize("version", [Version.V311, Version.V5])
def test_every_clause_has_a_case_or_a_reason(version: Version) -> None:
    load_cases()
    tested = {clause for case in CASES.values() for clause in case.clauses.get(version, ())}
    assert tested | without_case(version) == every(version)
    assert not tested & without_case(version)


def test_we_pass_every_case() -> None:
    assert known_failures()["ours"] == {}
