"""A conversation through lightkube. Argument: a kubeconfig."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from kilns import DEFINITION, GROUP, NAME, config_map, kiln, pod
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import PatchType


def refused(code: int, reason: str, call: Callable[[], Any]) -> str:
    try:
        call()
    except ApiError as error:
        assert (error.status.code, error.status.reason) == (code, reason), error.status
        return str(error.status.message)
    raise AssertionError(f"not refused with {code}")


def objects(api: Client) -> None:
    made = api.create(ConfigMap.from_dict(config_map("a", k="1")))
    refused(409, "AlreadyExists", lambda: api.create(ConfigMap.from_dict(config_map("a"))))
    refused(404, "NotFound", lambda: api.get(ConfigMap, "b"))
    refused(422, "Invalid", lambda: api.create(ConfigMap.from_dict(config_map("No Name"))))
    assert [one.metadata.name for one in api.list(ConfigMap, labels={"of": "clients"})] == ["a"]
    patched = api.patch(ConfigMap, "a", {"data": {"k": "2"}})
    assert patched.data == {"k": "2"}
    assert api.patch(ConfigMap, "a", {"data": {"l": "1"}}, patch_type=PatchType.MERGE).data == {"k": "2", "l": "1"}
    made.data = {"k": "3"}
    refused(409, "Conflict", lambda: api.replace(made))
    api.delete(ConfigMap, "a")
    assert api.create(Pod.from_dict(pod("by-lightkube"))).status.phase == "Pending"
    api.delete(Pod, "by-lightkube", grace_period=0)
    assert list(api.list(Node)) == []


def watching(api: Client) -> None:
    listed = api.list(ConfigMap, namespace="default")
    assert [one.metadata.name for one in listed if one.metadata.name == "w"] == []
    start = listed.resourceVersion  # known once it has been read

    def change() -> None:
        api.create(ConfigMap.from_dict(config_map("w", k="1")))
        api.patch(ConfigMap, "w", {"data": {"k": "2"}})
        api.delete(ConfigMap, "w")

    writer = threading.Thread(target=change)
    writer.start()
    seen = []
    for operation, found in api.watch(ConfigMap, labels={"of": "clients"}, resource_version=start, server_timeout=30):
        seen.append((operation, found.data["k"]))
        if len(seen) == 3:
            break
    writer.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen


def custom(api: Client) -> None:
    api.create(CustomResourceDefinition.from_dict(DEFINITION))
    api.wait(CustomResourceDefinition, NAME, for_conditions=["Established"])
    kilns = create_namespaced_resource(GROUP, "v1", "Kiln", "kilns")
    assert api.create(kilns.from_dict(kiln("k")))["spec"] == {"burners": 2}
    told = refused(422, "Invalid", lambda: api.create(kilns.from_dict(kiln("l", burners=9))))
    assert "spec.burners in body should be less than or equal to 8" in told
    assert api.patch(kilns, "k", {"spec": {"burners": 3}}, patch_type=PatchType.MERGE)["spec"] == {"burners": 3}
    status = api.patch(kilns.Status, "k", {"status": {"lit": True}}, patch_type=PatchType.MERGE)
    assert status["status"] == {"lit": True}
    assert [one.metadata.name for one in api.list(kilns)] == ["k"]
    api.delete(kilns, "k")
    api.delete(CustomResourceDefinition, NAME)


def main() -> None:
    api = Client(KubeConfig.from_file(sys.argv[1]), trust_env=False)
    objects(api)
    watching(api)
    custom(api)
    print("done")


main()
