from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.edged.runtime import dockerobjects as objects
from edgecore.edged.runtime.engine import ContainerSpec, Mount, PodIdentity, PortMapping, Resources, SandboxSpec, State

POD = PodIdentity("prod", "web", "0a1b-2c")


def test_names_are_those_of_cri_dockerd() -> None:
    assert objects.sandbox_name(SandboxSpec(POD, attempt=2)) == "k8s_POD_web_prod_0a1b-2c_2"
    assert objects.container_name(ContainerSpec(POD, "main", "i", 3, "h")) == "k8s_main_web_prod_0a1b-2c_3"
    assert objects.attempt_in_name("/k8s_POD_web_prod_0a1b-2c_2") == 2
    assert objects.attempt_in_name("/k8s_POD_web_prod_0a1b-2c_2_deadbeef") == 2
    assert objects.attempt_in_name("/stranger") == 0


def test_sandbox() -> None:
    spec = SandboxSpec(
        POD, hostname="web", ports=[PortMapping(80, 8080), PortMapping(53, 5353, "UDP", "10.0.0.1"), PortMapping(81, 0)],
        labels={"app": "web"}, annotations={"kubernetes.io/config.source": "api"}, dns_servers=["10.0.0.53"], sysctls={"a": "1"},
    )  # fmt: skip
    config = objects.sandbox_config(spec, "pause", "abc")
    host = config["HostConfig"]
    assert config["Labels"] == {
        "app": "web",
        "annotation.kubernetes.io/config.source": "api",
        "io.kubernetes.pod.name": "web",
        "io.kubernetes.pod.namespace": "prod",
        "io.kubernetes.pod.uid": "0a1b-2c",
        "io.kubernetes.container.name": "POD",
        "io.kubernetes.docker.type": "podsandbox",
        "io.edgecore.instance": "abc",
    }
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "10.0.0.1", "HostPort": "5353"}],
    }
    assert (host["OomScoreAdj"], host["CpuShares"], host["IpcMode"], host["NetworkMode"]) == (-998, 2, "shareable", "default")
    assert (host["Dns"], host["DnsSearch"]) == (["10.0.0.53"], ["."])


def test_a_sandbox_on_the_hosts_network_binds_nothing() -> None:
    config = objects.sandbox_config(SandboxSpec(POD, hostname="x", host_network=True, ports=[PortMapping(80, 80)]), "pause")
    assert config["HostConfig"]["NetworkMode"] == "host"
    assert "PortBindings" not in config["HostConfig"]
    assert "Hostname" not in config


def test_container() -> None:
    spec = ContainerSpec(
        POD, "main", "nginx", 1, "5d0e8bc9", ["/run"], ["-x"], {"A": "b"}, "/w",
        [Mount(Path("/h"), "/c", True, "HostToContainer"), Mount(Path("/h:1"), "/d"), Mount(Path("/e"), "/e")],
        Resources(512, 50_000, 100_000, 1 << 26, -997), "1000:1000", no_new_privileges=True,
        log_path=Path("/var/log/pods/x/main/1.log"),
        share_process_namespace=True, annotations={"io.kubernetes.container.ports": "[]"},
    )  # fmt: skip
    config = objects.container_config(spec, "sand", {"NetworkMode": "default", "OomScoreAdj": -998, "CgroupParent": "/kubepods"})
    host = config["HostConfig"]
    assert (config["Entrypoint"], config["Cmd"], config["Env"], config["User"]) == (["/run"], ["-x"], ["A=b"], "1000:1000")
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    assert config["Labels"]["annotation.io.kubernetes.container.hash"] == "5d0e8bc9"
    assert config["Labels"]["annotation.io.kubernetes.container.restartCount"] == "1"
    assert config["Labels"]["annotation.io.kubernetes.container.ports"] == "[]"
    assert config["Labels"]["io.kubernetes.sandbox.id"] == "sand"
    assert config["Labels"]["io.kubernetes.container.logpath"] == "/var/log/pods/x/main/1.log"
    assert [host[key] for key in ("NetworkMode", "IpcMode", "PidMode")] == ["container:sand"] * 3
    assert (host["Memory"], host["MemorySwap"], host["CpuQuota"], host["OomScoreAdj"]) == (1 << 26, 1 << 26, 50_000, -997)
    assert host["Binds"] == ["/h:/c:ro,rslave", "/e:/e"]
    assert host["Mounts"] == [{"Type": "bind", "Source": "/h:1", "Target": "/d", "ReadOnly": False}]
    assert host["SecurityOpt"] == ["seccomp=unconfined", "no-new-privileges"]
    assert host["CgroupParent"] == "/kubepods"


