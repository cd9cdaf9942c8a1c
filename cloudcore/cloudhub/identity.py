"""Who this cloud is to its edges: CA, server certificate and join token, kept in Secrets of namespace ``kubeedge``.

Names, keys and forms are those of KubeEdge 1.23 (cloud/pkg/cloudhub/servers/httpserver/pre_server.go), so that each can take over
from the other and ``keadm gettoken`` works with both.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.supervise import Fatal
from kube.client import Client
from kube.objects import Object
from kube.resources import NAMESPACES, SECRETS
from kube.status import AlreadyExists, ApiError, NotFound
from viaduct import token
from viaduct.certificates import (
    Authority,
    CertificateError,
    KeyPair,
    belong_together,
    certificate_der,
    describe,
    issued_by,
    key_der,
)

log = logging.getLogger(__name__)

NAMESPACE: Final = "kubeedge"
CA_SECRET: Final = "casecret"  # noqa: S105 - the name of an object
SERVER_SECRET: Final = "cloudcoresecret"  # noqa: S105
TOKEN_SECRET: Final = "tokensecret"  # noqa: S105
DEADLINE: Final = 15.0
"""Seconds for one call to the Kubernetes API."""


@dataclass(frozen=True)
class Files:
    """Local files that count before the Secrets when both of a pair exist (PEM)."""

    ca: Path
    ca_key: Path
    certificate: Path
    key: Path


@dataclass(frozen=True)
class Reachable:
    """Under what edges dial this cloud. ips, names: must be in the server certificate. extra: both kinds, go into a new one."""

    ips: Sequence[str]
    names: Sequence[str] = ()
    extra: Sequence[str] = ()

    def missing_in(self, pair: KeyPair) -> set[str]:
        info = describe(pair.certificate_der)
        wanted = {str(ipaddress.ip_address(ip)) for ip in self.ips} | {name for name in self.names if name}
        return wanted - set(info.ip_addresses) - set(info.dns_names)

    def all_ips(self) -> list[str]:
        return [*self.ips, *(name for name in self.extra if _is_ip(name))]

    def all_names(self) -> list[str]:
        return [*self.names, *(name for name in self.extra if not _is_ip(name))]


@dataclass(frozen=True)
class Identity:
    """The authority that edges trust, and the certificate that cloudcore shows them."""

    authority: Authority
    server: KeyPair


def secret(name: str, data: dict[str, bytes]) -> Object:
    """An Opaque Secret; the values are raw bytes."""
    encoded = {key: base64.b64encode(value).decode("ascii") for key, value in data.items()}
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": encoded}


def secret_bytes(obj: Object, key: str) -> bytes:
    """One value. Raises Fatal: guessing on would make a second CA that no edge trusts."""
    data = obj.get("data")
    value = data.get(key) if isinstance(data, dict) else None
    try:
        if isinstance(value, str) and value:
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    name = obj.get("metadata", {}).get("name")
    raise Fatal(
        f"Secret {NAMESPACE}/{name} has no usable {key!r}; restore it, or delete it to have a new one made (edges join again)"
    )


async def establish(client: Client, files: Files, reachable: Reachable) -> Identity:
    """Loads or makes the CA and the server certificate. Order as in KubeEdge: files, Secret, new; then written back.

    A certificate in the Secret that lacks a name or address is issued anew (KubeEdge keeps it, and edges fail).
    Raises Fatal, ApiError.
    """
    await ensure_namespace(client)
    authority = await _authority(client, files)
    return Identity(authority, await _server(client, files, authority, reachable))


async def ensure_namespace(client: Client) -> None:
    with trio.fail_after(DEADLINE):
        try:
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        except AlreadyExists:
            pass
        except ApiError as error:
            if error.code != 403:
                raise
            await client.get(NAMESPACES, NAMESPACE)


async def _authority(client: Client, files: Files) -> Authority:
    pair = _local_pair(files.ca, files.ca_key)
    if pair is None:
        found = await _read(client, CA_SECRET)
        if found is None:
            made = Authority.create()
            data = {"cadata": made.certificate_der, "cakeydata": made.key_der}
            # Two replicas may start together: the one that comes second takes what the first has made.
            found = await _create(client, secret(CA_SECRET, data))
            log.info("made a certificate authority, fingerprint %s, in Secret %s/%s", _short(made), NAMESPACE, CA_SECRET)
        pair = secret_bytes(found, "cadata"), secret_bytes(found, "cakeydata")
        return _load_authority(pair, f"Secret {NAMESPACE}/{CA_SECRET}")
    authority = _load_authority(pair, f"{files.ca} and {files.ca_key}")
    await _write(client, secret(CA_SECRET, {"cadata": authority.certificate_der, "cakeydata": authority.key_der}))
    return authority


def _load_authority(pair: tuple[bytes, bytes], origin: str) -> Authority:
    try:
        return Authority.from_der(*pair)
    except CertificateError as error:
        raise Fatal(f"{origin}: {error}; restore the pair that the edges trust") from error


async def _server(client: Client, files: Files, authority: Authority, reachable: Reachable) -> KeyPair:
    pair = _local_pair(files.certificate, files.key)
    if pair is not None:
        found = KeyPair(*pair)
        if not issued_by(found.certificate_der, authority.certificate_der):
            log.warning(
                "%s is not signed by the CA that edges trust (%s...): they will refuse it", files.certificate, _short(authority)
            )
    else:
        stored = await _read(client, SERVER_SECRET)
        kept = _stored_server(stored, authority) if stored is not None else None
        if kept is not None and not (lacking := reachable.missing_in(kept)):
            return kept
        if kept is not None:
            log.warning("the server certificate does not name %s: a new one is issued", ", ".join(sorted(lacking)))
        found = authority.issue_server(reachable.all_names(), reachable.all_ips())
    await _write(client, secret(SERVER_SECRET, {"cloudcoredata": found.certificate_der, "cloudcorekeydata": found.key_der}))
    return found


def _stored_server(stored: Object, authority: Authority) -> KeyPair | None:
    """What the Secret holds, None when that is of no use: a new one costs nothing as long as the CA stays."""
    try:
        pair = KeyPair(secret_bytes(stored, "cloudcoredata"), secret_bytes(stored, "cloudcorekeydata"))
        why = "its key is another one" if not belong_together(pair.certificate_der, pair.key_der) else ""
        if not issued_by(pair.certificate_der, authority.certificate_der):
            why = f"it is not signed by the CA {_short(authority)}..."
    except (Fatal, CertificateError) as error:
        why = str(error)
    if not why:
        return pair
    log.warning("the server certificate in Secret %s/%s is issued anew: %s", NAMESPACE, SERVER_SECRET, why)
    return None


def _short(authority: Authority) -> str:
    return authority.fingerprint[:16]


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _local_pair(certificate: Path, key: Path) -> tuple[bytes, bytes] | None:
    """DER of both, None when neither exists. Raises Fatal when only one does, or one cannot be read."""
    try:
        there = certificate.exists(), key.exists()
        if not any(there):
            return None
        if not all(there):
            missing, other = (key, certificate) if there[0] else (certificate, key)
            raise Fatal(f"{missing} is missing, but {other} exists; provide both, or neither to use the Secrets")
        return certificate_der(certificate.read_bytes()), key_der(key.read_bytes())
    except OSError as error:
        raise Fatal(f"{error.filename}: cannot be read: {error.strerror}") from error
    except CertificateError as error:
        raise Fatal(f"{certificate}, {key}: {error}") from error


async def _read(client: Client, name: str) -> Object | None:
    with trio.fail_after(DEADLINE):
        try:
            return await client.get(SECRETS, name, namespace=NAMESPACE)
        except NotFound:
            return None


async def _create(client: Client, obj: Object) -> Object:
    """Creates, or returns what somebody else has created meanwhile."""
    with trio.fail_after(DEADLINE):
        try:
            return await client.create(SECRETS, obj, namespace=NAMESPACE)
        except AlreadyExists:
            return await client.get(SECRETS, obj["metadata"]["name"], namespace=NAMESPACE)


async def _write(client: Client, obj: Object) -> None:
    with trio.fail_after(DEADLINE):
        try:
            await client.create(SECRETS, obj, namespace=NAMESPACE)
        except AlreadyExists:
            name = obj["metadata"]["name"]
            await client.patch(SECRETS, name, {"data": obj["data"]}, namespace=NAMESPACE, kind="merge")


async def refresh_token(client: Client, authority: Authority, hours: float) -> str:
    """Writes a new join token, valid for twice the refresh time; older ones stay valid until they expire."""
    text = token.mint(authority.key_der, authority.fingerprint, 2 * hours * 3600)
    await _write(client, secret(TOKEN_SECRET, {"tokendata": text.encode("ascii")}))
    return text


async def keep_token_fresh(client: Client, authority: Authority, hours: float) -> None:
    """Refreshes the token for ever. A failure costs a retry, never the refreshing (KubeEdge stops at the first)."""
    delays = Backoff(first=5, limit=300)
    while True:
        await trio.sleep(hours * 3600)
        while True:
            try:
                await refresh_token(client, authority, hours)
            except (ApiError, trio.TooSlowError) as error:
                delay = delays.next()
                log.warning("the join token could not be written (%s); next attempt in %.0f s", error or "too slow", delay)
                await trio.sleep(delay)
            else:
                delays.reset()
                break
