from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from beehive import settings
from edgecore.config import EdgeCore, check
from keadm.configuration import Wishes, edgecore_yaml
from keadm.layout import Layout
from keadm.steps import KeadmError


def wishes(**changes: object) -> Wishes:
    return Wishes(**{"node": "edge-1", "host": "192.0.2.10", "port": 10000, "certificate_port": 10002, **changes})  # type: ignore[arg-type]


def test_what_join_knows_stands_in_the_file() -> None:
    text = edgecore_yaml(wishes(labels={"zone": "a"}, cgroup_driver="systemd", runtime="process"), Layout(Path("/srv/one")))
    modules = yaml.safe_load(text)["modules"]
    assert modules["edgeHub"]["httpServer"] == "https://192.0.2.10:10002"
    assert modules["edgeHub"]["websocket"]["server"] == "192.0.2.10:10000"
    assert modules["edgeHub"]["token"] == ""
    assert modules["edged"]["hostnameOverride"] == "edge-1"
    assert modules["edged"]["nodeLabels"] == {"zone": "a"}
    assert modules["edged"]["runtime"] == "process"
    assert modules["edged"]["tailoredKubeletConfig"]["cgroupDriver"] == "systemd"
    assert modules["edged"]["rootDirectory"] == "/srv/one/var/lib/kubelet"


def test_edgecore_accepts_it() -> None:
    check(settings.parse(edgecore_yaml(wishes(), Layout()), EdgeCore, origin="test"), "test")


def test_an_address_of_version_6_is_bracketed() -> None:
    hub = yaml.safe_load(edgecore_yaml(wishes(host="2001:db8::1"), Layout()))["modules"]["edgeHub"]
    assert hub["websocket"]["server"] == "[2001:db8::1]:10000"
    assert hub["httpServer"] == "https://[2001:db8::1]:10002"


def test_set_changes_it() -> None:
    text = edgecore_yaml(wishes(sets=("modules.edgeStream.enable=true,modules.edgeHub.heartbeat=10",)), Layout())
    modules = yaml.safe_load(text)["modules"]
    assert (modules["edgeStream"]["enable"], modules["edgeHub"]["heartbeat"]) == (True, 10)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("modules.edgeHub.heartbeet=10", "did you mean `heartbeat`"),
        ("modules.edgeHub.heartbeat=soon", "modules.edgeHub.heartbeat"),
        ("modules.edgeHub.heartbeat=100", "from 1 to 29 seconds"),
        ("modules.edgeHub", "exactly one `=`"),
    ],
)
def test_a_set_that_does_not_fit_is_explained(expression: str, said: str) -> None:
    with pytest.raises(KeadmError) as error:
        edgecore_yaml(wishes(sets=(expression,)), Layout())
    assert said in error.value.message