def test_a_container_follows_its_sandbox_to_the_host() -> None:
    spec = ContainerSpec(POD, "main", "nginx", 0, "h", resources=Resources(oom_score_adj=-997))
    config = objects.container_config(spec, "sand", {"NetworkMode": "host", "PidMode": "host", "OomScoreAdj": 0})
    assert (config["HostConfig"]["UTSMode"], config["HostConfig"]["PidMode"]) == ("host", "host")
    assert config["HostConfig"]["OomScoreAdj"] == 0  # docker may not protect: it did not for the sandbox either
    assert "Entrypoint" not in config
    assert "Cmd" not in config


@pytest.mark.parametrize(
    ("state", "phase", "reason", "code"),
    [
        ({"Status": "running", "Running": True, "StartedAt": "2026-01-01T00:00:00.123456789Z"}, State.RUNNING, "", 0),
        ({"Status": "created", "ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z"}, State.CREATED, "", 0),
        ({"Status": "created", "ExitCode": 127, "Error": "no"}, State.EXITED, "ContainerCannotRun", 127),
        ({"Status": "exited", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"}, State.EXITED, "Completed", 0),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, State.EXITED, "OOMKilled", 137),
        ({"Status": "exited", "ExitCode": 2, "StartedAt": "2026-01-01T00:00:00Z"}, State.EXITED, "Error", 2),
        ({"Status": "dead", "ExitCode": 1}, State.EXITED, "Error", 1),
        ({"Status": "strange"}, State.UNKNOWN, "", 0),
        ({}, State.UNKNOWN, "", 0),
        (None, State.UNKNOWN, "", 0),
        ({"Status": "exited", "ExitCode": None, "StartedAt": 5}, State.EXITED, "Completed", 0),
    ],
)
def test_states(state: Any, phase: State, reason: str, code: int) -> None:
    labels = {"io.kubernetes.pod.uid": "u", "annotation.io.kubernetes.container.hash": "h"}
    inspected = {"Id": "ab", "Created": "2026-01-01T00:00:00Z", "State": state, "Config": {"Labels": labels}}
    info = objects.container_info(inspected, "nginx", "docker://sha256:1")
    assert (info.state, info.reason, info.exit_code, info.id, info.hash) == (phase, reason, code, "docker://ab", "h")


def test_a_short_life_never_ends_before_it_began() -> None:
    """docker notes the start of a program after containerd has noted its end, when it runs for less than a millisecond."""
    state = {"Status": "exited", "StartedAt": "2026-01-01T00:00:00.97072Z", "FinishedAt": "2026-01-01T00:00:00.97034Z"}
    info = objects.container_info({"Created": "2026-01-01T00:00:00Z", "State": state}, "", "")
    assert info.created_at < info.started_at <= info.finished_at


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner))


@given(st.dictionaries(st.sampled_from(["Id", "Name", "Created", "State", "Config", "HostConfig", "NetworkSettings"]), JSON))
def test_whatever_docker_answers_something_is_made_of_it(inspected: dict[str, Any]) -> None:
    objects.sandbox_info(inspected)
    objects.container_info(inspected, "", "")


def test_times() -> None:
    assert objects.seconds("1970-01-01T00:00:01.500000001Z") == 1.5
    assert objects.seconds("1970-01-01T00:00:01Z") == 1
    assert objects.seconds("0001-01-01T00:00:00Z") == objects.seconds("soon") == objects.seconds(None) == 0


def test_addresses_old_and_new() -> None:
    old = {"NetworkSettings": {"IPAddress": "172.17.0.2"}}
    new = {"NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.3"}}}}
    assert [objects.sandbox_info(found).ip for found in (old, new, {})] == ["172.17.0.2", "172.17.0.3", ""]


def test_the_root_cause_of_a_failed_start_comes_out_of_its_wrapping() -> None:
    text = (
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
        'exec: "nope": executable file not found in $PATH: unknown'
    )
    assert objects.explain(text) == 'exec: "nope": executable file not found in $PATH'
    assert objects.explain("anything else") == "anything else"


def test_resolv_conf() -> None:
    assert objects.resolv_conf(["1.1.1.1"], ["a", "b"], ["ndots:5"]) == "nameserver 1.1.1.1\nsearch a b\noptions ndots:5\n"
