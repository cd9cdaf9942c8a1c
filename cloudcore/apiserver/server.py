"""The embedded Kubernetes API: store, controllers and HTTPS in one nursery."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Final

import trio

from beehive.sqlite import StoreError
from beehive.supervise import Fatal, supervise
from cloudcore.apiserver import credentials, events
from cloudcore.apiserver.accounts import Accounts
from cloudcore.apiserver.api import Api
from cloudcore.apiserver.app import Application
from cloudcore.apiserver.apps import controllers as apps
from cloudcore.apiserver.binder import Binder
from cloudcore.apiserver.crd.definitions import Definitions
from cloudcore.apiserver.lock import exclusive
from cloudcore.apiserver.namespaces import Namespaces
from cloudcore.apiserver.node_lifecycle import NodeLifecycle
from cloudcore.apiserver.registry import Registry
from cloudcore.apiserver.settings import ApiServerSettings
from cloudcore.apiserver.store import Store
from cloudcore.apiserver.tokens import Tokens
from kube.resources import NAMESPACES
from viaduct.certificates import CertificateError
from viaduct.http_server import serve_http
from viaduct.listen import open_listeners, port_of
from viaduct.tls import TlsError, server_context

log = logging.getLogger(__name__)

_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease", "kubeedge")
_EVENTS_EVERY: Final = 60.0


async def serve(settings: ApiServerSettings, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Serves until cancelled; reports its port once requests are answered and the kubeconfig is written.

    Raises Fatal: the port is taken, the data cannot be read or written, or another process has them.
    """
    store = Store(settings.data_dir / "kubernetes.db")
    try:
        with exclusive(settings.data_dir):
            await trio.to_thread.run_sync(store.open)
            try:
                await _serve(settings, store, task_status)
            finally:
                store.close()
    except OSError as error:
        where = f"{error.filename or settings.data_dir}: {error.strerror or error}"
        raise Fatal(f"the embedded Kubernetes API cannot start: {where}; its files are in standalone.dataDir") from error
    except (StoreError, CertificateError, TlsError) as error:
        raise Fatal(f"the embedded Kubernetes API cannot start: {error}") from error


async def _serve(settings: ApiServerSettings, store: Store, task_status: trio.TaskStatus[int]) -> None:
    made = await trio.to_thread.run_sync(credentials.prepare, settings)
    tokens = await trio.to_thread.run_sync(Tokens.load, settings.data_dir / "pki" / "sa.key")
    tls = server_context(
        certificate=made.certificate_file, key=made.key_file, client_ca=made.ca_file, client_certificates="optional"
    )
    api = Api(store, Registry())
    app = Application(api, Accounts(api, tokens))
    async with AsyncExitStack() as doors, trio.open_nursery() as nursery:
        listeners = await open_listeners(settings.address, settings.port, purpose="the embedded Kubernetes API")
        for listener in listeners:
            doors.callback(listener.socket.close)  # also when the start fails
        port = port_of(listeners)
        # The store outlives whoever writes to it: shielded, and ended by hand when all others have ended.
        store_scope = await nursery.start(_run_store, store)
        try:
            async with trio.open_nursery() as inner:
                definitions = Definitions(api)
                try:
                    await _create_namespaces(api)
                    await definitions.load()
                except StoreError as error:
                    raise Fatal(f"the embedded Kubernetes API cannot start: {error}") from error
                try:
                    await trio.to_thread.run_sync(credentials.write_kubeconfig, settings, made, port)
                except OSError as error:
                    raise Fatal(f"cannot write the kubeconfig {settings.kubeconfig}: {error.strerror}") from error
                await inner.start(lambda task_status: serve_http(app, listeners, tls=tls, task_status=task_status))
                _start_controllers(api, inner)
                inner.start_soon(supervise, "definitions", definitions.run)
                log.info("Kubernetes API on %s, kubeconfig %s", credentials.server_url(settings, port), settings.kubeconfig)
                task_status.started(port)
        finally:
            store_scope.cancel()


async def _run_store(store: Store, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope(shield=True) as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            task_status.started(scope)


def _start_controllers(api: Api, nursery: trio.Nursery) -> None:
    async def expire_events() -> None:
        while True:
            await events.expire(api)
            await trio.sleep(_EVENTS_EVERY)

    nursery.start_soon(supervise, "binder", Binder(api).run)
    nursery.start_soon(supervise, "node lifecycle", NodeLifecycle(api).run)
    nursery.start_soon(supervise, "namespaces", Namespaces(api).run)
    nursery.start_soon(supervise, "events", expire_events)
    apps.start(api, nursery)


async def _create_namespaces(api: Api) -> None:
    kind = api.registry.of(NAMESPACES)
    for name in _NAMESPACES:
        if api.store.get(kind.key, "", name) is None:
            await api.create(kind, "", {"metadata": {"name": name}})
