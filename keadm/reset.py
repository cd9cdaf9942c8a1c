"""``keadm reset edge``: the machine is as it was before ``keadm join``.

Unlike KubeEdge 1.23 it removes only containers that belong to this node, and goes on when one folder is absent.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
import trio

from beehive import settings
from edgecore.config import EdgeCore
from edgecore.edged.memory import memory_folder
from edgecore.edged.runtime.engine import Engine, EngineError
from edgecore.edged.runtime.select import open_engine
from keadm import daemon, folders
from keadm.layout import Layout
from keadm.steps import KeadmError, Steps

CONTAINER_GRACE = 2.0
"""Seconds between TERM and KILL of each container."""

CONTAINERS_LIMIT = 60.0

WARNING = """\
[reset] WARNING: Changes made to this host by 'keadm init' or 'keadm join' will be reverted.
[reset] Are you sure you want to proceed? [y/N]: """


@click.group("reset", invoke_without_command=True)
def reset_command() -> None:
    """Undo what join did."""
    if click.get_current_context().invoked_subcommand is None:
        raise KeadmError("say what to reset: keadm reset edge")


@click.command("edge")
@click.option("--force", is_flag=True, help="do not ask")
@click.option("--prefix", type=click.Path(path_type=Path), default=Path("/"), help="as given to join")
@click.option("--remote-runtime-endpoint", default="", help="container engine's address [default: as in edgecore.yaml]")
def reset_edge_command(*, force: bool, prefix: Path, remote_runtime_endpoint: str) -> None:
    """Stop edgecore, remove its containers and everything that join wrote."""
    if not force:
        click.echo(WARNING, nl=False)
        answer = sys.stdin.readline().strip()
        if answer not in ("y", "Y"):
            raise KeadmError("aborted reset operation")
    trio.run(reset_edge, Layout(prefix.absolute()), remote_runtime_endpoint)


reset_command.add_command(reset_edge_command)


async def reset_edge(layout: Layout, endpoint: str = "") -> None:
    """Raises KeadmError when something of the node must stay; warnings go to standard error."""
    steps = Steps()
    joined = layout.config.exists()
    config = _config(layout, steps)
    if not joined:
        steps.note(f"warning: no node is joined here: there is no {layout.config}. --prefix says where, as at the join")
    steps.next("clean up static pods")
    _remove_static_pods(config, layout)
    steps.next("kill edgecore and remove edgecore service")
    await daemon.stop(layout, remove_service=True)
    steps.next("clean up containers managed by KubeEdge")
    await _remove_containers(config, endpoint, steps)
    steps.next("clean up dirs created by KubeEdge")
    _remove_folders(layout, joined=joined, memory=_memory(config))
    click.echo("reset edge node successfully!")


def _config(layout: Layout, steps: Steps) -> EdgeCore | None:
    try:
        return settings.load(layout.config, EdgeCore) if layout.config.exists() else None
    except (settings.SettingsError, OSError) as error:
        steps.note(f"warning: {error}; containers and static pods are left alone")
        return None


def _remove_static_pods(config: EdgeCore | None, layout: Layout) -> None:
    folder = Path(config.modules.edged.tailoredKubeletConfig.staticPodPath) if config else layout.etc / "manifests"
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.is_file():
            entry.unlink(missing_ok=True)
        else:
            shutil.rmtree(entry, ignore_errors=True)


async def _remove_containers(config: EdgeCore | None, endpoint: str, steps: Steps) -> None:
    """A container that cannot be removed is a warning, not an end: the rest of the node must still go."""
    if config is None:
        return
    edged = config.modules.edged
    root = Path(edged.rootDirectory)
    try:
        with trio.fail_after(CONTAINERS_LIMIT):
            engine = await open_engine(edged.runtime, docker_endpoint=endpoint or edged.dockerEndpoint, root=root)
            await _remove_pods(engine, root, steps)
    except (EngineError, OSError, trio.TooSlowError) as error:
        steps.note(f"warning: containers may be left behind: {error or 'no answer in time'}")


async def _remove_pods(engine: Engine, root: Path, steps: Steps) -> None:
    """Only pods that have a folder under this node's root: on a machine with two nodes the other one's go on."""
    for pod in await engine.list_pods():
        if not (root / "pods" / pod.pod.uid).exists():
            continue
        for container in pod.containers:
            await engine.stop_container(container.id, CONTAINER_GRACE)
            await engine.remove_container(container.id)
        for sandbox in pod.sandboxes:
            await engine.stop_sandbox(sandbox.id)
            await engine.remove_sandbox(sandbox.id)
        steps.note(f"removed pod {pod.pod.namespace}/{pod.pod.name}")


def _memory(config: EdgeCore | None) -> tuple[Path, ...]:
    """Where the Secrets of this node's pods stand; another node on this machine has a folder of its own."""
    return (memory_folder(Path(config.modules.edged.rootDirectory)),) if config is not None else ()


def _remove_folders(layout: Layout, *, joined: bool, memory: tuple[Path, ...] = ()) -> None:
    ours = (*layout.folders, *(layout.pods if joined else ()), *memory)
    failed = [problem for folder in ours for problem in folders.remove(folder, layout.clouds)]
    if failed:
        raise KeadmError(f"not everything could be removed: {'; '.join(failed)}. Run it again as root")
