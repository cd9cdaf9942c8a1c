"""The version of this installation."""

from __future__ import annotations


def program_version() -> str:
    """0.0.0 where it was not installed."""
    # Here, because it costs a megabyte: a broker alone does not need it.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edgecore")
    except PackageNotFoundError:
        return "0.0.0"
