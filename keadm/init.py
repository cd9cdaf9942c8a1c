"""``keadm init`` and ``keadm manifest``: cloudcore in a cluster, through its API, with nothing else: no helm, no network.

KubeEdge 1.23 (keadm/cmd/keadm/app/cmd/cloud/init.go) carries helm and a chart inside; a second `init` there is an error, here it
upgrades and keeps what is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
import yaml

from keadm import apply, manifest, rollout
from keadm.gettoken import LOOKED_FOR, get_token, usual_kubeconfig
from keadm.manifest import CONFIG_KEY, Present, Wishes
from keadm.rights import missing_rights
from keadm.steps import KeadmError, Steps
from kube import kubeconfig, objects
from kube.client import Client
from kube.objects import Object
from kube.status import ApiError, ApiUnreachable
from viaduct.tls import TlsError, client_context

OLDEST = (1, 27)
"""The manifests use fields that older versions do not have."""
LIMIT = 30.0
"""Seconds for one request."""
ROLLOUT = "kubectl -n kubeedge rollout status deployment/cloudcore"
EMBEDDED = "+edgecore"
"""Ends the version of the API that ``cloudcore --standalone`` serves."""
HELM = "meta.helm.sh/release-name"

_SHARED = (
    click.option(
        "--advertise-address", default="", metavar="IP,...", help="addresses that edges dial; they go into the certificate"
    ),
    click.option("--kubeedge-version", "version", default="", help="tag of the image [default: this version]"),
    click.option("--image-repository", "repository", default="", help="where the image is: REPOSITORY/cloudcore"),
    click.option(
        "--set", "sets", multiple=True, metavar="PATH=VALUE,...", help="values of the chart, such as cloudCore.replicaCount=3"
    ),
)


def _shared(command: Any) -> Any:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command("init")
@_shared
@click.option("--kube-config", type=click.Path(path_type=Path), help=f"kubeconfig of an administrator [default: {LOOKED_FOR}]")
@click.option("--crds-only", is_flag=True, help="install or upgrade the custom resource definitions and nothing else")
@click.option("--print", "print_only", is_flag=True, help="print what would be applied; no cluster is asked")
@click.option("-d", "--dry-run", is_flag=True, help="let the cluster check everything, but change nothing")
@click.option("--force", is_flag=True, help="do not wait until cloudcore runs")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="how long to wait for that",
)
def init_command(kube_config: Path | None, *, print_only: bool, **options: Any) -> None:
    """Install cloudcore in a Kubernetes cluster, or upgrade it."""
    wishes = _wishes(options)
    if print_only:
        _print([*manifest.definitions(), *([] if options["crds_only"] else manifest.manifests(wishes))])
        return
    trio.run(partial(_init, kube_config or usual_kubeconfig(), wishes, options))


@click.command("manifest")
@_shared
@click.option("--skip-crds", is_flag=True, help="leave out the custom resource definitions")
def manifest_command(*, skip_crds: bool, **options: Any) -> None:
    """Print what init applies."""
    _print([*([] if skip_crds else manifest.definitions()), *manifest.manifests(_wishes(options))])


def _wishes(options: dict[str, Any]) -> Wishes:
    addresses = tuple(part.strip() for part in options["advertise_address"].split(",") if part.strip())
    return Wishes(addresses, options["version"], options["repository"], tuple(options["sets"]))


def _print(wanted: Iterable[Object]) -> None:
    click.echo(yaml.dump_all(wanted, Dumper=_Readable, sort_keys=False, explicit_start=True), nl=False)


class _Readable(yaml.SafeDumper):
    """A text of many lines is written as such."""


def _text(dumper: _Readable, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


async def _init(path: Path, wishes: Wishes, options: dict[str, Any]) -> None:
    """Raises KeadmError."""
    try:
        connection = kubeconfig.load(path)
        tls = client_context(ca=connection.ca, certificate=connection.certificate, key=connection.key)
        async with Client.of(connection, tls=tls, user_agent="keadm", timeout=LIMIT) as client:
            await _Installation(client, wishes, options, Steps(), path).run()
    except (kubeconfig.KubeconfigError, TlsError) as error:
        raise KeadmError(f"{error}. Name the right file with --kube-config") from error
    except ApiUnreachable as error:
        raise KeadmError(f"{error}. Is the API server running, and is {path} the kubeconfig of the right cluster?") from error
    except ApiError as error:
        raise KeadmError(str(error)) from error
    except trio.TooSlowError as error:
        raise KeadmError("the Kubernetes API did not take the custom resource definitions in time; run it again") from error


class _Installation:
    """The steps, in their order."""

    def __init__(self, client: Client, wishes: Wishes, options: dict[str, Any], steps: Steps, kube_config: Path) -> None:
        self._client = client
        self._wishes = wishes
        self._steps = steps
        self._kube_config = kube_config
        self._dry: bool = options["dry_run"]
        self._crds_only: bool = options["crds_only"]
        self._seconds: float = 0.0 if options["force"] else options["timeout"]

    async def run(self) -> None:
        definitions = manifest.definitions()
        await self._check_version()
        self._steps.next("looking whether this user may do it")
        others = [] if self._crds_only else manifest.shipped()
        if missing := await missing_rights(self._client, [*definitions, *others]):
            raise KeadmError(f"this user may not {'; '.join(missing)}. Use the kubeconfig of an administrator (--kube-config)")
        wanted = manifest.manifests(self._wishes, await self._present()) if others else []
        self._steps.next(f"custom resource definitions: {await self._apply(definitions)}")
        if not self._dry:
            await rollout.established(self._client, [objects.name(one) for one in definitions])
        if wanted:
            self._steps.next(f"cloudcore in namespace kubeedge: {await self._apply(wanted)}")
            self._note_addresses(wanted)
            await self._wait()

    async def _apply(self, wanted: list[Object]) -> str:
        """What came of it."""
        outcomes = await apply.apply_all(self._client, wanted, dry_run=self._dry)
        said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        return f"would be {said}" if self._dry else said

    def _note_addresses(self, wanted: list[Object]) -> None:
        """Without an address edges refuse the certificate of cloudcore, and nothing else would say so before the first join."""
        hub, shipped = (_hub(objects_) for objects_ in (wanted, manifest.shipped()))
        if hub["advertiseAddress"] or set(hub["dnsNames"]) - set(shipped["dnsNames"]):
            return
        self._steps.note("warning: no address that edges could dial is named; run it again with --advertise-address")

    async def _check_version(self) -> None:
        found = await self._client.request("GET", "/version")
        self._steps.next(f"Kubernetes {found.get('gitVersion', '')} at {self._client.server}")
        if str(found.get("gitVersion", "")).endswith(EMBEDDED):
            raise KeadmError(
                "this is the embedded API of `cloudcore --standalone`, which needs no init: go on with `keadm gettoken`. For a "
                "Kubernetes cluster name its kubeconfig with --kube-config"
            )
        numbers = [str(found.get(key, "")).rstrip("+") for key in ("major", "minor")]
        if all(number.isdecimal() for number in numbers) and tuple(map(int, numbers)) < OLDEST:
            raise KeadmError(f"Kubernetes {'.'.join(numbers)} is too old; {'.'.join(map(str, OLDEST))} or newer is needed")

    async def _present(self) -> Present:
        """What is there from an earlier installation. Raises KeadmError when helm looks after it."""
        shipped = {obj["kind"]: obj for obj in manifest.shipped() if objects.name(obj) in ("cloudcore", "kubeedge")}
        deployment = await apply.look(self._client, shipped["Deployment"])
        if deployment is not None and (release := objects.annotations(deployment).get(HELM)):
            raise KeadmError(
                f"cloudcore is installed by the Helm release {release}: upgrade it with helm, or take it away with "
                f"`helm uninstall {release} -n kubeedge` (edges stay joined). --crds-only works beside it"
            )
        config = await apply.look(self._client, shipped["ConfigMap"]) or {}
        return Present(
            config=(config.get("data") or {}).get(CONFIG_KEY, ""),
            deployment=deployment or {},
            service=await apply.look(self._client, shipped["Service"]) or {},
            namespace=await apply.look(self._client, shipped["Namespace"]),
        )

    async def _wait(self) -> None:
        if self._dry or not self._seconds:
            self._steps.note("nothing was changed (--dry-run)" if self._dry else f"not waited for; see {ROLLOUT}")
            return
        self._steps.next("waiting until cloudcore is ready")
        if why := await rollout.rolled_out(self._client, self._seconds, self._steps.note):
            raise KeadmError(f"cloudcore is installed, but not ready after {self._seconds:.0f} s: {why}")
        await get_token(self._kube_config)  # made by the first cloudcore: a join can begin
        click.echo("cloudcore is ready. Next, for each edge:", err=True)
        click.echo(f"   keadm gettoken --kube-config {self._kube_config}", err=True)
        click.echo(f"   keadm join --cloudcore-ipport {await self._address()} --token TOKEN", err=True)

    async def _address(self) -> str:
        """Where edges reach it, as far as that is known here."""
        service = next(obj for obj in manifest.shipped() if obj["kind"] == "Service")
        found = await apply.look(self._client, service) or service
        ports = {port["name"]: port for port in found["spec"]["ports"]}
        key = "nodePort" if found["spec"]["type"] == "NodePort" else "port"
        host = next(iter(self._wishes.advertise), "ADDRESS")
        hub, https = (ports[name].get(key, ports[name]["port"]) for name in ("cloudhub", "cloudhub-https"))
        return f"{host}:{hub}" + (f" --certport {https}" if https != 10002 else "")


def _hub(wanted: Iterable[Object]) -> dict[str, Any]:
    """Block cloudHub of the cloudcore.yaml among the manifests."""
    text = next(obj["data"][CONFIG_KEY] for obj in wanted if obj["kind"] == "ConfigMap")
    hub: dict[str, Any] = yaml.safe_load(text)["modules"]["cloudHub"]
    return hub
