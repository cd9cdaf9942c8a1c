"""``keadm version``: flags and keys as KubeEdge's keadm (KubeEdge 1.23: keadm/.../version.go)."""

from __future__ import annotations

import json
import platform

import click
import yaml

from keadm.steps import KeadmError


def version_info() -> dict[str, str]:
    """The keys of KubeEdge's version.Info; goVersion and compiler name the Python that runs this."""
    from importlib.metadata import version

    number = version("edgecore")
    major, minor, *_ = [*number.split("."), "0"]
    machine = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(platform.machine(), platform.machine())
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{number}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{machine}",
    }


@click.command("version")
@click.option("-o", "--output", default="", help="yaml, json or short")
def version_command(output: str) -> None:
    """Print the version."""
    info = version_info()
    match output:
        case "":
            inner = ", ".join(f'{key[:1].upper()}{key[1:]}:"{value}"' for key, value in info.items())
            click.echo(f"version: version.Info{{{inner}}}")
        case "short":
            click.echo(info["gitVersion"])
        case "json":
            click.echo(json.dumps(info, indent=2))
        case "yaml":
            click.echo(yaml.safe_dump(info, sort_keys=False), nl=False)
        case _:
            raise KeadmError(f"invalid output format: {output}")
