"""The ``keadm`` command. Every failure is ``Error: <text>`` on standard error and exit code 1, as KubeEdge's keadm."""

from __future__ import annotations

import logging
import sys

import click

from keadm.ctl import ctl_command
from keadm.gettoken import gettoken_command
from keadm.init import init_command, manifest_command
from keadm.join import join_command
from keadm.reset import reset_command
from keadm.version import version_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def keadm() -> None:
    """Installs the cloud half in a cluster, joins machines as edge nodes, and lets them leave again."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # commands speak for themselves


for _command in (init_command, manifest_command, gettoken_command, join_command, reset_command, ctl_command, version_command):
    keadm.add_command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        keadm.main(args=sys.argv[1:] if arguments is None else arguments, prog_name="keadm", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 1
    except click.UsageError as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        click.echo(f"Run '{error.ctx.command_path if error.ctx else 'keadm'} --help' for usage.", err=True)
        return 1
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("Error: stopped", err=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
