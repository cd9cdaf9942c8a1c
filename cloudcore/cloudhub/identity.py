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
from kube import objects
from kube.client import Client
from kube.objects import Object
from kube.resources import NAMESPACES, SECRETS
from kube.status import AlreadyExists, ApiError, Conflict, NotFound
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
MOST_NAMES: Final = 64
"""Names, and addresses, in one server certificate."""


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

    def together_with(self, kept: KeyPair | None) -> tuple[list[str], list[str]]:
        """(names, addresses) of a certificate that also serves those whom the present one serves. Ours come first: of what
        pods had that are long gone, the oldest is dropped in the end."""
        old = describe(kept.certificate_der) if kept is not None else None
        names = [*(name for name in self.names if name), *(name for name in self.extra if not _is_ip(name))]
        ips = [str(ipaddress.ip_address(ip)) for ip in [*self.ips, *filter(_is_ip, self.extra)]]
        if old is not None:
            names += old.dns_names
            ips += old.ip_addresses
        return list(dict.fromkeys(names))[:MOST_NAMES], list(dict.fromkeys(ips))[:MOST_NAMES]


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
    """One for all cloudcores of this API: whoever creates the Secret first decides, and nobody replaces it."""
    pair = _local_pair(files.ca, files.ca_key)
    own = _load_authority(pair, f"{files.ca} and {files.ca_key}") if pair is not None else None
    found = await _read(client, CA_SECRET)
    if found is None:
        made = own or Authority.create()
        offered = secret(CA_SECRET, {"cadata": made.certificate_der, "cakeydata": made.key_der})
        found = await _create(client, offered)
        if found.get("data") == offered["data"]:
            origin = "the local files" if own else "new"
            log.info("certificate authority %s (%s) is in Secret %s/%s", _short(made), origin, NAMESPACE, CA_SECRET)
    kept = secret_bytes(found, "cadata"), secret_bytes(found, "cakeydata")
    shared = _load_authority(kept, f"Secret {NAMESPACE}/{CA_SECRET}")
    if own is not None and own.fingerprint != shared.fingerprint:
        raise Fatal(
            f"Secret {NAMESPACE}/{CA_SECRET} holds another CA ({_short(shared)}...) than {files.ca} ({_short(own)}...): edges "
            "that joined trust the one in the Secret. Take the files away to go on with it; to make the files the CA of all, "
            f"stop every cloudcore and delete Secret {NAMESPACE}/{CA_SECRET}; the edges join again then"
        )
    return shared


def _load_authority(pair: tuple[bytes, bytes], origin: str) -> Authority:
    try:
        return Authority.from_der(*pair)
    except CertificateError as error:
        raise Fatal(f"{origin}: {error}; restore the pair that the edges trust") from error


async def _server(client: Client, files: Files, authority: Authority, reachable: Reachable) -> KeyPair:
    """A local pair serves this cloudcore alone. The one in the Secret is for all: it gets the names of each of them."""
    pair = _local_pair(files.certificate, files.key)
    if pair is not None:
        found = KeyPair(*pair)
        if not issued_by(found.certificate_der, authority.certificate_der):
            log.warning(
                "%s is not signed by the CA that edges trust (%s...): they will refuse it", files.certificate, _short(authority)
            )
        await _create(client, _server_secret(found))
        return found
    while True:
        stored = await _read(client, SERVER_SECRET)
        kept = _stored_server(stored, authority) if stored is not None else None
        lacking = reachable.missing_in(kept) if kept is not None else set()
        if kept is not None and not lacking:
            return kept
        if lacking:
            log.warning("the server certificate does not name %s: a new one is issued", ", ".join(sorted(lacking)))
        made = authority.issue_server(*reachable.together_with(kept))
        if await _put(client, _server_secret(made), stored):
            return made
        # Another cloudcore was faster: its certificate may do, and must not lose its names.


def _server_secret(pair: KeyPair) -> Object:
    return secret(SERVER_SECRET, {"cloudcoredata": pair.certificate_der, "cloudcorekeydata": pair.key_der})


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


async def _put(client: Client, obj: Object, seen: Object | None) -> bool:
    """Creates, or replaces what was ``seen`` and nothing else. False: somebody else was faster."""
    with trio.fail_after(DEADLINE):
        try:
            if seen is None:
                await client.create(SECRETS, obj, namespace=NAMESPACE)
            else:
                patch = {"metadata": {"resourceVersion": objects.resource_version(seen)}, "data": obj["data"]}
                await client.patch(SECRETS, objects.name(obj), patch, namespace=NAMESPACE, kind="merge")
        except (AlreadyExists, Conflict, NotFound):
            return False
    return True


async def ensure_token(client: Client, authority: Authority, hours: float) -> float:
    """Leaves a join token in its Secret that is good for more than half of its life of twice ``hours``, whoever made it. Older
    ones stay good until they expire. Returns for how many seconds it is good. Raises ApiError, trio.TooSlowError."""
    life = 2 * hours * 3600
    while True:
        stored = await _read(client, TOKEN_SECRET)
        if life / 2 < (left := _seconds_left(stored, authority)) <= life:
            return left
        text = token.mint(authority.key_der, authority.fingerprint, life)
        if await _put(client, secret(TOKEN_SECRET, {"tokendata": text.encode("ascii")}), stored):
            return life


def _seconds_left(stored: Object | None, authority: Authority) -> float:
    """0 for a token that nobody can join with."""
    try:
        found = token.JoinToken.parse(secret_bytes(stored or {}, "tokendata").decode("ascii"))
        if found.fingerprint != authority.fingerprint:
            return 0.0
        return token.seconds_left(found.jwt, authority.key_der)
    except (Fatal, token.TokenError, UnicodeError):
        return 0.0


async def keep_token_fresh(client: Client, authority: Authority, hours: float) -> None:
    """Refreshes the token for ever, each time when half of its life is over, whoever made it. A failure costs a retry, never the
    refreshing (KubeEdge stops at the first)."""
    delays = Backoff(first=5, limit=300)
    while True:
        try:
            left = await ensure_token(client, authority, hours)
        except (ApiError, trio.TooSlowError) as error:
            delay = delays.next()
            log.warning("the join token could not be written (%s); next attempt in %.0f s", error or "too slow", delay)
            await trio.sleep(delay)
        else:
            delays.reset()
            await trio.sleep(left - hours * 3600 + 1)
