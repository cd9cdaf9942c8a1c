"""What a person sees of a longer command: numbered lines on standard error, as KubeEdge's keadm prints them."""

from __future__ import annotations

import click


class KeadmError(click.ClickException):
    """Ends the command with ``Error: <text>`` and exit code 1. The text: what failed, why, what to do next."""


class Steps:
    def __init__(self) -> None:
        self._number = 0

    def next(self, text: str) -> None:
        self._number += 1
        click.echo(f"{self._number}. {text}", err=True)

    def note(self, text: str) -> None:
        click.echo(f"   {text}", err=True)
