"""Composition: who starts, in which order, and who is wired to whom. Read it beside the diagram of docs/architecture.md."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.supervise import Fatal, supervise
from cloudcore import config as configuration
from cloudcore import material, monitor
from cloudcore.cloudhub import identity
from cloudcore.cloudhub.certificate_server import CertificateServer
from cloudcore.cloudhub.hub import CloudHub
from cloudcore.cloudhub.identity import Identity
from cloudcore.config import CloudCoreConfig, Listener
from cloudcore.edgecontroller.downstream import Downstream
from cloudcore.edgecontroller.request import World
from cloudcore.edgecontroller.upstream import Upstream
from cloudcore.monitor import Monitor
from kube import kubeconfig
from kube.client import Client
from kube.election import Election
from kube.kubeconfig import Connection, KubeconfigError
from kube.leader import Leader
from kube.status import ApiError
from kube.throttle import Throttle
from kube.transport import Limits as ClientLimits
from kube.transport import Observer
from viaduct import tls, websocket
from viaduct.http_server import serve_http
from viaduct.link import Limits
from viaduct.listen import open_listeners, port_of
from viaduct.tls import TlsContext, TlsError

log = logging.getLogger(__name__)

CONNECTIONS: Final = 256
"""To the Kubernetes API, at once."""
REACH: Final = 20.0
"""Seconds in which the Kubernetes API must answer once at the start."""
LEADER: Final = "cloudcore"
"""Lease in namespace ``kubeedge`` of the cloudcore that leads."""


@dataclass(frozen=True)
class Running:
    """What a started cloudcore listens on. https_port, monitor_port: 0 when it is switched off. kubeconfig: the file through
    which its Kubernetes API is reached, if any."""

    websocket_port: int
    https_port: int
    kubeconfig: Path | None
    monitor_port: int = 0


async def serve(config: CloudCoreConfig, *, task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED) -> None:
    """Runs the cloud half until it is cancelled; reports what it listens on when it is ready.

    Raises Fatal when it cannot start.
    """
    hub = config.modules.cloud_hub
    for notice in configuration.notices(config):
        log.warning(notice)
    watched = Monitor()
    async with AsyncExitStack() as doors, trio.open_nursery() as nursery:
        monitoring = await monitor.start(doors, nursery, config.common_config.monitor_server, watched)
        edges = await _open(doors, hub.websocket, "edges (modules.cloudHub.websocket)")
        joins = await _open(doors, hub.https, "joining (modules.cloudHub.https)") if hub.https.enable else []
        if config.standalone.enable:
            await _start_embedded_api(nursery, config)
        connection = _connection(config)
        async with _reached(connection, _throttle(config), watched.api) as client:
            who = await _identify(config, client)
            running = Running(port_of(edges), port_of(joins) if joins else 0, _kubeconfig_path(config), monitoring)
            await _Cloud(config, client, connection, who, watched).run(edges, joins, running, task_status)


async def _open(doors: AsyncExitStack, where: Listener, purpose: str) -> list[trio.SocketListener]:
    """Before anything else, so that a port in use is known at once; ``doors`` closes them. Raises Fatal."""
    listeners = await open_listeners(where.address, where.port, purpose=purpose)
    for listener in listeners:
        doors.push_async_callback(listener.aclose)
    return listeners


class _Cloud:
    """Everything that stands on a reachable Kubernetes API and a known identity."""

    def __init__(self, config: CloudCoreConfig, client: Client, connection: Connection, who: Identity, watched: Monitor) -> None:
        self._config = config
        self._client = client
        self._who = who
        self._name = f"{socket.gethostname()}_{uuid.uuid4()}"
        settings = config.modules.cloud_hub
        address = local_address()
        alone = config.standalone.enable
        downstream = Downstream(client, identity=self._name, alone=alone, address=address, node_gone=self._node_gone)
        world = World(client, downstream.cluster, address=address, refill=downstream.refill, stray=downstream.stray)
        upstream = Upstream(world, apiserver_ca=(connection.ca or b"").decode())
        self._downstream = downstream
        self._hub = CloudHub(downstream, upstream, node_limit=settings.node_limit, keepalive=settings.keepalive_interval)
        self._monitor, watched.edges = watched, self._hub

    def _node_gone(self, node: str) -> None:
        self._hub.disconnect(node, "its Node was deleted")

    async def run(
        self,
        edges: list[trio.SocketListener],
        joins: list[trio.SocketListener],
        running: Running,
        task_status: trio.TaskStatus[Running],
    ) -> None:
        """Starts controllers first, then the doors: an edge that comes in is compared with a complete picture."""
        hub, client, who = self._config.modules.cloud_hub, self._client, self._who
        links, https = server_contexts(who)
        certificates = CertificateServer(client, who.authority, days=hub.edge_cert_signing_duration)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._downstream.run)
            nursery.start_soon(self._lead)
            if joins:
                await nursery.start(partial(serve_http, certificates, joins, tls=https))
            serve_edges = partial(
                websocket.serve,
                edges,
                tls=links,
                handler=self._hub.handle,
                limits=Limits(write=hub.write_timeout),
                max_connections=hub.node_limit + 64,
            )
            await nursery.start(serve_edges)
            joining = f"joining on port {running.https_port}" if joins else "no joining"
            self._monitor.serving = True
            log.info("ready: edges on port %d, %s", running.websocket_port, joining)
            task_status.started(running)

    async def _lead(self) -> None:
        """What one cloudcore does for all. The embedded API belongs to this process: nobody stands against it."""
        if self._config.standalone.enable:
            await self._duties()
        else:
            leader = Leader(self._client, Election(identity.NAMESPACE, LEADER, self._name))
            self._monitor.leader = lambda: leader.leading
            await supervise("election", partial(leader.run, self._duties))

    async def _duties(self) -> None:
        hours = self._config.modules.cloud_hub.token_refresh_duration
        async with trio.open_nursery() as nursery:
            refresh = partial(identity.keep_token_fresh, self._client, self._who.authority, hours)
            nursery.start_soon(supervise, "token", refresh)
            nursery.start_soon(supervise, "removed nodes", self._downstream.forget_removed_nodes)


async def _start_embedded_api(nursery: trio.Nursery, config: CloudCoreConfig) -> None:
    from cloudcore.apiserver.server import serve as serve_api
    from cloudcore.apiserver.settings import ApiServerSettings

    own = config.standalone
    settings = ApiServerSettings(
        data_dir=Path(own.data_dir),
        address=own.address,
        port=own.port,
        advertise=tuple(dict.fromkeys([*_addresses(config), *_names(config)])),
        kubeconfig=Path(own.kube_config),
    )
    try:
        await nursery.start(serve_api, settings)
    except OSError as error:
        raise Fatal(f"the embedded Kubernetes API cannot start: {error.filename or own.data_dir}: {error.strerror}") from error


def _kubeconfig_path(config: CloudCoreConfig) -> Path | None:
    if config.standalone.enable:
        return Path(config.standalone.kube_config)
    return Path(config.kube_api_config.kube_config) if config.kube_api_config.kube_config else None


def _connection(config: CloudCoreConfig) -> Connection:
    """How to reach the Kubernetes API; ``master`` counts before the address in the kubeconfig, as in KubeEdge. Raises Fatal."""
    path, master = _kubeconfig_path(config), config.kube_api_config.master
    try:
        if path is not None:
            found = kubeconfig.load(path)
            return replace(found, server=master) if master and not config.standalone.enable else found
        if master:
            return Connection(server=master)
        return kubeconfig.in_cluster()
    except KubeconfigError as error:
        advice = "" if path else "; set kubeAPIConfig.kubeConfig, or start with --standalone for a Kubernetes API of its own"
        raise Fatal(f"no way to the Kubernetes API: {error}{advice}") from error


def _throttle(config: CloudCoreConfig) -> Throttle | None:
    """As configured. KubeEdge replaces both numbers by multiples of nodeLimit, whatever the file says. None: no bound (qps 0 or
    less), nor for the embedded API, which lives in this process."""
    rate, burst = config.kube_api_config.qps, config.kube_api_config.burst
    return Throttle(rate, max(burst, 1)) if rate > 0 and not config.standalone.enable else None


@asynccontextmanager
async def _reached(connection: Connection, throttle: Throttle | None, observe: Observer) -> AsyncIterator[Client]:
    """A client whose API has answered. Raises Fatal when it does not."""
    async with kube_client(connection, throttle, observe) as client:
        try:
            with trio.fail_after(REACH):
                await client.request("GET", "/version")
        except trio.TooSlowError as error:
            raise Fatal(f"the Kubernetes API at {connection.server} did not answer within {REACH:.0f} s") from error
        except ApiError as error:
            raise Fatal(f"the Kubernetes API at {connection.server} cannot be used: {error}") from error
        yield client


def kube_client(connection: Connection, throttle: Throttle | None = None, observe: Observer | None = None) -> Client:
    """One pool of connections for all nodes: wide enough that those which wait for a slow answer do not starve the others.

    Raises Fatal.
    """
    return Client(
        connection.server,
        tls=client_context(connection),
        token=connection.bearer,
        user_agent="cloudcore",
        server_name=connection.server_name,
        limits=ClientLimits(connections=CONNECTIONS),
        throttle=throttle,
        observe=observe,
    )


def client_context(connection: Connection) -> TlsContext | None:
    """TLS toward the Kubernetes API; None for plain http. Raises Fatal."""
    if connection.server.startswith("http://"):
        return None
    try:
        if connection.certificate is None or connection.key is None:
            return tls.client_context(ca=connection.ca)
        return tls.client_context(ca=connection.ca, certificate=connection.certificate, key=connection.key)
    except TlsError as error:
        raise Fatal(f"{connection.source or connection.server}: {error}") from error


def server_contexts(who: Identity) -> tuple[TlsContext, TlsContext]:
    """For edges, whose certificate is required, and for joining, where one is welcome. Raises Fatal."""
    pem = who.authority.certificate_pem, who.server.certificate_pem, who.server.key_pem
    try:
        with material.files(*pem) as (ca, certificate, key):
            required = tls.server_context(certificate=certificate, key=key, client_ca=ca, client_certificates="required")
            optional = tls.server_context(certificate=certificate, key=key, client_ca=ca, client_certificates="optional")
            return required, optional
    except TlsError as error:
        raise Fatal(f"the server certificate of CloudHub cannot be used: {error}") from error


async def _identify(config: CloudCoreConfig, client: Client) -> Identity:
    """CA, server certificate and a good join token. Raises Fatal."""
    hub = config.modules.cloud_hub
    paths = [hub.tls_ca_file, hub.tls_ca_key_file, hub.tls_cert_file, hub.tls_private_key_file]
    files = identity.Files(*(Path(path) for path in paths))
    extra = ["127.0.0.1", "localhost", socket.gethostname()]
    reachable = identity.Reachable(_addresses(config), _names(config), extra)
    delays, until = Backoff(first=0.5, limit=5.0), trio.current_time() + REACH
    while True:
        try:
            who = await identity.establish(client, files, reachable)
            await identity.ensure_token(client, who.authority, hub.token_refresh_duration)
            return who
        except (ApiError, trio.TooSlowError) as error:
            why, delay = error if str(error) else "too slow", delays.next()
            what = f"CA and token could not be read from or written to namespace {identity.NAMESPACE}: {why}"
            if isinstance(error, ApiError) and error.code == 403:
                what += ". Has the user of the kubeconfig the rights of packaging/kubernetes/rbac.yaml?"
            if (isinstance(error, ApiError) and not _may_pass(error)) or trio.current_time() + delay > until:
                raise Fatal(what) from error
        log.warning("%s; next attempt in %.1f s", what, delay)
        await trio.sleep(delay)


def _may_pass(error: ApiError) -> bool:
    """What an API server says that is overloaded or has just started; nothing that a person has to mend."""
    return error.code == 429 or error.code >= 500


def _addresses(config: CloudCoreConfig) -> list[str]:
    return [address for address in config.modules.cloud_hub.advertise_address if address] or [local_address()]


def _names(config: CloudCoreConfig) -> list[str]:
    return [name for name in config.modules.cloud_hub.dns_names if name]


def local_address() -> str:
    """The address from which this machine reaches others; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
    return address
