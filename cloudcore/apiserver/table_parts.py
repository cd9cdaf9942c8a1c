"""Pieces of tables: column definitions and durations as kubectl shows them."""

from __future__ import annotations

from typing import Any, TypeAlias

from kube.objects import Object, parse_timestamp

Column: TypeAlias = dict[str, Any]


def column(name: str, description: str, *, type: str = "string", format: str = "", wide: bool = False) -> Column:
    """One column; a wide one is shown with ``-o wide`` only."""
    return {"name": name, "type": type, "format": format, "description": description, "priority": int(wide)}


def age(obj: Object, now: float) -> str:
    """How long ago the object was created."""
    try:
        return duration(now - parse_timestamp(obj["metadata"].get("creationTimestamp", "")))
    except ValueError:
        return "<unknown>"


def duration(seconds: float) -> str:  # noqa: PLR0911 - a table of steps
    """At most two units, as apimachinery's HumanDuration: 45s, 2m10s, 25m, 3h5m, 17h, 2d4h, 12d, 3y20d."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    if total < 120:
        return f"{total}s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(major: int, major_unit: str, minor: int, minor_unit: str) -> str:
    return f"{major}{major_unit}{minor}{minor_unit}" if minor else f"{major}{major_unit}"
