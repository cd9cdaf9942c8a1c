"""One of each server for the whole session, and all cases of a server in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from mqttsuite.case import Run, Servers
from mqttsuite.servers import Missing


def pytest_itemcollected(item: pytest.Item) -> None:
    run = _run_of(item)
    if run is not None:
        item.add_marker(pytest.mark.xdist_group(f"mqtt {run.server}"))


def _run_of(item: pytest.Item) -> Run | None:
    run = getattr(item, "callspec", None) and item.callspec.params.get("run")
    return run if isinstance(run, Run) else None


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    runs = [run for item in request.session.items if (run := _run_of(item)) is not None]
    made = Servers(tmp_path_factory.mktemp("mqtt"), runs)
    try:
        yield made
    finally:
        made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A server that is not there is the reason of a skip; in CI it is a failure."""
    try:
        return (yield)
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have all servers: {missing}")
        pytest.skip(str(missing))
