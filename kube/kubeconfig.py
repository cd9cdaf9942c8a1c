"""Where the API is and who we are there: kubeconfig files, and the service account of a pod in the cluster."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_SIZE: Final = 4 * 1024 * 1024


class KubeconfigError(Exception):
    """The file cannot be used. The text names the file, the key in it and what to do."""


@dataclass(frozen=True)
class Connection:
    """What is needed to speak to an API server.

    ca: PEM of the authorities that may sign its certificate; None means those of the system. certificate, key: PEM, for a
    client certificate. token_file: read anew for each use, because the cluster renews it; it counts before ``token``.
    server_name: the name in the server's certificate, where it is not that of ``server``.
    """

    server: str
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str = ""
    token_file: Path | None = None
    namespace: str = "default"
    server_name: str = ""
    source: str = ""

    def bearer(self) -> str:
        """The token of this moment, "" without one.

        Raises KubeconfigError when the token file cannot be read.
        """
        if self.token_file is None:
            return self.token
        return _read(self.token_file, f"the token for {self.server}").decode(errors="replace").strip()


def load(path: Path, context: str | None = None) -> Connection:
    """Reads a kubeconfig file; ``context`` None means its current-context.

    Raises KubeconfigError.
    """
    import yaml

    text = _read(path, "the kubeconfig")
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both loaders are safe
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise KubeconfigError(f"{path}: a mapping with clusters, users and contexts is expected, not {type(found).__name__}")
    return _Reader(path, found).connection(context)


def from_environment(environ: Mapping[str, str] | None = None) -> Connection:
    """As kubectl looks: the first existing file of KUBECONFIG, else ~/.kube/config, else the service account.

    Raises KubeconfigError when there is none of them.
    """
    environ = os.environ if environ is None else environ
    named = [Path(part) for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    for path in named or [Path(environ.get("HOME", "/root")) / ".kube" / "config"]:
        if path.exists():
            return load(path)
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster(environ=environ)
    raise KubeconfigError("no Kubernetes API is configured: set KUBECONFIG to a kubeconfig file, or create ~/.kube/config")


def in_cluster(*, folder: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] | None = None) -> Connection:
    """The service account that Kubernetes gives to every pod.

    Raises KubeconfigError outside a pod.
    """
    environ = os.environ if environ is None else environ
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise KubeconfigError("not inside a Kubernetes pod: KUBERNETES_SERVICE_HOST is not set; give a kubeconfig file instead")
    own = folder / "namespace"
    connection = Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=_read(folder / "ca.crt", "the cluster's CA"),
        token_file=folder / "token",
        namespace=_read(own, "the pod's namespace").decode(errors="replace").strip() if own.exists() else "default",
        source=str(folder),
    )
    connection.bearer()
    return connection


def dump(connection: Connection, *, cluster: str = "kubernetes", user: str = "admin") -> bytes:
    """A kubeconfig file that says the same, with everything embedded. It holds secrets: write it with mode 0600."""
    import yaml

    where: dict[str, Any] = {"server": connection.server}
    if connection.ca is not None:
        where["certificate-authority-data"] = base64.b64encode(connection.ca).decode()
    if connection.server_name:
        where["tls-server-name"] = connection.server_name
    who: dict[str, Any] = {}
    if connection.certificate is not None and connection.key is not None:
        who["client-certificate-data"] = base64.b64encode(connection.certificate).decode()
        who["client-key-data"] = base64.b64encode(connection.key).decode()
    if connection.token_file is not None:
        who["tokenFile"] = str(connection.token_file)
    elif connection.token:
        who["token"] = connection.token
    context = f"{user}@{cluster}"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": where}],
        "users": [{"name": user, "user": who}],
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": user, "namespace": connection.namespace}}],
        "current-context": context,
        "preferences": {},
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


class _Reader:
    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    def connection(self, context: str | None) -> Connection:
        chosen = context or self._text(self._content, "current-context", "")
        if not chosen:
            raise self._error("current-context", "is empty; set it, or name a context")
        where = f"contexts[{chosen}]"
        entry = self._named("contexts", "context", chosen, "current-context" if context is None else "the given context")
        cluster_name = self._text(entry, "cluster", where)
        cluster = self._named("clusters", "cluster", cluster_name, f"{where}.cluster")
        user_name = self._text(entry, "user", where)
        user = self._named("users", "user", user_name, f"{where}.user") if user_name else {}
        found = self._cluster(cluster, f"clusters[{cluster_name}]")
        return replace(
            self._user(found, user, f"users[{user_name}]"),
            namespace=self._text(entry, "namespace", where) or "default",
            source=f"{self._path}, context {chosen}",
        )

    def _cluster(self, cluster: dict[str, Any], where: str) -> Connection:
        server = self._text(cluster, "server", where).rstrip("/")
        if not server.startswith(("https://", "http://")):
            raise self._error(f"{where}.server", f"is {server!r}, but a URL like https://host:6443 is expected")
        if cluster.get("insecure-skip-tls-verify"):
            raise self._error(f"{where}.insecure-skip-tls-verify", "is not supported; give certificate-authority-data instead")
        if cluster.get("proxy-url"):
            raise self._error(f"{where}.proxy-url", "is not supported; give an address that is reached directly")
        ca = self._pem(cluster, "certificate-authority", where)
        return Connection(server=server, ca=ca, server_name=self._text(cluster, "tls-server-name", where))

    def _user(self, found: Connection, user: dict[str, Any], where: str) -> Connection:
        for method in ("exec", "auth-provider", "username"):
            if user.get(method):
                raise self._error(f"{where}.{method}", "is not supported; use a token or a client certificate")
        certificate, key = self._pem(user, "client-certificate", where), self._pem(user, "client-key", where)
        if (certificate is None) != (key is None):
            raise self._error(where, "needs both client-certificate and client-key, or none of them")
        file = self._text(user, "tokenFile", where)
        connection = replace(
            found,
            certificate=certificate,
            key=key,
            token=self._text(user, "token", where),
            token_file=self._path.parent / file if file else None,
        )
        connection.bearer()
        return connection

    def _pem(self, holder: dict[str, Any], key: str, where: str) -> bytes | None:
        """The embedded form counts before the file, as in kubectl; a relative file is beside the kubeconfig."""
        if data := self._text(holder, f"{key}-data", where):
            try:
                pem = base64.b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                raise self._error(f"{where}.{key}-data", "is not base64") from None
            place = f"{where}.{key}-data"
        elif file := self._text(holder, key, where):
            pem = _read(self._path.parent / file, f"{where}.{key} of {self._path}")
            place = f"{where}.{key} ({file})"
        else:
            return None
        if b"-----BEGIN " not in pem:
            raise self._error(place, "holds no PEM block (-----BEGIN ...)")
        return pem

    def _named(self, section: str, key: str, wanted: str, pointer: str) -> dict[str, Any]:
        entries = self._content.get(section)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("name") == wanted:
                found = entry.get(key)
                return found if isinstance(found, dict) else {}
        raise self._error(pointer, f"names {wanted!r}, which is not among the {section}")

    def _text(self, holder: dict[str, Any], key: str, where: str) -> str:
        found = holder.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self._error(f"{where}.{key}" if where else key, f"is {type(found).__name__}, but text is expected")
        return found

    def _error(self, key: str, fault: str) -> KubeconfigError:
        return KubeconfigError(f"{self._path}: {key} {fault}")


def _read(path: Path, purpose: str) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise KubeconfigError(f"{path}: cannot be read: {error.strerror} ({purpose})") from None
    if len(found) > MAX_SIZE:
        raise KubeconfigError(f"{path}: larger than {MAX_SIZE} bytes, it cannot be {purpose}")
    return found
