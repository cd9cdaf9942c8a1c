"""The table in the documentation is what the suite finds: every case is held to what is known to fail, and the table is made of
that."""

from __future__ import annotations

from mqttsuite.case import CASES, known_failures
from mqttsuite.servers import SERVERS
from mqttsuite.table import PAGE, load_cases, page_with_table


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


def test_we_pass_every_case() -> None:
    assert known_failures()["ours"] == {}
