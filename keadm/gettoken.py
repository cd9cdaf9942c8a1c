"""``keadm gettoken``: prints the join token that cloudcore keeps in a Secret."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

import click
import trio

from keadm.steps import KeadmError
from kube import kubeconfig
from kube.client import Client
from kube.objects import Object
from kube.resources import SECRETS
from kube.status import ApiError
from viaduct.tls import TlsError, client_context

LIMIT = 10.0
NAMESPACE, SECRET, KEY = "kubeedge", "tokensecret", "tokendata"
"""KubeEdge 1.23: common/constants."""
USUAL = Path("/root/.kube/config")
STANDALONE = Path("/etc/kubeedge/kubeconfig.yaml")
"""Where ``cloudcore --standalone`` writes it."""
LOOKED_FOR = f"$KUBECONFIG, else {USUAL}, else {STANDALONE}"


@click.command("gettoken")
@click.option("--kube-config", type=click.Path(path_type=Path), help=f"kubeconfig [default: {LOOKED_FOR}]")
def gettoken_command(kube_config: Path | None) -> None:
    """Print the token with which edges join."""
    try:
        token = trio.run(get_token, kube_config or usual_kubeconfig())
    except KeadmError as error:
        click.echo(f"failed to get token, err is {error.message}")
        raise
    click.echo(token)


def usual_kubeconfig() -> Path:
    """Where an administrator's is: as kubectl looks, then as KubeEdge 1.23 does. Raises KeadmError."""
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    try:
        for path in named or (USUAL, STANDALONE):
            if path.exists():
                return path
    except OSError as error:
        raise KeadmError(f"{error.filename}: {error.strerror}. Name the kubeconfig with --kube-config") from error
    if named:
        raise KeadmError(
            f"no such file: {os.environ['KUBECONFIG']}, which KUBECONFIG names. Name the kubeconfig with --kube-config"
        )
    raise KeadmError(
        f"there is neither {USUAL} nor {STANDALONE} (which `cloudcore --standalone` writes). Run this in the cloud, or name the "
        "kubeconfig with --kube-config"
    )


async def get_token(kube_config: Path) -> str:
    """The token. Raises KeadmError."""
    try:
        connection = kubeconfig.load(kube_config)
        tls = client_context(ca=connection.ca, certificate=connection.certificate, key=connection.key)
        with trio.fail_after(LIMIT):
            async with Client.of(connection, tls=tls, timeout=LIMIT) as client:
                secret = await client.get(SECRETS, SECRET, namespace=NAMESPACE)
    except (kubeconfig.KubeconfigError, TlsError) as error:
        raise KeadmError(f"{error}. Name the right file with --kube-config") from error
    except trio.TooSlowError as error:
        raise KeadmError(f"{connection.server} did not answer within {LIMIT:.0f} s") from error
    except ApiError as error:
        raise KeadmError(_explain(error)) from error
    return _token_of(secret)


def _explain(error: ApiError) -> str:
    missing = (
        " (cloudcore makes it when it starts: is it running? If the Secret was deleted, restart it)" if error.code == 404 else ""
    )
    return f"{error}{missing}"


def _token_of(secret: Object) -> str:
    data = secret.get("data")
    value = data.get(KEY) if isinstance(data, dict) else None
    try:
        return base64.b64decode(value or "", validate=True).decode("ascii").strip() or _broken()
    except (binascii.Error, UnicodeDecodeError, TypeError) as error:
        raise KeadmError(_BROKEN) from error


_BROKEN = f"the secret {NAMESPACE}/{SECRET} has no usable key {KEY}; restart cloudcore, which writes it anew"


def _broken() -> str:
    raise KeadmError(_BROKEN)
