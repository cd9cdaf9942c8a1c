"""Clients that show certificates: names out of them as mosquitto makes them, what is refused, and renewal while running."""

from __future__ import annotations

import datetime
import getpass
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trustme
from brokers.configured import MOSQUITTO, publish, running
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from ports import free_ports

from mqtt.client import ConnectionLost, connect
from mqtt.packets import Connect, Version

pytestmark = pytest.mark.usefixtures("mosquitto_clients")

LISTENER = """
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.pem
require_certificate true
use_{what}_as_username true
"""


@dataclass
class Folder:
    path: Path
    ca: trustme.CA

    def issue(self, name: str, ca: trustme.CA | None = None, **names: str) -> list[str]:
        """A client certificate; what mosquitto_pub has to be told to use it."""
        file = self.path / f"{name}.pem"
        made = (ca or self.ca).issue_cert(common_name=name, **names)
        made.private_key_and_cert_chain_pem.write_to_path(file)
        return ["-h", "localhost", "--cafile", str(self.path / "ca.pem"), "--cert", str(file), "--key", str(file)]

    def serve_with(self, ca: trustme.CA) -> None:
        ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(self.path / "server.pem")

    def revoke(self, name: str) -> None:
        """Writes the list of the CA, with this certificate in it."""
        authority = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        key = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        number = x509.load_pem_x509_certificate((self.path / f"{name}.pem").read_bytes()).serial_number
        now = datetime.datetime.now(datetime.UTC)
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        builder = x509.CertificateRevocationListBuilder().issuer_name(authority.subject).add_revoked_certificate(entry)
        builder = builder.last_update(now - datetime.timedelta(days=1)).next_update(now + datetime.timedelta(days=1))
        signed = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
        (self.path / "revoked.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    tmp_path.chmod(0o755)
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    folder = Folder(tmp_path, ca)
    folder.serve_with(ca)
    return folder


SUBJECTS = [
    ("pump-7", {"organization_name": "Works", "organization_unit_name": "Hall 3"}),
    ("valve", {"organization_name": 'Wärme, "Dampf" & Söhne; <3> \\ a=b'}),
    ("fan", {"organization_name": "# number, first", "organization_unit_name": " leading"}),
]


@pytest.mark.skipif(MOSQUITTO is None and os.environ.get("CI") != "true", reason="mosquitto is not installed")
async def test_names_of_certificates_are_those_of_mosquitto(folder: Folder) -> None:
    ports = free_ports(2)
    config = folder.path / "broker.conf"
    whats = ("identity", "subject")
    listeners = [LISTENER.format(port=port, folder=folder.path, what=what) for port, what in zip(ports, whats, strict=True)]
    config.write_text(f"user {getpass.getuser()}\n" + "".join(listeners))
    clients = [folder.issue(name, **more) for name, more in SUBJECTS]
    acl = [f"user {name}\ntopic write {name}" for name, _ in SUBJECTS]
    async with running(config, mosquitto=True) as theirs:
        for (name, _), client in zip(SUBJECTS, clients, strict=True):
            for port in ports:
                assert (await publish(*client, "-p", str(port), "-i", f"id-{name}-{port}", "-t", "x", "-m", "x"))[0] == 0
            await theirs.hears(f"as id-{name}-{ports[1]}")
            found = [re.search(rf"as id-{name}-{port} .*u'(.*)'\)", theirs.said) for port in ports]
            assert all(found)
            identity, subject = (each[1] for each in found if each)
            assert identity == name
            acl.append(f"user {subject}\ntopic write {name}")
    (folder.path / "acl").write_text("\n".join(acl))
    config.write_text(config.read_text() + f"acl_file {folder.path}/acl\n")
    async with running(config):
        for (name, _), client in zip(SUBJECTS, clients, strict=True):
            for port in ports:
                v5 = ["-V", "5", "-p", str(port)]
                assert (await publish(*client, *v5, "-t", name, "-m", "x"))[1] == "", acl
                assert "Not authorized" in (await publish(*client, *v5, "-t", "x", "-m", "x"))[1]


async def test_who_has_no_good_certificate_stays_outside(folder: Folder) -> None:
    [port] = free_ports(1)
    good, lost, foreign = folder.issue("good"), folder.issue("lost"), folder.issue("eve", trustme.CA())
    folder.revoke("lost")
    config = folder.path / "broker.conf"
    config.write_text(LISTENER.format(port=port, folder=folder.path, what="identity") + f"crlfile {folder.path}/revoked.pem\n")
    rest = ["-p", str(port), "-t", "x", "-m", "x"]
    async with running(config):
        assert (await publish(*good, *rest))[0] == 0
        for client in (lost, foreign, good[:4]):
            code, said = await publish(*client, *rest)
            assert code not in (0, 4, 5), said


async def test_sighup_takes_over_certificates_and_keeps_who_is_connected(folder: Folder) -> None:
    [port] = free_ports(1)
    client = folder.issue("pump")
    config = folder.path / "broker.conf"
    config.write_text(LISTENER.format(port=port, folder=folder.path, what="identity"))
    rest = ["-p", str(port), "-t", "x", "-m", "hello"]
    async with running(config) as broker, trio.open_nursery() as nursery:
        reading = ["mosquitto_sub", *client, "-p", str(port), "-d", "-t", "x", "-C", "1", "-W", "20"]
        process = await nursery.start(lambda task_status: trio.run_process(reading, task_status=task_status))
        assert (await publish(*client, *rest, "-r"))[0] == 0
        with trio.fail_after(10):
            assert await process.wait() == 0

        (folder.path / "server.pem").write_text("no certificate")
        await broker.reload()
        assert "SIGHUP: nothing has changed" in broker.said
        assert (await publish(*client, *rest))[0] == 0

        new = trustme.CA()
        folder.serve_with(new)
        await broker.reload()
        code, said = await publish(*client, *rest)
        assert code not in (0, 4, 5), said
        new.cert_pem.write_to_path(folder.path / "new.pem")
        client[3] = str(folder.path / "new.pem")
        assert (await publish(*client, *rest))[0] == 0


async def test_who_is_revoked_loses_his_connection_at_sighup(folder: Folder) -> None:
    [port] = free_ports(1)
    pump, _ = folder.issue("pump"), folder.issue("other")
    folder.revoke("other")
    config = folder.path / "broker.conf"
    config.write_text(LISTENER.format(port=port, folder=folder.path, what="identity") + f"crlfile {folder.path}/revoked.pem\n")
    context = ssl.create_default_context(cafile=folder.path / "ca.pem")
    context.load_cert_chain(pump[-1])
    address = ("localhost", port)
    async with running(config) as broker, connect(address, Connect(Version.V5, "c"), tls=context) as client:
        await broker.reload()
        await client.publish("x", b"still here", qos=1)
        folder.revoke("pump")
        await broker.reload()
        with trio.fail_after(10), pytest.raises(ConnectionLost, match="not authorized"):
            await client.ended()
