from __future__ import annotations

import re
from pathlib import Path

import pytest

from beehive import settings
from beehive.settings import SettingsError
from cloudcore import app, config
from cloudcore.config import CloudCoreConfig
from kube import kubeconfig
from kube.kubeconfig import Connection


def parse(text: str) -> CloudCoreConfig:
    found = settings.parse(text, CloudCoreConfig, origin="cloudcore.yaml")
    config.check(found, origin="cloudcore.yaml")
    return found


def test_the_default_text_loads_to_the_defaults() -> None:
    assert parse(config.default_text()) == CloudCoreConfig()


def test_the_minimal_text_loads() -> None:
    assert parse(config.minimal_text()).modules.cloud_hub.node_limit == 1000


def test_keys_have_kubeedges_spelling() -> None:
    """A file that KubeEdge's cloudcore has expanded is accepted (operations 2.5), odd capitals included."""
    found = parse(
        """
apiVersion: cloudcore.config.kubeedge.io/v1alpha2
kind: CloudCore
commonConfig: {monitorServer: {bindAddress: 127.0.0.1:9091, enableProfiling: false}, tunnelPort: 10350}
featureGates: {requireAuthorization: false}
kubeAPIConfig: {burst: 10000, contentType: application/vnd.kubernetes.protobuf, kubeConfig: "", master: "", qps: 5000}
modules:
  cloudHub:
    advertiseAddress: [10.0.0.1]
    authorization: {debug: true, enable: false, modes: [{node: {enable: true}}]}
    dnsNames: [""]
    edgeCertSigningDuration: 365
    tlsCAFile: /etc/kubeedge/ca/rootCA.crt
    tlsCAKeyFile: /etc/kubeedge/ca/rootCA.key
    unixsocket: {address: unix:///var/lib/kubeedge/kubeedge.sock, enable: true}
  cloudStream: {enable: true, tlsStreamCAFile: x, tlsTunnelCAFile: y, streamPort: 10003, tunnelPort: 10004}
  edgeController: {load: {UpdateRuleStatusWorkers: 4, ServiceAccountTokenWorkers: 100, CreatePodWorks: 4}}
"""
    )
    assert found.modules.cloud_hub.advertise_address == ["10.0.0.1"]
    assert config.notices(found) == [
        "modules.cloudStream is enabled in the configuration but not part of this version: it has no effect"
    ]


def test_absent_blocks_keep_their_defaults() -> None:
    assert parse("modules:\n  cloudHub:\n") == CloudCoreConfig()


@pytest.mark.parametrize("key", ["modules: {cloudhub: {}}", "standalone: {on: true}", "kubeApiConfig: {}"])
def test_unknown_keys_are_errors(key: str) -> None:
    with pytest.raises(SettingsError, match="unknown key"):
        parse(key)


def test_another_kind_is_an_error() -> None:
    with pytest.raises(SettingsError, match="EdgeCore"):
        parse("kind: EdgeCore")


@pytest.mark.parametrize(
    "text",
    [
        "modules: {cloudHub: {enable: false}}",
        "modules: {cloudHub: {websocket: {enable: false}}}",
        "modules: {edgeController: {enable: false}}",
    ],
)
def test_what_cannot_be_switched_off_says_so(text: str) -> None:
    with pytest.raises(SettingsError, match=r"enable`: this version cannot do without it; remove the key, or set it to true"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("kubeAPIConfig: {contentType: application/json}", "kubeAPIConfig.contentType"),
        ("commonConfig: {tunnelPort: 10351}", "commonConfig.tunnelPort"),
        ("commonConfig: {monitorServer: {enableProfiling: true}}", "commonConfig.monitorServer.enableProfiling"),
        ("modules: {cloudHub: {authorization: {enable: true}}}", "modules.cloudHub.authorization"),
        ("modules: {edgeController: {load: {createNodeWorkers: 5}}}", "modules.edgeController.load"),
        ("modules: {syncController: {enable: false}}", "modules.syncController"),
        ("modules: {deviceController: {enable: false}}", "modules.deviceController"),
    ],
)
def test_what_has_no_effect_is_named(text: str, key: str) -> None:
    assert config.notices(parse(text)) == [
        f"{key} differs from its default in the configuration but has no effect in this version"
    ]


def test_feature_gates_that_are_on_are_named() -> None:
    found = parse("featureGates: {requireAuthorization: true, moduleRestart: false}")
    assert config.notices(found) == ["featureGates.requireAuthorization is on but has no effect in this version"]


def test_defaults_give_no_notice() -> None:
    assert config.notices(CloudCoreConfig()) == []


def test_without_https_nobody_joins() -> None:
    (notice,) = config.notices(parse("modules: {cloudHub: {https: {enable: false}}}"))
    assert "no node can join" in notice


def test_master_counts_before_the_address_in_the_kubeconfig(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(kubeconfig.dump(Connection(server="https://old:6443", token="t")))
    found = app._connection(parse(f"kubeAPIConfig: {{kubeConfig: {path}, master: 'https://new:6443'}}"))
    assert (found.server, found.token) == ("https://new:6443", "t")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "commonConfig: {monitorServer: {bindAddress: '9091'}}",
            "`commonConfig.monitorServer.bindAddress`: '9091' is not IP:port",
        ),
        (
            "commonConfig: {monitorServer: {bindAddress: 'box:1'}}",
            "`commonConfig.monitorServer.bindAddress`: 'box:1' is not IP:port",
        ),
        ("kubeAPIConfig: {master: '10.0.0.1:6443'}", "`kubeAPIConfig.master`: '10.0.0.1:6443' is not a URL like https://"),
        ("modules: {cloudHub: {dnsNames: [bücher.example]}}", "`modules.cloudHub.dnsNames`: 'bücher.example' must be written in"),
    ],
)
def test_addresses_that_are_none_are_named(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        parse(text)
