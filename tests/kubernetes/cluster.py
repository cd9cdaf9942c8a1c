"""A Kubernetes of the test's own: etcd, API server, controller manager and scheduler on free ports of loopback.

TLS everywhere with an authority of its own, RBAC on. Two ways in: ``admin``, and ``cloudcore``, which is the service account of
packaging/kubernetes/rbac.yaml and may do nothing else.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from e2e.harness import Program, eventually
from ports import free_ports

from beehive.files import write_atomically
from kube import kubeconfig
from kube.kubeconfig import Connection
from viaduct.certificates import NODE_PREFIX, NODES_GROUP, Authority, KeyPair, certificate_pem, key_pem

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = [*sorted((ROOT / "cloudcore" / "crds").glob("*.yaml")), ROOT / "packaging" / "kubernetes" / "rbac.yaml"]
HOST = "127.0.0.1"
ISSUER = "https://kubernetes.default.svc"
SERVICES = "10.0.0.0/24"
PUBLISHED = "kube-root-ca.crt"
"""The ConfigMap that the controller manager puts into every namespace."""
DAYS = 30
TOKEN_SECONDS = 24 * 3600


class Refused(OSError):
    """The API server said no. code: the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Cluster:
    """``start`` it once; tests that share it call ``clean`` in between.

    address: where nodes and pods reach the API server; loopback means that there are none. services: the network of Services.
    """

    def __init__(
        self, folder: Path, programs: Path, *, address: str = HOST, services: str = SERVICES, bare: bool = False
    ) -> None:
        """bare: without the project's definitions and rules, and so without ``cloudcore``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.address, self.services, self._bare = folder, address, services, bare
        self.port, self._store_port, self._peer_port = free_ports(3)
        self.server = f"https://{HOST}:{self.port}"
        self.authority = Authority.create("test-kubernetes")
        self.admin = folder / "admin.kubeconfig"
        self.cloudcore = folder / "cloudcore.kubeconfig"
        self._certificates()
        self.etcd = Program("etcd", _tied(self._etcd()), folder)
        self.apiserver = Program("kube-apiserver", _tied(self._apiserver(programs)), folder)
        self.controllers = Program("kube-controller-manager", _tied(self._controller_manager(programs)), folder)
        self.scheduler = Program("kube-scheduler", _tied(self._scheduler(programs)), folder)
        self._tls = ssl.create_default_context(cafile=str(self.path("ca.crt")))
        self._tls.load_cert_chain(self.path("admin.crt"), self.path("admin.key"))

    # ------------------------------------------------------------------------------------------------- files

    def path(self, name: str) -> Path:
        return self.folder / "pki" / name

    def _certificates(self) -> None:
        write_atomically(self.path("ca.crt"), self.authority.certificate_pem)
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        first = str(ipaddress.ip_network(self.services)[1])
        self.keep("apiserver", self.authority.issue_server(names, {HOST, self.address, first}, DAYS))
        self.keep("etcd", self._both_ways())
        self.keep("etcd-client", self.authority.issue_client("kube-apiserver", ["etcd-clients"], DAYS))
        self.keep("accounts", self.authority.issue_client("service-accounts", [], DAYS))
        self.user("admin", "admin", ["system:masters"])
        self.user("controller-manager", "system:kube-controller-manager", [])
        self.user("scheduler", "system:kube-scheduler", [])

    def keep(self, name: str, pair: KeyPair) -> None:
        write_atomically(self.path(f"{name}.crt"), certificate_pem(pair.certificate_der))
        write_atomically(self.path(f"{name}.key"), key_pem(pair.key_der))

    def _both_ways(self) -> KeyPair:
        """etcd also speaks to itself, as a client with its server's certificate (its JSON interface does). Certificates for both
        uses are given to nodes only, so it gets one of those."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, NODES_GROUP),
                x509.NameAttribute(NameOID.COMMON_NAME, NODE_PREFIX + "etcd"),
            ]
        )
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
        der = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        certificate = self.authority.sign_request(der, node="etcd", days=DAYS, client=True, server=True)
        form = serialization.PrivateFormat.TraditionalOpenSSL
        return KeyPair(certificate, key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption()))

    def user(self, file: str, name: str, groups: Sequence[str], *, server: str = HOST) -> Path:
        """A client certificate and the kubeconfig that uses it, whose path is returned."""
        pair = self.authority.issue_client(name, groups, DAYS)
        self.keep(file, pair)
        who = self._connection(certificate=certificate_pem(pair.certificate_der), key=key_pem(pair.key_der))
        target = self.folder / f"{file}.kubeconfig"
        write_atomically(target, kubeconfig.dump(replace(who, server=f"https://{server}:{self.port}")))
        return target

    def _connection(self, **who: Any) -> Connection:
        return Connection(server=self.server, ca=self.authority.certificate_pem, **who)

    # ------------------------------------------------------------------------------------------------- command lines

    def _etcd(self) -> list[str]:
        store, peers = f"https://{HOST}:{self._store_port}", f"http://{HOST}:{self._peer_port}"
        return [
            "etcd",
            f"--data-dir={self.folder / 'etcd-data'}",
            f"--listen-client-urls={store}",
            f"--advertise-client-urls={store}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            f"--cert-file={self.path('etcd.crt')}",
            f"--key-file={self.path('etcd.key')}",
            f"--trusted-ca-file={self.path('ca.crt')}",
            "--client-cert-auth",
        ]

    def _apiserver(self, programs: Path) -> list[str]:
        return [
            str(programs / "kube-apiserver"),
            f"--etcd-servers=https://{HOST}:{self._store_port}",
            f"--etcd-cafile={self.path('ca.crt')}",
            f"--etcd-certfile={self.path('etcd-client.crt')}",
            f"--etcd-keyfile={self.path('etcd-client.key')}",
            *self._reach(),
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.path('apiserver.crt')}",
            f"--tls-private-key-file={self.path('apiserver.key')}",
            f"--client-ca-file={self.path('ca.crt')}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.path('accounts.key')}",
            f"--service-account-signing-key-file={self.path('accounts.key')}",
            f"--service-cluster-ip-range={self.services}",
        ]

    def _reach(self) -> list[str]:
        """Pods come in through Service `kubernetes`; the API server goes out to kubelets (logs, exec)."""
        if self.address == HOST:
            return [f"--bind-address={HOST}", f"--advertise-address={HOST}", "--endpoint-reconciler-type=none"]
        return [
            "--bind-address=0.0.0.0",
            f"--advertise-address={self.address}",
            f"--kubelet-client-certificate={self.path('admin.crt')}",
            f"--kubelet-client-key={self.path('admin.key')}",
            f"--kubelet-certificate-authority={self.path('ca.crt')}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _controller_manager(self, programs: Path) -> list[str]:
        return [
            str(programs / "kube-controller-manager"),
            f"--kubeconfig={self.folder / 'controller-manager.kubeconfig'}",
            f"--service-account-private-key-file={self.path('accounts.key')}",
            f"--root-ca-file={self.path('ca.crt')}",
            "--use-service-account-credentials",
            "--kube-api-qps=1000",  # with the default it spends four seconds of its start on waiting for itself
            "--kube-api-burst=1000",
            "--leader-elect=false",
            "--secure-port=0",
        ]

    def _scheduler(self, programs: Path) -> list[str]:
        kubeconfig_file = self.folder / "scheduler.kubeconfig"
        return [
            str(programs / "kube-scheduler"),
            f"--kubeconfig={kubeconfig_file}",
            "--leader-elect=false",
            "--secure-port=0",
        ]

    # ------------------------------------------------------------------------------------------------- life

    @property
    def programs(self) -> tuple[Program, ...]:
        return self.scheduler, self.controllers, self.apiserver, self.etcd

    def start(self) -> None:
        """Everything up, the project's definitions and rules installed, and pods accepted in namespace default."""
        self.start_programs()
        self.prepare()

    def start_programs(self) -> None:
        """Their API answers."""
        self.etcd.start()
        eventually("etcd has a past", self._written, within=60)
        self.start_apiserver()
        self.controllers.start()
        self.scheduler.start()

    def prepare(self) -> None:
        """The second half of ``start``."""
        if not self._bare:
            self._install()
        eventually("namespace default takes pods", self._takes_pods, within=60)
        if not self._bare:
            self.give_cloudcore(self.cloudcore, self.port)

    def give_cloudcore(self, path: Path, port: int) -> None:
        """Writes the kubeconfig of cloudcore's service account, for an API server that is reached through ``port``."""
        token = self.request(
            "POST",
            "/api/v1/namespaces/kubeedge/serviceaccounts/cloudcore/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "metadata": {},
                "spec": {"expirationSeconds": TOKEN_SECONDS},
            },
        )["status"]["token"]
        where = replace(self._connection(token=token), server=f"https://{HOST}:{port}")
        write_atomically(path, kubeconfig.dump(where, user="cloudcore"))

    def compact(self) -> int:
        """Forgets the history of etcd up to now; returns the revision. The API server serves what it still has in memory."""
        revision = int(self._etcd_call("range", {"key": "AA=="})["header"]["revision"])
        self._etcd_call("compaction", {"revision": revision})
        return revision

    def _written(self) -> bool:
        """Something has been written before the API server comes, so revision 1, that of an empty etcd, is before its time.

        Its memory of a resource (the watch cache) begins with the revision of its first list and, once more events have come than
        it keeps, with the oldest of those. If the first list were at 1, then a watch from 1 would be answered with events or with
        410, depending on how many objects of the kind other tests have made.
        """
        self.etcd.must_run()
        self._etcd_call("put", {"key": base64.b64encode(b"before-kubernetes").decode(), "value": ""})
        return True

    def _etcd_call(self, method: str, body: dict[str, Any]) -> Any:
        tls = ssl.create_default_context(cafile=str(self.path("ca.crt")))
        tls.load_cert_chain(self.path("etcd-client.crt"), self.path("etcd-client.key"))
        request = urllib.request.Request(
            f"https://{HOST}:{self._store_port}/v3/kv/{method}", data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30, context=tls) as answer:  # noqa: S310
            return json.load(answer)

    def start_apiserver(self) -> None:
        self.apiserver.start()
        eventually("the API server is ready", self._ready, within=60)

    def stop(self) -> None:
        """Kills: an API server that is asked to stop waits up to a minute for its watchers, and nothing here is to be kept."""
        for program in self.programs:
            program.kill()

    def _ready(self) -> bool:
        self.etcd.must_run()
        self.apiserver.must_run()
        try:
            return self._exchange("GET", "/readyz") == b"ok"
        except Refused:
            return False

    def _takes_pods(self) -> bool:
        """The controllers have made the default service account and published the authority's certificate."""
        self.controllers.must_run()
        self.scheduler.must_run()
        try:
            self.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
            self.request("GET", f"/api/v1/namespaces/default/configmaps/{PUBLISHED}")
        except Refused:
            return False
        return True

    def _install(self) -> None:
        for manifest in MANIFESTS:
            for body in yaml.safe_load_all(manifest.read_text()):
                self.request("POST", _collection(body), body)
        eventually("the definitions are established", lambda: self.request("GET", _SYNCS)["items"] == [], within=30)

    def clean(self) -> None:
        """Takes away what a test has left: as if the cluster were new, except for events and versions."""
        if not self.apiserver.running():
            self.start_apiserver()
        default = "/api/v1/namespaces/default"
        self.request("DELETE", f"{default}/pods?gracePeriodSeconds=0")
        for item in self.request("GET", f"{default}/configmaps")["items"]:
            if item["metadata"]["name"] != PUBLISHED:
                self.request("DELETE", f"{default}/configmaps/{item['metadata']['name']}")
        for path in (f"{default}/secrets", "/api/v1/namespaces/kubeedge/secrets", "/api/v1/nodes", *_LEASES, _CLUSTER_SYNCS):
            self.request("DELETE", path)
        for item in self.request("GET", _SYNCS)["items"]:
            meta = item["metadata"]
            self.request("DELETE", _SYNCS.replace("objectsyncs", f"namespaces/{meta['namespace']}/objectsyncs/{meta['name']}"))

    # ------------------------------------------------------------------------------------------------- requests

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """As the administrator. Raises Refused, OSError."""
        return json.loads(self._exchange(method, path, body))

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - https
            self.server + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, error.read().decode(errors="replace")) from None


_GROUP = "/apis/reliablesyncs.kubeedge.io/v1alpha1"
_SYNCS = f"{_GROUP}/objectsyncs"
_CLUSTER_SYNCS = f"{_GROUP}/clusterobjectsyncs"
_LEASES = tuple(f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases" for space in ("kube-node-lease", "kubeedge"))


def _tied(argv: list[str]) -> list[str]:
    """Ends with the process that starts it, however that ends: half a gigabyte must not outlive a test run that is killed."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *argv] if setpriv else argv


def _collection(body: dict[str, Any]) -> str:
    """Where an object of a manifest is created."""
    version, space = body["apiVersion"], body["metadata"].get("namespace")
    start = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return start + (f"/namespaces/{space}" if space else "") + f"/{body['kind'].lower()}s"
