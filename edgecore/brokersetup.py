"""From the configuration file of ``edgecore broker`` to a broker, and again when the file has changed."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import trio

from edgecore import brokerfile
from edgecore.brokerfile import Access, ListenerSettings, Settings
from mqtt import acl, passwords
from mqtt.access import Anything, Authorizer, Identity, Peer
from mqtt.accessfile import AccessFileError
from mqtt.admission import Admission, Terms
from mqtt.broker import Broker, Config
from mqtt.listeners import Listener
from mqtt.passwordcheck import PasswordCheck, hashing_threads
from mqtt.realms import Realms
from viaduct import tls
from viaduct.tls import TlsContext, TlsError

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Rules:
    """What the files say, read and found good. It is put in force as a whole, or not at all."""

    terms: dict[str, Terms]
    authorizer: Authorizer
    listeners: list[Listener]


def read_rules(settings: Settings) -> Rules:
    """Reads passwords, rights, certificates. Raises AccessFileError."""
    listeners = [_listener(each, settings.origin) for each in settings.listeners]
    threads = hashing_threads()
    checks: dict[Path, PasswordCheck] = {}
    terms: dict[str, Terms] = {}
    authorizers: dict[str, Authorizer] = {}
    for listener in settings.listeners:
        access = settings.access_of(listener)
        realm = listener.name if settings.per_listener else ""
        file = access.password_file
        if file is not None and file not in checks:
            checks[file] = PasswordCheck(_loaded(passwords.load, file, "password_file", settings.origin), threads)
        check = checks[file] if file is not None else None
        terms[listener.name] = _terms(listener, access, check, realm)
        if realm not in authorizers:
            rights = access.acl_file
            found = None if rights is None else _loaded(acl.load, rights, "acl_file", settings.origin)
            authorizers[realm] = Anything() if found is None else acl.Acl(found)
    authorizer = Realms(authorizers) if settings.per_listener else authorizers[""]
    return Rules(terms, authorizer, listeners)


def _loaded(load: Callable[[Path], T], file: Path, word: str, origin: str) -> T:
    """What a file holds that ``word`` names in the file ``origin``. Raises AccessFileError, which says so."""
    try:
        return load(file)
    except AccessFileError as error:
        raise AccessFileError(origin, None, f"`{word}`: {error}") from None


def _terms(listener: ListenerSettings, access: Access, check: PasswordCheck | None, realm: str) -> Terms:
    name_from: Literal["certificate name", "certificate subject"] | None = None
    if listener.values.get("use_identity_as_username"):
        name_from = "certificate name"
    elif listener.values.get("use_subject_as_username"):
        name_from = "certificate subject"
    own_id = bool(listener.values.get("use_username_as_clientid"))
    return Terms(bool(access.anonymous), check, name_from, own_id, realm, _trust(listener))


def _trust(listener: ListenerSettings) -> bytes:
    """A digest of what says which certificates of clients are good; empty where none is asked for."""
    if not listener.values.get("require_certificate"):
        return b""
    digest = hashlib.sha256()
    for word in ("cafile", "crlfile"):
        file: Path | None = listener.values.get(word)
        try:
            digest.update(b"\0" if file is None else hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise AccessFileError(str(file), None, f"cannot be read: {error.strerror}") from None
    return digest.digest()


def _listener(settings: ListenerSettings, origin: str) -> Listener:
    try:
        context = _context(settings)
    except TlsError as error:
        raise AccessFileError(origin, settings.line or None, f"listener {settings.name}: {error}") from None
    values = settings.values
    return Listener(
        settings.address,
        settings.port,
        settings.path,
        values.get("socket_mode", 0o600),
        context,
        settings.name,
        websocket=values.get("protocol") == "websockets",
        origins=frozenset(values.get("websockets_origin", ())),
        connections=values.get("max_connections", 0),
    )


def _context(settings: ListenerSettings) -> TlsContext | None:
    values = settings.values
    if "certfile" not in values:
        return None
    return tls.server_context(
        certificate=values["certfile"],
        key=values["keyfile"],
        client_ca=values.get("cafile"),
        client_certificates="required" if values.get("require_certificate") else "none",
        revoked=values.get("crlfile"),
        minimum=values.get("tls_version", "tlsv1.2"),
    )


def _warn(settings: Settings, terms: Mapping[str, Terms]) -> None:
    """Of what is allowed, and perhaps not meant."""
    for listener in settings.listeners:
        access = settings.access_of(listener)
        if not _lets_in(terms[listener.name]):
            log.warning(
                "listener %s lets nobody in: name users in a password_file, "
                "or set allow_anonymous true for clients of this machine",
                listener.name,
            )
        if listener.path is not None or _is_loopback(listener.address):
            continue
        if access.anonymous:
            log.warning("listener %s: clients without a name are let in from this machine only", listener.name)
        if access.password_file is not None and "certfile" not in listener.values:
            log.warning("listener %s: passwords are readable on their way; with certfile and keyfile they are not", listener.name)
    _warn_of_files(settings)


def _lets_in(terms: Terms) -> bool:
    return terms.anonymous or terms.name_from is not None or (terms.passwords is not None and bool(terms.passwords.users))


def _warn_of_files(settings: Settings) -> None:
    files: set[Path | None] = {settings.access_of(each).password_file for each in settings.listeners}
    files |= {each.values.get("keyfile") for each in settings.listeners}
    for file in sorted(each for each in files if each is not None):
        with suppress(OSError):
            if file.stat().st_mode & 0o007:
                log.warning("%s is open to all users of this machine: chmod o= it", file)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


class Setup:
    """A broker by its file."""

    def __init__(self, settings: Settings) -> None:
        """Raises AccessFileError."""
        self._rules = read_rules(settings)
        _warn(settings, self._rules.terms)
        self._settings = settings
        self._turn = trio.Lock()
        self._admission = Admission(self._rules.terms)
        self.config = Config(self._rules.listeners, settings.limits, self._admission, self._rules.authorizer)
        self.config.sys_interval = float(settings.sys_interval)

    async def reload(self, path: Path, broker: Broker) -> None:
        """Takes over passwords, rights and certificates. Raises AccessFileError; nothing has changed then."""
        async with self._turn:
            await self._reload(path, broker)

    async def _reload(self, path: Path, broker: Broker) -> None:
        settings, rules = await trio.to_thread.run_sync(_read, path, limiter=trio.CapacityLimiter(1))
        if _fixed(settings) != _fixed(self._settings):
            log.warning("%s: what is said of listeners, limits or persistence has changed: restart for that", settings.origin)
        _warn_of_files(settings)
        before, self._admission.terms = self._admission.terms, rules.terms
        contexts = {each.name: each.tls for each in rules.listeners if each.tls is not None}

        def admitted(identity: Identity, peer: Peer) -> bool:
            return self._admission.still_admits(identity, peer, before)

        broker.change_access(rules.authorizer, contexts, admitted)


def _read(path: Path) -> tuple[Settings, Rules]:
    """Off the loop: a file of a hundred thousand users takes a second."""
    settings = brokerfile.load(path)
    return settings, read_rules(settings)


def _fixed(settings: Settings) -> object:
    """What a running broker does not take over."""
    kept = ("protocol", "websockets_origin", "max_connections", "socket_mode")
    listeners = [(each.name, "certfile" in each.values, *(each.values.get(word) for word in kept)) for each in settings.listeners]
    return listeners, settings.limits, settings.persistence, settings.sys_interval
