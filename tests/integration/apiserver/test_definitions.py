"""Custom resources through the real kubectl: it reads like a terminal."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
import trio

if TYPE_CHECKING:
    from conftest import Server, StartServer

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kilns.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: kilns, singular: kiln, kind: Kiln, shortNames: [kl], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.burners, statusReplicasPath: .status.burners, labelSelectorPath: .status.selector}
    additionalPrinterColumns:
    - {name: Burners, type: integer, jsonPath: .spec.burners}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            description: What the kiln shall do.
            type: object
            properties:
              burners: {type: integer, minimum: 1, maximum: 8, default: 2, description: How many burners are lit.}
              fuel: {type: string, enum: [gas, wood], default: gas}
              colour: {type: string, pattern: '^[a-z]+$'}
              ports:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, port: {x-kubernetes-int-or-string: true}}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
    selectableFields: [{jsonPath: .spec.fuel}]
  - name: v1beta1
    served: true
    storage: false
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
KILN = """
apiVersion: example.com/v1
kind: Kiln
metadata: {name: big}
spec: {burners: 3, colour: red}
"""


@pytest.fixture
async def defined(kubectl: Server) -> Server:
    await kubectl.kubectl("apply", "-f", "-", stdin=DEFINITION)
    await kubectl.kubectl("wait", "--for=condition=Established", "crd/kilns.example.com", "--timeout=20s")
    return kubectl


async def test_the_life_of_a_custom_resource(defined: Server) -> None:
    assert await defined.kubectl("apply", "-f", "-", stdin=KILN) == "kiln.example.com/big created\n"
    assert await defined.kubectl("apply", "-f", "-", stdin=KILN) == "kiln.example.com/big unchanged\n"
    assert "configured" in await defined.kubectl("apply", "-f", "-", stdin=KILN.replace("3", "4"))
    head, line = (await defined.kubectl("get", "kl")).splitlines()
    assert head.split() == ["NAME", "BURNERS", "READY", "AGE"]
    assert line.split()[:2] == ["big", "4"]
    found = json.loads(await defined.kubectl("get", "kiln", "big", "-o", "json"))
    assert found["spec"] == {"burners": 4, "colour": "red", "fuel": "gas"}
    assert "kiln.example.com/big" in await defined.kubectl("get", "all")
    await defined.kubectl("patch", "kiln", "big", "--type=merge", "-p", '{"spec":{"fuel":"wood"}}')
    assert "big" in await defined.kubectl("get", "kiln", "--field-selector=spec.fuel=wood")
    assert "No resources" in await defined.kubectl("get", "kiln", "--field-selector=spec.fuel=gas")
    assert "415" in await defined.kubectl_fails("patch", "kiln", "big", "--type=strategic", "-p", "{}", "-v", "8")
    await defined.kubectl("delete", "kiln", "big")
    assert "NotFound" in await defined.kubectl_fails("get", "kiln", "big")


async def test_what_is_wrong_is_told(defined: Server) -> None:
    wrong = KILN.replace("burners: 3, colour: red", "burners: many, colour: Red, heat: 5")
    assert 'unknown field "spec.heat"' in await defined.kubectl_fails("create", "-f", "-", stdin=wrong)
    told = await defined.kubectl_fails("create", "--validate=ignore", "-f", "-", stdin=wrong)
    assert 'spec.burners: Invalid value: "string": spec.burners in body must be of type integer: "string"' in told
    assert "spec.colour: Invalid value: \"Red\": spec.colour in body should match '^[a-z]+$'" in told
    assert "spec: Required value" in await defined.kubectl_fails("create", "-f", "-", stdin=KILN.rpartition("spec:")[0])


async def test_two_versions_of_one_object(defined: Server) -> None:
    await defined.kubectl("create", "-f", "-", stdin=KILN)
    old = json.loads(await defined.kubectl("get", "kilns.v1beta1.example.com", "big", "-o", "json"))
    assert (old["apiVersion"], old["spec"]["burners"]) == ("example.com/v1beta1", 3)
    await defined.kubectl("patch", "kilns.v1beta1.example.com", "big", "--type=merge", "-p", '{"spec":{"burners":5}}')
    new = json.loads(await defined.kubectl("get", "kilns", "big", "-o", "json"))
    assert (new["apiVersion"], new["spec"]["burners"]) == ("example.com/v1", 5)


async def test_status_and_scale(defined: Server) -> None:
    await defined.kubectl("create", "-f", "-", stdin=KILN)
    status = '{"spec":{"burners":7},"status":{"burners":3,"conditions":[{"type":"Ready","status":"True"}]}}'
    await defined.kubectl("patch", "kiln", "big", "--subresource=status", "--type=merge", "-p", status)
    assert (await defined.kubectl("get", "kiln")).splitlines()[1].split()[:3] == ["big", "3", "True"]
    assert await defined.kubectl("scale", "kiln", "big", "--replicas=6") == "kiln.example.com/big scaled\n"
    assert await defined.kubectl("get", "kiln", "big", "-o", "jsonpath={.spec.burners} {.metadata.generation}") == "6 2"
    assert "should be less than or equal to 8" in await defined.kubectl_fails("scale", "kiln", "big", "--replicas=9")


async def test_explain_and_discovery(defined: Server) -> None:
    told = await defined.kubectl("explain", "kiln.spec")
    assert "What the kiln shall do." in told
    assert "How many burners are lit." in told
    assert "How many burners are lit." in await defined.kubectl("explain", "kiln.spec", "--output=plaintext-openapiv2")
    kinds = await defined.kubectl("api-resources", "--api-group=example.com", "--no-headers")
    assert kinds.split() == ["kilns", "kl", "example.com/v1", "true", "Kiln"]
    listed = await defined.kubectl("get", "crd", "-o", "name")
    assert "customresourcedefinition.apiextensions.k8s.io/objectsyncs.reliablesyncs.kubeedge.io" in listed


async def test_a_definition_goes_with_its_objects(defined: Server) -> None:
    for number in range(3):
        await defined.kubectl("create", "-f", "-", stdin=KILN.replace("big", f"big{number}"))
    await defined.kubectl("delete", "crd", "kilns.example.com", "--timeout=20s")
    assert "could not find the requested resource" in await defined.kubectl_fails("get", "kilns")
    await defined.kubectl("apply", "-f", "-", stdin=DEFINITION)
    await defined.kubectl("wait", "--for=condition=Established", "crd/kilns.example.com", "--timeout=20s")
    assert "No resources found" in await defined.kubectl("get", "kilns")


async def test_a_namespace_goes_with_its_custom_resources(defined: Server) -> None:
    await defined.kubectl("create", "namespace", "works")
    await defined.kubectl("create", "-n", "works", "-f", "-", stdin=KILN)
    await defined.kubectl("delete", "namespace", "works", "--timeout=20s")
    assert "No resources found" in await defined.kubectl("get", "kilns", "-A")


async def test_definitions_are_served_again_after_a_restart(start_server: StartServer) -> None:
    async with start_server() as server:
        await server.kubectl("apply", "-f", "-", stdin=DEFINITION)
        await server.kubectl("wait", "--for=condition=Established", "crd/kilns.example.com", "--timeout=20s")
        await server.kubectl("create", "-f", "-", stdin=KILN)
        versions = await server.kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    async with start_server() as server:
        assert "big" in await server.kubectl("get", "kilns")
        assert await server.kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.resourceVersion}") == versions


async def test_a_deletion_goes_on_after_a_restart(start_server: StartServer) -> None:
    async with start_server() as server:
        await server.kubectl("apply", "-f", "-", stdin=DEFINITION)
        await server.kubectl("wait", "--for=condition=Established", "crd/kilns.example.com", "--timeout=20s")
        await server.kubectl(
            "create", "-f", "-", stdin=KILN.replace("{name: big}", "{name: big, finalizers: [example.com/hold]}")
        )
        await server.kubectl("delete", "crd", "kilns.example.com", "--wait=false")
    async with start_server() as server:
        await server.kubectl("patch", "kiln", "big", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        await server.kubectl("wait", "--for=delete", "crd/kilns.example.com", "--timeout=20s")


async def test_watch(defined: Server) -> None:
    await defined.kubectl("create", "-f", "-", stdin=KILN)
    seen = []
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            argv = defined.argv("get", "kilns", "-w", "--output-watch-events", "--no-headers")
            process = await nursery.start(
                lambda task_status: trio.run_process(
                    argv, stdout=subprocess.PIPE, env=defined.environment, check=False, task_status=task_status
                )
            )
            rest = b""
            async for piece in process.stdout:
                rest += piece
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    seen.append(line.decode().split()[:3])
                    if len(seen) == 1:
                        await defined.kubectl("patch", "kiln", "big", "--type=merge", "-p", '{"spec":{"burners":5}}')
                    elif len(seen) == 2:
                        await defined.kubectl("delete", "kiln", "big", "--wait=false")
                if len(seen) == 3:
                    process.terminate()
                    break
    assert seen == [["ADDED", "big", "3"], ["MODIFIED", "big", "5"], ["DELETED", "big", "5"]]
