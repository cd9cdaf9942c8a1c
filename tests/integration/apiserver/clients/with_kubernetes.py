"""A conversation through the official Python client (``kubernetes``). Argument: a kubeconfig."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from kilns import DEFINITION, GROUP, NAME, config_map, kiln, pod
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient


def refused(code: int, reason: str, call: Callable[[], Any]) -> str:
    try:
        call()
    except ApiException as error:
        assert (error.status, error.reason) == (code, error.reason), error
        assert f'"reason":"{reason}"' in str(error.body).replace(" ", ""), error.body
        return str(error.body)
    raise AssertionError(f"not refused with {code}")


def plain(answer: Any) -> dict[str, Any]:
    """Of a deletion: older versions make an object of it, newer ones a dictionary."""
    return answer if isinstance(answer, dict) else dict(answer.to_dict())


def objects(core: client.CoreV1Api) -> None:
    made = core.create_namespaced_config_map("default", config_map("a", k="1"))
    refused(409, "AlreadyExists", lambda: core.create_namespaced_config_map("default", config_map("a")))
    refused(404, "NotFound", lambda: core.read_namespaced_config_map("b", "default"))
    refused(422, "Invalid", lambda: core.create_namespaced_config_map("default", config_map("No Name")))
    assert [one.metadata.name for one in core.list_namespaced_config_map("default", label_selector="of=clients").items] == ["a"]
    patched = core.patch_namespaced_config_map("a", "default", {"data": {"k": "2"}})
    assert patched.data == {"k": "2"}
    made.data = {"k": "3"}
    refused(409, "Conflict", lambda: core.replace_namespaced_config_map("a", "default", made))
    patched.data = {"k": "3"}
    assert core.replace_namespaced_config_map("a", "default", patched).data == {"k": "3"}
    assert plain(core.delete_namespaced_config_map("a", "default"))["status"] == "Success"


def pods(core: client.CoreV1Api) -> None:
    made = core.create_namespaced_pod("default", pod("p"))
    assert made.spec.restart_policy == "Always"
    assert made.status.phase == "Pending"
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert core.patch_namespaced_pod_status("p", "default", status).status.phase == "Running"
    page = core.list_pod_for_all_namespaces(limit=1, label_selector="of=clients")
    assert [one.metadata.name for one in page.items] == ["p"]
    gone = core.delete_namespaced_pod("p", "default", grace_period_seconds=0)
    assert plain(gone)["metadata"]["name"] == "p"


def watching(core: client.CoreV1Api) -> None:
    start = core.list_namespaced_config_map("default").metadata.resource_version

    def change() -> None:
        core.create_namespaced_config_map("default", config_map("w", k="1"))
        core.patch_namespaced_config_map("w", "default", {"data": {"k": "2"}})
        core.delete_namespaced_config_map("w", "default")

    writer = threading.Thread(target=change)
    writer.start()
    seen = []
    stream = watch.Watch()
    for event in stream.stream(
        core.list_namespaced_config_map, "default", resource_version=start, label_selector="of=clients", timeout_seconds=30
    ):
        seen.append((event["type"], event["object"].data["k"]))
        if len(seen) == 3:
            stream.stop()
    writer.join()
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen


def custom(api: client.ApiClient) -> None:
    definitions, customs = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    definitions.create_custom_resource_definition(DEFINITION)
    deadline = time.monotonic() + 30
    while not any(
        one.type == "Established" and one.status == "True"
        for one in definitions.read_custom_resource_definition(NAME).status.conditions or []
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    place = (GROUP, "v1", "default", "kilns")
    assert customs.create_namespaced_custom_object(*place, kiln("k"))["spec"] == {"burners": 2}
    told = refused(422, "Invalid", lambda: customs.create_namespaced_custom_object(*place, kiln("l", burners=9)))
    assert "spec.burners in body should be less than or equal to 8" in told
    assert customs.patch_namespaced_custom_object(*place, "k", {"spec": {"burners": 3}})["spec"]["burners"] == 3
    status = {"status": {"lit": True}}
    assert customs.patch_namespaced_custom_object_status(*place, "k", status)["status"] == {"lit": True}
    dynamic = DynamicClient(api).resources.get(api_version=f"{GROUP}/v1", kind="Kiln")
    assert [one.metadata.name for one in dynamic.get(namespace="default").items] == ["k"]
    customs.delete_namespaced_custom_object(*place, "k")
    definitions.delete_custom_resource_definition(NAME)


def main() -> None:
    config.load_kube_config(sys.argv[1])
    with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        assert client.VersionApi(api).get_code().major == "1"
        assert "pods" in {one.name for one in core.get_api_resources().resources}
        assert "apps" in {one.name for one in client.ApisApi(api).get_api_versions().groups}
        objects(core)
        pods(core)
        watching(core)
        custom(api)
        utils.create_from_dict(api, config_map("made", k="1"))
        core.delete_namespaced_config_map("made", "default")
    print("done")


main()
