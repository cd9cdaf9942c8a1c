from __future__ import annotations

import base64
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube import kubeconfig
from kube.kubeconfig import Connection, KubeconfigError

PEM = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
DATA = base64.b64encode(PEM).decode()


def content() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443/", "certificate-authority-data": DATA}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
    }


def write(folder: Path, found: object) -> Path:
    path = folder / "config"
    path.write_text(found if isinstance(found, str) else yaml.safe_dump(found))
    return path


def test_what_is_embedded(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    found = kubeconfig.load(path)
    assert (found.server, found.ca, found.token, found.namespace) == ("https://api:6443", PEM, "secret", "ns")
    assert found.source == f"{path}, context main"


def test_files_are_beside_the_kubeconfig(tmp_path: Path) -> None:
    given = content()
    given["clusters"][0]["cluster"] = {
        "server": "https://api",
        "certificate-authority": "ca.crt",
        "tls-server-name": "kubernetes",
    }
    given["users"][0]["user"] = {"client-certificate": "me.crt", "client-key": str(tmp_path / "me.key"), "tokenFile": "token"}
    (tmp_path / "ca.crt").write_bytes(PEM)
    (tmp_path / "me.crt").write_bytes(PEM)
    (tmp_path / "me.key").write_bytes(KEY)
    (tmp_path / "token").write_text("fresh\n")
    found = kubeconfig.load(write(tmp_path, given))
    assert (found.ca, found.certificate, found.key, found.server_name) == (PEM, PEM, KEY, "kubernetes")
    assert found.bearer() == "fresh"


def test_another_context(tmp_path: Path) -> None:
    given = content()
    given["contexts"].append({"name": "other", "context": {"cluster": "c"}})
    found = kubeconfig.load(write(tmp_path, given), "other")
    assert (found.token, found.namespace) == ("", "default")


def break_at(given: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    given = copy.deepcopy(given)
    place = {
        "cluster": given["clusters"][0]["cluster"],
        "user": given["users"][0]["user"],
        "context": given["contexts"][0]["context"],
    }
    holder, _, key = where.rpartition(".")
    (place[holder] if holder else given)[key] = value
    return given


@pytest.mark.parametrize(
    ("where", "value", "fault"),
    [
        ("current-context", "", "current-context is empty"),
        ("current-context", "gone", "current-context names 'gone', which is not among the contexts"),
        ("current-context", 5, "current-context is int, but text is expected"),
        ("contexts", None, "current-context names 'main', which is not among the contexts"),
        ("clusters", [None, {"name": "c2"}], "contexts[main].cluster names 'c', which is not among the clusters"),
        ("context.user", "x", "contexts[main].user names 'x', which is not among the users"),
        ("cluster.server", "api:6443", "clusters[c].server is 'api:6443', but a URL like"),
        ("cluster.server", None, "clusters[c].server is '', but a URL like"),
        ("cluster.server", ["https://a"], "clusters[c].server is list, but text is expected"),
        ("cluster.certificate-authority-data", "%%%", "clusters[c].certificate-authority-data is not base64"),
        ("cluster.certificate-authority-data", "AAAA", "clusters[c].certificate-authority-data holds no PEM block"),
        ("cluster.insecure-skip-tls-verify", True, "clusters[c].insecure-skip-tls-verify is not supported"),
        ("cluster.proxy-url", "http://p", "clusters[c].proxy-url is not supported"),
        ("user.exec", {"command": "aws"}, "users[u].exec is not supported"),
        ("user.client-certificate-data", DATA, "users[u] needs both client-certificate and client-key"),
    ],
)
def test_faults_name_the_file_and_the_key(tmp_path: Path, where: str, value: Any, fault: str) -> None:
    path = write(tmp_path, break_at(content(), where, value))
    with pytest.raises(KubeconfigError) as caught:
        kubeconfig.load(path)
    assert str(caught.value).startswith(f"{path}: {fault}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [", "not YAML: "),
        ("- a", "a mapping with clusters, users and contexts is expected, not list"),
        ("", "a mapping with clusters, users and contexts is expected, not NoneType"),
        ("!!python/object/apply:os.system [echo]", "not YAML: "),
        ("\x00", "not YAML: "),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, text: str, fault: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(KubeconfigError) as caught:
        kubeconfig.load(path)
    assert f"{path}: {fault}" in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="config: cannot be read: No such file or directory"):
        kubeconfig.load(tmp_path / "config")
    path = write(tmp_path, break_at(content(), "cluster.certificate-authority-data", ""))
    path.write_text(path.read_text().replace("certificate-authority-data: ''", "certificate-authority: gone.crt"))
    with pytest.raises(KubeconfigError, match=r"gone\.crt: cannot be read: .* \(clusters\[c\]\.certificate-authority of "):
        kubeconfig.load(path)


def test_a_file_without_end_is_not_read() -> None:
    with pytest.raises(KubeconfigError, match="larger than"):
        kubeconfig.load(Path("/dev/zero"))


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        ["clusters", "users", "contexts", "cluster.server", "context.cluster", "context.user", "user.token", "context.namespace"]
    ),
    _junk,
)
def test_wrong_types_anywhere_are_an_error_or_absent(tmp_path: Path, where: str, value: Any) -> None:
    try:
        kubeconfig.load(write(tmp_path, break_at(content(), where, value)))
    except KubeconfigError as error:
        assert str(error)


@pytest.mark.parametrize(
    "connection",
    [
        Connection("https://a:6443", ca=PEM, certificate=PEM, key=KEY, namespace="x", server_name="kubernetes"),
        Connection("https://[::1]:6443", token="t"),
    ],
)
def test_what_is_written_reads_back(tmp_path: Path, connection: Connection) -> None:
    path = tmp_path / "config"
    path.write_bytes(kubeconfig.dump(connection))
    found = kubeconfig.load(path)
    assert (found.server, found.ca, found.certificate, found.key, found.token, found.namespace, found.server_name) == (
        connection.server,
        connection.ca,
        connection.certificate,
        connection.key,
        connection.token,
        connection.namespace,
        connection.server_name,
    )


def test_in_a_cluster(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(PEM)
    (tmp_path / "token").write_text("t1\n")
    (tmp_path / "namespace").write_text("kubeedge")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = kubeconfig.in_cluster(folder=tmp_path, environ=environ)
    assert (found.server, found.ca, found.bearer(), found.namespace) == ("https://[fd00::1]:443", PEM, "t1", "kubeedge")
    (tmp_path / "token").write_text("t2\n")
    assert found.bearer() == "t2"
    with pytest.raises(KubeconfigError, match="not inside a Kubernetes pod"):
        kubeconfig.in_cluster(folder=tmp_path, environ={})


def test_where_kubectl_looks(tmp_path: Path) -> None:
    path = write(tmp_path, content())
    assert kubeconfig.from_environment({"KUBECONFIG": f"/nonexistent:{path}"}).token == "secret"
    (tmp_path / ".kube").mkdir()
    path.rename(tmp_path / ".kube" / "config")
    assert kubeconfig.from_environment({"HOME": str(tmp_path)}).token == "secret"
    with pytest.raises(KubeconfigError, match="set KUBECONFIG"):
        kubeconfig.from_environment({"HOME": "/nonexistent"})
