"""The node's certificate: gets it with the join token, checks it, renews it (protocol 4.4).

Better than KubeEdge: an expired certificate falls back to the token, and a crash between the two files of a pair heals.
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import trio

from beehive.backoff import Backoff
from beehive.files import write_atomically
from edgecore.edgehub import validity
from edgecore.edgehub.validity import Validity
from viaduct import tls
from viaduct.tls import TlsContext

log = logging.getLogger(__name__)

_LONGEST_SLEEP: Final = 3600.0
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_JOIN_AGAIN: Final = (
    "get a token from the cloud with `keadm gettoken` and put it in modules.edgeHub.token of edgecore.yaml, "
    "or run `keadm join` again"
)


class NotReady(Exception):
    """There is no way to a certificate now. The text says why and what to do."""


class Need(Enum):
    """What a start calls for."""

    NOTHING = "nothing"
    ENROL = "enrol"


@dataclass(frozen=True)
class Files:
    """Where the three files are."""

    authority: Path
    certificate: Path
    key: Path


def judge(found: Validity | None, *, why_none: str, node: str, now: float, has_token: bool) -> tuple[Need, str]:
    """What to do with the certificate on disk; the text is a warning, or why we enrol.

    Raises NotReady when it is of no use and there is no token. now: seconds since the epoch.
    """
    if found is None:
        problem = why_none
    elif found.common_name != f"system:node:{node}":
        problem = f"the certificate is for {found.common_name!r}, this node needs 'system:node:{node}'"
    elif now >= found.not_after:
        problem = f"the certificate expired at {_when(found.not_after)} (the clock here says {_when(now)})"
    elif now < found.not_before:
        text = f"the clock here says {_when(now)}, but the certificate starts at {_when(found.not_before)}: set the clock"
        return Need.NOTHING, text
    else:
        return Need.NOTHING, ""
    if has_token:
        return Need.ENROL, problem
    raise NotReady(f"{problem}, and there is no join token: {_JOIN_AGAIN}")


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


class Certificates:
    """token: asked anew at each attempt, "" when there is none. enrolled: called once certificates are on disk.
    settle: seconds that a link must be up before its certificate is renewed."""

    def __init__(
        self,
        files: Files,
        *,
        server: str,
        node: str,
        token: Callable[[], str],
        enrolled: Callable[[], None],
        rotate: bool = True,
        settle: float = 60.0,
    ) -> None:
        self._files = files
        self._server = server.rstrip("/")
        self._node = node
        self._token = token
        self._enrolled = enrolled
        self._rotate = rotate
        self._settle = settle
        self._warned = ""
        self._limiter = trio.CapacityLimiter(1)

    # -- at each connect ---------------------------------------------------------------------------------------------

    async def ready(self) -> TlsContext:
        """The TLS context for the link; gets a certificate first if need be.

        Raises NotReady, or TlsError when the files cannot be used.
        """
        try:
            return await self._ready()
        except OSError as error:
            raise NotReady(f"the certificate files cannot be used: {error}") from error

    async def _ready(self) -> TlsContext:
        need, text = await trio.to_thread.run_sync(self._look, limiter=self._limiter)
        if text and text != self._warned:
            log.warning("%s", text)
        self._warned = text
        if need is Need.ENROL:
            await self._enrol()
        else:
            await trio.to_thread.run_sync(self._enrolled, limiter=self._limiter)
        return await trio.to_thread.run_sync(self._context, limiter=self._limiter)

    def _look(self) -> tuple[Need, str]:
        finish_replacing(self._files)
        found, why_none = self._read()
        if found is not None and not self._files.authority.exists():
            found, why_none = None, f"there is no CA certificate at {self._files.authority}"
        if found is not None:
            try:
                self._context()
            except tls.TlsError as error:
                found, why_none = None, str(error)
        token = self._token()
        if found is not None and token and self._is_for_another_cluster(token):
            found, why_none = None, "the join token is for another cluster than the certificate here"
        return judge(found, why_none=why_none, node=self._node, now=time.time(), has_token=bool(token))

    def _is_for_another_cluster(self, token: str) -> bool:
        """The cloud was set up anew, or the node moves: whoever gave us a token wants it used. What is no token at all must
        not take a good certificate out of use."""
        fingerprint = token.partition(".")[0].lower()
        if not _FINGERPRINT.fullmatch(fingerprint):
            return False
        try:
            authority = validity.der(self._files.authority.read_bytes())
        except validity.UnreadableCertificate:
            return True
        return hashlib.sha256(authority).hexdigest() != fingerprint

    def _read(self) -> tuple[Validity | None, str]:
        path = self._files.certificate
        try:
            return validity.read(path.read_bytes()), ""
        except FileNotFoundError:
            return None, f"there is no certificate at {path}"
        except OSError as error:
            return None, f"the certificate {path} cannot be read: {error.strerror}"
        except validity.UnreadableCertificate:
            return None, f"{path} is not a certificate"

    def _context(self) -> TlsContext:
        return tls.client_context(ca=self._files.authority, certificate=self._files.certificate, key=self._files.key)

    async def _enrol(self) -> None:
        from viaduct import certificates, enrol
        from viaduct.token import JoinToken, TokenError

        try:
            token = JoinToken.parse(self._token())
        except TokenError as error:
            raise NotReady(f"the join token cannot be used: {error}; {_JOIN_AGAIN}") from error
        try:
            authority = certificates.certificate_pem(await enrol.fetch_authority(self._server, token.fingerprint))
            key_pem, csr_der = certificates.new_request(self._node)
            der = await enrol.request_certificate(self._server, node=self._node, csr_der=csr_der, ca_pem=authority, jwt=token.jwt)
        except enrol.EnrolError as error:
            raise NotReady(str(error)) from error
        pem = certificates.certificate_pem(der)
        await trio.to_thread.run_sync(self._write, pem, key_pem, authority, limiter=self._limiter)
        log.info("the cloud at %s issued a certificate for node %s", self._server, self._node)

    def _write(self, certificate: bytes, key: bytes, authority: bytes | None) -> None:
        replace_pair(self._files, certificate, key)
        if authority is not None:  # last: until it stands there, a start sees that the token has more to do
            write_atomically(self._files.authority, authority, mode=0o644)
        self._enrolled()

    # -- while connected ---------------------------------------------------------------------------------------------

    async def renewed(self) -> None:
        """Returns once the certificate was renewed, which needs a reconnect. Sleeps for ever if that is switched off."""
        if not self._rotate:
            await trio.sleep_forever()
        await self._sleep_until_due()
        delays = Backoff(first=2.0, limit=32.0, jitter=0.1)
        said = ""
        while True:
            try:
                await self._renew()
                return
            except Exception as error:
                if str(error) != said:
                    log.warning("the certificate cannot be renewed yet: %s", error)
                said = str(error)
            await trio.sleep(delays.next())

    async def _sleep_until_due(self) -> None:
        found, _ = await trio.to_thread.run_sync(self._read, limiter=self._limiter)
        if found is None:
            return
        share = random.uniform(0.7, 0.9)  # noqa: S311 - spreads the load of many edges, hides nothing
        due = found.not_before + share * (found.not_after - found.not_before)
        await trio.sleep(self._settle)  # a clock that is far ahead must not make a loop of this
        while (left := due - time.time()) > 0:  # noqa: ASYNC110 - the wall clock decides, and it may jump
            await trio.sleep(min(left, _LONGEST_SLEEP))

    async def _renew(self) -> None:
        from viaduct import certificates, enrol

        key_pem, csr_der = certificates.new_request(self._node)
        authority = await trio.to_thread.run_sync(self._files.authority.read_bytes, limiter=self._limiter)
        identity = (self._files.certificate, self._files.key)
        der = await enrol.request_certificate(self._server, node=self._node, csr_der=csr_der, ca_pem=authority, identity=identity)
        await trio.to_thread.run_sync(self._write, certificates.certificate_pem(der), key_pem, None, limiter=self._limiter)
        log.info("the certificate of node %s was renewed", self._node)


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def replace_pair(files: Files, certificate: bytes, key: bytes) -> None:
    """Both files change, or after a crash ``finish_replacing`` makes it so."""
    write_atomically(_new(files.key), key)
    write_atomically(_new(files.certificate), certificate, mode=0o644)
    finish_replacing(files)


def finish_replacing(files: Files) -> None:
    """Ends what ``replace_pair`` began, or undoes it when it had not both new files yet."""
    new_key, new_certificate = _new(files.key), _new(files.certificate)
    if not new_certificate.exists():
        new_key.unlink(missing_ok=True)
        return
    if new_key.exists():
        new_key.replace(files.key)
    new_certificate.replace(files.certificate)
