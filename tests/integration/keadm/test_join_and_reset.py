"""A node comes and goes, through the commands that a person types."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

from keadm import daemon
from keadm.layout import Layout
from kube import kubeconfig
from kube.client import Client
from kube.resources import NODES
from viaduct.certificates import describe
from viaduct.tls import client_context

Keadm = Callable[..., Any]
NUMBER = itertools.count(1)


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path / "node")
    yield layout
    for pid in daemon.find(layout):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def name() -> str:
    return f"edge-{next(NUMBER)}"


@pytest.fixture
def join(cloud: Any, keadm: Keadm, layout: Layout, name: str) -> Callable[..., Any]:
    token = keadm("gettoken", "--kube-config", str(cloud.kubeconfig)).out.strip()

    def run(*words: str) -> Any:
        return keadm(
            *("join", "--cloudcore-ipport", f"127.0.0.1:{cloud.hub_port}", "--certport", str(cloud.certificate_port)),
            *("--token", token, "--edgenode-name", name, "--prefix", str(layout.prefix), "--runtime", "process", *words),
        )

    return run


async def node_exists(cloud: Any, name: str) -> bool:
    found = kubeconfig.load(cloud.kubeconfig)
    tls = client_context(ca=found.ca, certificate=found.certificate, key=found.key)
    async with Client.of(found, tls=tls) as client:
        return name in [node["metadata"]["name"] for node in (await client.list(NODES)).items]


def until_registered(cloud: Any, name: str) -> None:
    async def wait() -> None:
        with trio.fail_after(30):
            while not await node_exists(cloud, name):
                await trio.sleep(0.1)

    trio.run(wait)


def reset(keadm: Keadm, layout: Layout, *words: str, stdin: str = "") -> Any:
    return keadm("reset", "edge", "--prefix", str(layout.prefix), *words, stdin=stdin)


def test_a_node_comes_and_goes(cloud: Any, keadm: Keadm, join: Callable[..., Any], layout: Layout, name: str) -> None:
    said = join("--labels", "zone=a")
    assert said.code == 0, said.err
    assert said.err.rstrip().endswith("Install Complete!")
    assert len(daemon.find(layout)) == 1
    assert describe(layout.certificate.read_bytes()).node == name
    assert [path.stat().st_mode & 0o777 for path in (layout.key, layout.config)] == [0o600, 0o600]
    assert yaml.safe_load(layout.config.read_text())["modules"]["edgeHub"]["token"] == ""
    assert not layout.bootstrap.exists()
    until_registered(cloud, name)

    again = join()
    assert (again.code, "EdgeCore is already running" in again.error) == (1, True)

    aborted = reset(keadm, layout, stdin="n\n")
    assert (aborted.code, aborted.error) == (1, "aborted reset operation")
    assert daemon.find(layout)

    said = reset(keadm, layout, stdin="y\n")
    assert said.code == 0, said.err
    assert "reset edge node successfully!" in said.out
    assert daemon.find(layout) == []
    assert not any(path for path in layout.prefix.rglob("*") if path.is_file())

    clash = join()
    assert clash.code == 1
    assert f"kubectl delete node {name}" in clash.error


def test_reset_where_nothing_is(keadm: Keadm, layout: Layout) -> None:
    """A machine that never joined may have a kubelet."""
    kubelets = layout.at("/var/lib/kubelet/config.yaml")
    kubelets.parent.mkdir(parents=True)
    kubelets.touch()
    said = reset(keadm, layout, "--force")
    assert said.code == 0, said.err
    assert f"no node is joined here: there is no {layout.config}" in said.err
    assert kubelets.exists()


def test_reset_with_a_broken_configuration_goes_on(keadm: Keadm, layout: Layout) -> None:
    layout.config.parent.mkdir(parents=True)
    layout.config.write_text("modules: [")
    said = reset(keadm, layout, "--force")
    assert said.code == 0, said.err
    assert "warning" in said.err
    assert not layout.etc.exists()


def test_an_edgecore_that_does_not_start_is_undone(join: Callable[..., Any], layout: Layout) -> None:
    """Its own last words are the message, and a second join works."""
    said = join("--set", "database.dataSource=/proc/nowhere/edgecore.db")
    assert said.code == 1
    assert "edgecore ended with exit code 1" in said.error
    assert "/proc/nowhere" in said.error
    assert not any(layout.prefix.rglob("*"))
    assert join().code == 0


def test_without_a_start_everything_is_written(join: Callable[..., Any], layout: Layout) -> None:
    assert join("--no-start").code == 0
    assert layout.config.exists()
    assert daemon.find(layout) == []


def test_reset_needs_to_know_what(keadm: Keadm) -> None:
    said = keadm("reset")
    assert (said.code, said.error) == (1, "say what to reset: keadm reset edge")


@pytest.mark.parametrize(
    ("form", "wanted"), [("short", "v"), ("json", '"gitVersion"'), ("yaml", "gitVersion:"), ("", "version.Info{")]
)
def test_version(keadm: Keadm, form: str, wanted: str) -> None:
    said = keadm("version", "-o", form)
    assert (said.code, wanted in said.out) == (0, True)


def test_version_in_a_form_that_does_not_exist(keadm: Keadm) -> None:
    said = keadm("version", "-o", "xml")
    assert (said.code, said.error) == (1, "invalid output format: xml")


def test_an_unknown_command(keadm: Keadm) -> None:
    said = keadm("foo")
    assert said.code == 1
    assert "Run 'keadm --help' for usage." in said.err
