"""``keadm join``: a machine becomes an edge node.

The certificate is fetched here, before edgecore is started: a wrong or expired token, another cluster's cloud, an
unreachable address or a wrong clock is then one line within seconds, not a service that crashes over and over
(KubeEdge 1.23 waits 300 s and leaves that service behind). A join that fails leaves nothing behind.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from beehive.files import write_atomically
from keadm import daemon, folders
from keadm.configuration import Wishes, edgecore_yaml
from keadm.layout import Layout
from keadm.names import NameProblem, endpoint, labels, node_name, port_number
from keadm.steps import KeadmError, Steps
from viaduct import enrol
from viaduct.causes import explain
from viaduct.certificates import certificate_pem, new_request
from viaduct.token import JoinToken, TokenError

CLOUD_LIMIT = 8.0
"""Seconds for everything that is asked of the cloud: a failed join is to end within 10."""
HUB_LIMIT = 4.0


@dataclass(frozen=True)
class Credentials:
    authority_pem: bytes
    certificate_pem: bytes
    key_pem: bytes


@click.command("join")
@click.option("-e", "--cloudcore-ipport", default="", metavar="HOST:PORT", help="address of CloudHub, port 10000 if not given")
@click.option("-t", "--token", default="", help="as printed by keadm gettoken")
@click.option("-i", "--edgenode-name", default="", metavar="NAME", help="name of the node [default: the host's name]")
@click.option("-s", "--certport", default="10002", show_default=True, help="port of the cloud's certificate service")
@click.option("-l", "--labels", "label_list", multiple=True, metavar="K=V,...", help="labels of the node")
@click.option("--set", "sets", multiple=True, metavar="PATH=VALUE,...", help="changes to edgecore.yaml")
@click.option(
    "--runtime", type=click.Choice(["auto", "docker", "process"]), default="auto", show_default=True, help="what runs containers"
)
@click.option(
    "-p", "--remote-runtime-endpoint", default="", help="container engine's address, for docker unix:///var/run/docker.sock"
)
@click.option("--cgroupdriver", default="cgroupfs", show_default=True, help="cgroupfs or systemd")
@click.option("--hub-protocol", default="websocket", show_default=True, help="websocket or quic")
@click.option("--no-start", is_flag=True, help="write everything, but leave edgecore for others to start")
@click.option("--prefix", type=click.Path(path_type=Path), default=Path("/"), help="put everything under this folder")
@click.option("--kubeedge-version", "--image-repository", "--certPath", "--tarballpath", "ignored", multiple=True, hidden=True)
def join_command(**options: Any) -> None:
    """Make this machine an edge node."""
    if options["ignored"]:
        click.echo("note: --kubeedge-version, --image-repository, --certPath and --tarballpath have no effect here", err=True)
    layout = Layout(options["prefix"].absolute())
    wishes, token = _checked(options)
    trio.run(partial(join, layout, wishes, token, start=not options["no_start"]))


def _checked(options: dict[str, Any]) -> tuple[Wishes, JoinToken]:
    """Everything that can be found wrong without touching disk or network."""
    if not options["cloudcore_ipport"]:
        raise KeadmError("the address of the cloud is missing: give --cloudcore-ipport host:port")
    if options["cgroupdriver"] not in ("cgroupfs", "systemd"):
        raise KeadmError(f"unsupported CGroupDriver: {options['cgroupdriver']}; cgroupfs and systemd are possible")
    if options["hub_protocol"] != "websocket":
        raise KeadmError(f"unsupported hub of protocol: {options['hub_protocol']}; websocket works, quic is not built yet")
    if any(name in options["remote_runtime_endpoint"] for name in ("containerd", "crio", "cri-dockerd")):
        raise KeadmError(
            f"{options['remote_runtime_endpoint']} is a CRI endpoint, and CRI is not built yet: leave the option away (docker if "
            "it answers, else plain processes), or give docker's own, unix:///var/run/docker.sock"
        )
    if not options["token"]:
        raise KeadmError("the join token is missing: give --token, printed by `keadm gettoken` in the cloud")
    try:
        token = JoinToken.parse(options["token"].strip())
        host, port = endpoint(options["cloudcore_ipport"])
        wishes = Wishes(
            node=node_name(options["edgenode_name"] or platform.node().lower()),
            host=host,
            port=port,
            certificate_port=port_number(options["certport"]),
            labels={key: value for text in options["label_list"] for key, value in labels(text).items()},
            protocol=options["hub_protocol"],
            cgroup_driver=options["cgroupdriver"],
            runtime=options["runtime"],
            runtime_endpoint=options["remote_runtime_endpoint"],
            sets=options["sets"],
        )
    except (NameProblem, TokenError) as error:
        raise KeadmError(str(error)) from error
    return wishes, token


async def join(layout: Layout, wishes: Wishes, token: JoinToken, *, start: bool = True) -> None:
    """Raises KeadmError, with everything undone that it did."""
    steps = Steps()
    steps.next("Check KubeEdge edgecore process status")
    if daemon.find(layout):
        raise KeadmError(f"EdgeCore is already running on this node, please run reset to clean up first: {_reset(layout)}")
    steps.next("Check if the management directory is clean")
    _require_clean(layout)
    text = edgecore_yaml(wishes, layout)
    steps.next("Check if the node name is valid")
    try:
        with trio.fail_after(CLOUD_LIMIT):
            credentials = await enroll(steps, wishes, token)
    except trio.TooSlowError as error:
        raise KeadmError(
            f"{wishes.certificate_url} did not answer within {CLOUD_LIMIT:.0f} s. Is the address right, is cloudcore running, "
            f"does a firewall drop port {wishes.certificate_port}?"
        ) from error
    except enrol.EnrolError as error:
        raise KeadmError(str(error)) from error
    with ExitStack() as undo:
        steps.next("Create the necessary directories")
        undo.callback(folders.remove, layout.etc, layout.clouds)
        _make_folders(layout, undo.callback)
        steps.next("Generate EdgeCore default configuration")
        _write(layout, credentials, text)
        if start:
            steps.next("Run EdgeCore daemon")
            await daemon.start(layout)
        undo.pop_all()
    if start:
        steps.note(f"KubeEdge edgecore is running, For logs visit: {_where_logs(layout)}")
    steps.next("Install Complete!")


async def enroll(steps: Steps, wishes: Wishes, token: JoinToken) -> Credentials:
    """Authority first (its hash stands in the token), then everything else verified against it."""
    url = wishes.certificate_url
    try:
        authority = certificate_pem(await enrol.fetch_authority(url, token.fingerprint))
    except enrol.CertificateRejected as error:  # we show none to this service, and it asks for none
        raise KeadmError(
            f"port {wishes.certificate_port} of {wishes.host} asks for a node's certificate, so it is not the one where "
            "certificates come from; give that one with --certport (10002 if it was not changed)"
        ) from error
    if await enrol.node_exists(url, wishes.node, ca_pem=authority):
        raise KeadmError(
            f'a node named "{wishes.node}" exists already in the cloud, cannot register again. Choose another name with '
            f"--edgenode-name, or remove it: kubectl delete node {wishes.node}"
        )
    await _require_hub(wishes)
    steps.next("Get the node's certificate")
    key, request = new_request(wishes.node)
    certificate = await enrol.request_certificate(url, node=wishes.node, csr_der=request, ca_pem=authority, jwt=token.jwt)
    return Credentials(authority, certificate_pem(certificate), key)


async def _require_hub(wishes: Wishes) -> None:
    """A firewall that lets only one of the two ports through would else show as a node that never becomes Ready."""
    try:
        with trio.fail_after(HUB_LIMIT):
            stream = await trio.open_tcp_stream(wishes.host, wishes.port)
    except (OSError, trio.TooSlowError) as error:
        _, text = await explain(error, wishes.host, wishes.port)
        raise KeadmError(
            f"{text}. Certificates do come from port {wishes.certificate_port}; edges connect to this one"
        ) from error
    await stream.aclose()


def _require_clean(layout: Layout) -> None:
    try:
        dirty = any(not path.is_dir() or any(path.iterdir()) for path in folders.removable(layout.etc, layout.clouds))
    except OSError as error:
        raise KeadmError(f"{layout.etc} cannot be read: {error.strerror}. Run this as root, or give --prefix") from error
    if dirty:
        raise KeadmError(f"the management directory {layout.etc} is not clean, please remove it first: {_reset(layout)}")


def _reset(layout: Layout) -> str:
    return f"keadm reset edge{f' --prefix {layout.prefix}' if layout.relocated else ''}"


def _make_folders(layout: Layout, undo: Callable[..., Any]) -> None:
    for folder in (layout.etc, layout.config.parent, layout.logs, layout.data):
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KeadmError(f"{folder} cannot be made: {error.strerror}. Run this as root, or give --prefix") from error
        if missing:
            undo(shutil.rmtree, missing[-1], ignore_errors=True)


def _write(layout: Layout, credentials: Credentials, text: str) -> None:
    try:
        write_atomically(layout.authority, credentials.authority_pem, mode=0o644)
        write_atomically(layout.certificate, credentials.certificate_pem, mode=0o644)
        write_atomically(layout.key, credentials.key_pem)
        write_atomically(layout.config, text.encode())
    except OSError as error:
        raise KeadmError(f"{error.filename or layout.etc} cannot be written: {error.strerror}. Is the disk full?") from error


def _where_logs(layout: Layout) -> str:
    return "journalctl -u edgecore.service -xe" if daemon.uses_systemd(layout) else str(layout.log)
