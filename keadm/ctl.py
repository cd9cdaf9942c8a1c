"""``keadm ctl``: looks at what runs on this node, without the cloud. KubeEdge 1.23 has pods and devices there, we the broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click

from keadm.layout import Layout
from keadm.localhttp import Unreachable, get
from keadm.steps import KeadmError
from keadm.table import duration, table

Row = dict[str, Any]

_STATUS: Final = (
    ("connections", "connections"),
    ("connected", "clients connected"),
    ("sessions", "sessions"),
    ("subscriptions", "subscriptions"),
    ("shared", "shared subscriptions"),
    ("retained", "retained messages"),
    ("retained_bytes", "bytes of retained messages"),
    ("in_flight", "messages in flight"),
    ("queued", "messages queued"),
    ("queued_bytes", "bytes of queued messages"),
    ("unsent", "bytes unsent"),
    ("received", "messages received"),
    ("sent", "messages sent"),
)


@click.group("ctl")
def ctl_command() -> None:
    """Look at what runs on this node."""


@ctl_command.group("broker", invoke_without_command=True)
@click.option("--socket", type=click.Path(path_type=Path), help="the broker's view [default: broker.sock in /var/lib/kubeedge]")
@click.option("--prefix", type=click.Path(path_type=Path), default=Path("/"), help="as given to join")
@click.pass_context
def broker_command(context: click.Context, socket: Path | None, prefix: Path) -> None:
    """The MQTT broker: alone, an overview."""
    context.obj = socket or Layout(prefix.absolute()).data / "broker.sock"
    if context.invoked_subcommand is None:
        _status(context.obj)


_output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="table or json")
_limit = click.option("--limit", type=click.IntRange(1, 1_000_000), default=1000, help="rows at most (default: 1000)")


@broker_command.command("status")
@_output
@click.pass_obj
def status_command(socket: Path, output: str) -> None:
    """Figures, what was dropped, which connections were closed, and why."""
    _status(socket, output)


@broker_command.command("drops")
@_output
@click.pass_obj
def drops_command(socket: Path, output: str) -> None:
    """Messages that did not reach a client, by reason, since the start."""
    dropped: dict[str, int] = _fetch_status(socket)["dropped"]
    if output == "json":
        click.echo(json.dumps(dropped))
        return
    rows: list[tuple[str, int]] = sorted(dropped.items(), key=_most)
    click.echo(table(("REASON", "MESSAGES"), rows), nl=False)


@broker_command.command("clients")
@click.argument("pattern", default="*")
@_limit
@_output
@click.pass_obj
def clients_command(socket: Path, pattern: str, limit: int, output: str) -> None:
    """Clients and the sessions of those that are away. PATTERN: of client identifiers, with * and ?."""
    _show(_CLIENTS, socket, {"match": pattern, "limit": limit}, output)


@broker_command.command("queues")
@click.argument("pattern", default="*")
@_limit
@_output
@click.pass_obj
def queues_command(socket: Path, pattern: str, limit: int, output: str) -> None:
    """Clients for whom something waits or was dropped, the longest queue first. PATTERN: as for clients."""
    _show(_QUEUES, socket, {"match": pattern, "limit": limit, "waiting": 1}, output)


@broker_command.command("subscriptions")
@click.argument("pattern", default="*")
@_limit
@_output
@click.pass_obj
def subscriptions_command(socket: Path, pattern: str, limit: int, output: str) -> None:
    """Who has subscribed to what. PATTERN: as for clients."""
    _show(_SUBSCRIPTIONS, socket, {"match": pattern, "limit": limit}, output)


def _most(count: tuple[str, int]) -> int:
    return -count[1]


def _client(row: Row) -> tuple[object, ...]:
    return (
        row["client"],
        row["username"],
        row["connected"],
        row.get("address"),
        row.get("version"),
        duration(row.get("connectedFor")),
        duration(row.get("silentFor")),
        row["subscriptions"],
        row["queued"] + row["inFlight"],
        row["dropped"],
    )


def _queue(row: Row) -> tuple[object, ...]:
    return tuple(row[each] for each in ("client", "connected", "inFlight", "queued", "queuedBytes", "unsent", "dropped"))


def _subscription(row: Row) -> tuple[object, ...]:
    options = [name for name in ("noLocal", "retainAsPublished") if row[name]]
    options += [f"{name}={row[name]}" for name in ("retainHandling", "identifier") if row[name]]
    return (row["client"], row["filter"], row["qos"], row["group"], ",".join(options))


@dataclass(frozen=True)
class _Sheet:
    """What is shown of the rows of one address. line: the cells of a row. order: what rows are sorted by."""

    path: str
    heads: tuple[str, ...]
    line: Callable[[Row], tuple[object, ...]]
    order: Callable[[Row], Any]


_CLIENTS: Final = _Sheet(
    "/clients",
    ("CLIENT", "USER", "CONNECTED", "ADDRESS", "MQTT", "AGE", "SILENT", "SUBSCRIPTIONS", "WAITING", "DROPPED"),
    _client,
    lambda row: row["client"],
)
_QUEUES: Final = _Sheet(
    "/clients",
    ("CLIENT", "CONNECTED", "IN FLIGHT", "QUEUED", "BYTES", "UNSENT", "DROPPED"),
    _queue,
    lambda row: (-row["queued"], -row["unsent"], -row["dropped"], row["client"]),
)
_SUBSCRIPTIONS: Final = _Sheet(
    "/subscriptions",
    ("CLIENT", "FILTER", "QOS", "GROUP", "OPTIONS"),
    _subscription,
    lambda row: (row["client"], row["filter"]),
)


def _show(sheet: _Sheet, socket: Path, query: dict[str, object], output: str) -> None:
    found, more = _rows(socket, sheet.path, query)
    found.sort(key=sheet.order)
    click.echo(json.dumps(found, indent=2) + "\n" if output == "json" else table(sheet.heads, map(sheet.line, found)), nl=False)
    if more:
        click.echo(f"there are more than {query['limit']}: narrow the pattern, or raise --limit", err=True)


def _status(socket: Path, output: str = "table") -> None:
    status = _fetch_status(socket)
    if output == "json":
        click.echo(json.dumps(status))
        return
    click.echo(f"{status['version']}, up {duration(status['uptime'])}, listens on {', '.join(status['listeners']) or 'nothing'}")
    if status["failing"]:
        click.echo(f"the disk does not take what has to be kept: {status['failing']}")
    for key, text in _STATUS:
        click.echo(f"{status[key]:>12}  {text}")
    for key, text in (("dropped", "messages dropped"), ("closed", "connections closed")):
        for reason, count in sorted(status[key].items(), key=_most):
            click.echo(f"{count:>12}  {text}: {reason}")


def _fetch_status(socket: Path) -> Row:
    status: Row = json.loads(_get(socket, "/status"))
    return status


def _rows(socket: Path, path: str, query: dict[str, object]) -> tuple[list[Row], bool]:
    """And whether there would have been more."""
    rows: list[Row] = [json.loads(line) for line in _get(socket, f"{path}?{urlencode(query)}").splitlines()]
    if not rows or "end" not in rows[-1]:
        raise KeadmError(f"the answer of {socket} is not whole; try again")
    last = rows.pop()
    return rows, bool(last["more"])


def _get(socket: Path, target: str) -> bytes:
    try:
        status, body = get(socket, target)
    except FileNotFoundError:
        raise KeadmError(
            f"no broker has its view at {socket}. Does edgecore run, with modules.eventBus.enable and mqttMode 0 or 1? "
            "`edgecore broker` has one where its --view says; --socket names it here"
        ) from None
    except PermissionError:
        raise KeadmError(f"{socket} may not be opened by this user; run this as root") from None
    except (OSError, Unreachable) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise KeadmError(f"the broker does not answer at {socket}: {why}. Does edgecore run?") from error
    if status != 200:
        raise KeadmError(f"the broker at {socket} refuses: {body.decode('utf-8', 'replace').strip()}")
    return body
