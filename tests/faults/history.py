"""A random history against real programs: what clients do, what breaks, and what must be true when everything is healed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from e2e.harness import Cloud, Edge, is_ready, remove_containers
from e2e.manifests import config_map, pod, secret
from faults import observer
from faults.model import Answer, Pod, Revisions, Text, answer_of
from faults.proxy import Proxy, proxy

NAMES = [f"p{number}" for number in range(6)]
ONCE = ["once0", "once1"]
TEXTS = ["one", "two", "three"]
CONVERGED_WITHIN = 120.0
QUICK = 8.0
"""Seconds that a client waits for one command."""

Body = dict[str, Any]


class World:
    """The halves, the network between them, and what the clients know. ``story`` is what has happened, with times."""

    def __init__(self, folder: Path, runtime: str, seed: int, network: Proxy, cloud: Cloud) -> None:
        self.folder, self.seed, self.network, self.cloud = folder, seed, network, cloud
        self.edge = Edge(folder / "edge", cloud, runtime, hub_port=network.port)
        self.random = random.Random(seed)
        self.pods = {name: Pod(name, once=name in ONCE) for name in NAMES + ONCE}
        self.texts = {(kind, name): Text() for kind in ("configmap", "secret") for name in TEXTS}
        self.revisions = Revisions()
        self.watchers = [observer.Watcher(cloud, kind, self.revisions) for kind in ("pods", "configmaps", "secrets")]
        self.story: list[str] = []
        self.counter = 0
        self.kills = {"cloudcore": 0, "edgecore": 0, "containers": 0}
        self.largest: dict[str, int] = {}
        self._begin = time.monotonic()
        self._timers: list[threading.Timer] = []
        self.out = folder / "out"
        self.out.mkdir(parents=True)
        self.out.chmod(0o777)

    def note(self, text: str) -> None:
        self.story.append(f"{time.monotonic() - self._begin:7.2f}  {text}")

    # -- clients ---------------------------------------------------------------------------------------------------

    def kubectl(self, *args: str, stdin: str | None = None) -> tuple[Answer, str, str]:
        """The answer to one write, what it printed, and what it complained."""
        try:
            done = self.cloud.kubectl(*args, check=False, stdin=stdin, within=QUICK)
            answer, out, err = answer_of(done.returncode, done.stderr), done.stdout, done.stderr.strip()
        except subprocess.TimeoutExpired:
            answer, out, err = "unknown", "", "no answer in time"
        self.note(f"kubectl {' '.join(args)}: {answer} {err[:160]}")
        if answer == "yes" and out.startswith("{"):
            self.revisions.saw(json.loads(out))
        return answer, out, err

    def next(self) -> str:
        self.counter += 1
        return f"v{self.counter}"

    def write_text(self) -> None:
        kind, name = self.random.choice(sorted(self.texts))
        value = self.next()
        field = {"data": {"value": value}} if kind == "configmap" else {"stringData": {"value": value}}
        answer, _, _ = self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(field), "-o", "json")
        self.texts[kind, name].wrote(value, answer)

    def remake_text(self) -> None:
        """Deletes and makes again: the same name, another uid."""
        kind, name = self.random.choice(sorted(self.texts))
        answer, _, _ = self.kubectl("delete", kind, name, "--wait=false")
        if answer == "no":
            return
        self.make_text(kind, name)

    def make_text(self, kind: str, name: str) -> None:
        value = self.next()
        body = config_map(name, value=value) if kind == "configmap" else secret(name, value=value)
        answer, _, _ = self.kubectl("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(body))
        self.texts[kind, name].wrote(value, answer)

    def create(self) -> None:
        free = [each for each in self.pods.values() if each.present is not True or each.leaving]
        if free:
            self.create_pod(self.random.choice(free))
        else:
            self.relabel()

    def create_pod(self, each: Pod) -> None:
        label = self.next()
        each.containers = 1 if each.once else self.random.choice([1, 1, 2])
        each.settings, each.hidden = self.random.choice(TEXTS), self.random.choice(TEXTS)
        answer, out, _ = self.kubectl(
            "create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(self._body(each, label))
        )
        each.created(answer, json.loads(out)["metadata"]["uid"] if answer == "yes" else "", label)

    def _body(self, each: Pod, label: str) -> Body:
        uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
        inside = self.edge.runtime == "docker"
        out = "/shared" if inside else str(self.out)
        command = ["sh", "-c", f"echo start >> {out}/$POD_UID"] if each.once else ["sh", "-c", "sleep 3600 & wait"]
        body = pod(
            each.name,
            *command,
            terminationGracePeriodSeconds=1,
            restartPolicy="Never" if each.once else "Always",
            volumes=[
                {"name": "settings", "configMap": {"name": each.settings}},
                {"name": "hidden", "secret": {"secretName": each.hidden}},
                {
                    "name": "labels",
                    "downwardAPI": {"items": [{"path": "value", "fieldRef": {"fieldPath": "metadata.labels['value']"}}]},
                },
                {"name": "out", "hostPath": {"path": str(self.out)}},
            ],
            container={
                "env": [uid, {"name": "POD_NAME", "value": each.name}, {"name": "WHICH", "value": "main"}],
                "volumeMounts": [{"name": name, "mountPath": f"/etc/{name}"} for name in ("settings", "hidden", "labels")]
                + [{"name": "out", "mountPath": "/shared"}],
            },
        )
        body["metadata"]["labels"] = {"value": label}
        if each.containers == 2:
            (first,) = body["spec"]["containers"]
            second = first | {"name": "second", "env": [*first["env"][:2], {"name": "WHICH", "value": "second"}]}
            body["spec"]["containers"].append(second)
        if self.random.random() < 0.5:
            body["spec"]["nodeName"] = self.edge.name
        return body

    def delete(self, *, force: bool | None = None) -> Pod:
        each = self.random.choice([each for each in self.pods.values() if each.present is not False] or [*self.pods.values()])
        force = self.random.random() < 0.4 if force is None else force
        how = ("--force", "--grace-period=0") if force else ("--grace-period=1",)
        answer, _, err = self.kubectl("delete", "pod", each.name, "--wait=false", *how)
        missing = "(NotFound)" in err
        each.deleted(answer, force=force, missing=missing)
        return each

    def recreate(self) -> None:
        """The same name, another uid, at once."""
        each = self.delete(force=True)
        self.create_pod(each)

    def relabel(self) -> None:
        each = self.random.choice(list(self.pods.values()))
        value = self.next()
        patch = json.dumps({"metadata": {"labels": {"value": value}}})  # `kubectl label` prints the old revision
        answer, _, _ = self.kubectl("patch", "pod", each.name, "--type=merge", "-p", patch, "-o", "json")
        if each.present is not False:
            each.label.wrote(value, answer)

    # -- what breaks -------------------------------------------------------------------------------------------------

    def soon(self, what: Callable[[], None]) -> None:
        """In the middle of what comes next."""
        timer = threading.Timer(self.random.uniform(0, 0.4), what)
        self._timers.append(timer)
        timer.start()

    def settle(self) -> None:
        for timer in self._timers:
            timer.join()
        self._timers.clear()

    def kill(self, program: str) -> None:
        half = self.edge.program if program == "edgecore" else self.cloud.program
        if half.running():
            self._measure()
            half.kill()
            self.kills[program] += 1
            self.note(f"kill -9 {program}")

    def kill_edge(self) -> None:
        self.soon(lambda: self.kill("edgecore"))

    def kill_cloud(self) -> None:
        self.soon(lambda: self.kill("cloudcore"))

    def kill_both(self) -> None:
        self.kill_edge()
        self.kill_cloud()

    def raise_dead(self) -> None:
        self.settle()
        for name, half in (("cloudcore", self.cloud.program), ("edgecore", self.edge.program)):
            if not half.running():
                self.note(f"start {name}")
                half.start()
        if self.random.random() < 0.7:
            self.cloud.wait_answering()

    def cut(self) -> None:
        self.note("cut the link")
        self.network.cut()

    def stall(self) -> None:
        self.network.stalled = not self.network.stalled
        self.note(f"the link {'stalls' if self.network.stalled else 'flows, and is cut'}")
        if not self.network.stalled:
            self.network.cut()  # what was swallowed is missing in the middle of a stream

    def refuse(self) -> None:
        self.network.refusing = not self.network.refusing
        self.note(f"the link {'is refused' if self.network.refusing else 'opens again'}")
        if self.network.refusing:
            self.network.cut()

    def injure(self) -> None:
        """Kills a container behind edgecore's back; one twice injured would wait long in its back-off."""
        self.settle()
        found = [each for each in observer.running(self.edge) if each.pod in self.pods and not self.pods[each.pod].injured]
        if not found:
            return
        each = self.random.choice(found)
        self.pods[each.pod].injured = 1
        self.kills["containers"] += 1
        directory = f"{each.container_id.removeprefix('process://')}"
        parents = [number for number, text in observer.shims(self.edge).items() if directory in text]
        how = self.random.choice(["process", "parent"])
        self.note(f"kill the {how} of container {each.name} of {each.pod} {each.uid}")
        if self.edge.runtime == "docker" and how == "parent":
            subprocess.run(["docker", "rm", "-f", each.container_id.removeprefix("docker://")], capture_output=True, check=False)
            return
        with suppress(ProcessLookupError):
            os.kill(parents[0] if parents and how == "parent" else each.pid, signal.SIGKILL)

    def pause(self) -> None:
        time.sleep(self.random.uniform(0, 1.5))

    # -- a history ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.cloud.start()
        for kind, name in self.texts:
            self.make_text(kind, name)
        self.edge.join()
        self.edge.wait_ready()
        for watcher in self.watchers:
            watcher.start()
        self._begin = time.monotonic()

    def step(self, *, harm: bool = True) -> None:
        doing = {self.create: 6, self.delete: 3, self.recreate: 3, self.write_text: 4, self.remake_text: 1, self.relabel: 3}
        breaking = {
            self.kill_edge: 2,
            self.kill_cloud: 2,
            self.kill_both: 1,
            self.raise_dead: 1,
            self.cut: 1,
            self.stall: 1.5,
            self.refuse: 1,
            self.injure: 1.5,
            self.pause: 2,
        }
        weights: dict[Callable[[], object], float] = {**doing, **breaking} if harm else {**doing, self.pause: 2}
        dead = harm and not (self.cloud.program.running() and self.edge.program.running())
        if dead and self.random.random() < (0.4 if self.edge.program.running() else 0.2):
            self.raise_dead()  # without the cloud little happens
            return
        (chosen,) = self.random.choices(list(weights), list(weights.values()))
        chosen()

    def heal(self) -> None:
        """Everything works again, and whatever a broken write has taken away is put back."""
        self.settle()
        self.note("everything is healed")
        self.network.refusing = self.network.stalled = False
        self.network.cut()
        self.raise_dead()
        self.cloud.wait_answering()
        present = {(item["kind"].lower(), item["metadata"]["name"]) for item in self.cloud.get("configmaps,secrets")["items"]}
        for place, text in self.texts.items():
            if place not in present:
                text.values.clear()
                self.make_text(*place)

    def _measure(self) -> None:
        for program in (self.cloud.program, self.edge.program):
            with suppress(OSError, AssertionError):
                for what, value in (("RSS", program.memory("VmHWM")), ("fds", observer.descriptors(program))):
                    key = f"{program.name} {what}"
                    self.largest[key] = max(self.largest.get(key, 0), value)

    # -- what must be true ----------------------------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """What is not as it should be at this moment; empty when everything has converged."""
        self._measure()
        found = {item["metadata"]["name"]: item for item in self.cloud.get("pods")["items"]}
        real = observer.running(self.edge)
        wrong = [f"pod {each.name}: {text}" for each in self.pods.values() if (text := each.complaint(found.get(each.name)))]
        uids = {item["metadata"]["uid"] for item in found.values()}
        wrong += [f"{one.pod} ({one.uid}) runs as {one.pid} and nobody wants it" for one in real if one.uid not in uids]
        for name, item in found.items():
            mine = [one for one in real if one.uid == item["metadata"]["uid"]]
            wrong += [f"pod {name}: {text}" for text in self._about(item, mine)]
        wrong += self._about_texts()
        for place, seen in observer.pods_on_disk(self.edge).items():
            wrong += [f"{place}: {uid} is left over" for uid in sorted(seen - uids)]
        wrong += observer.surplus(self.edge)
        if self.edge.runtime == "process" and len(observer.shims(self.edge)) != len(real):
            wrong.append(f"{len(observer.shims(self.edge))} shims for {len(real)} containers")
        for watcher in self.watchers:
            metas = [item["metadata"] for item in self.cloud.get(watcher.resource, "-A")["items"]]
            listed = {meta["uid"]: int(meta["resourceVersion"]) for meta in metas}
            if listed != watcher.known:
                wrong.append(f"the watch of {watcher.resource} believes {watcher.known}, the API holds {listed}")
        return wrong

    def _about(self, item: Body, real: list[observer.Real]) -> Iterator[str]:
        status = item.get("status", {})
        uid, name = item["metadata"]["uid"], item["metadata"]["name"]
        if item["metadata"].get("deletionTimestamp"):
            yield "is still being deleted"
        if name in ONCE:
            starts = (self.out / uid).read_text().split() if (self.out / uid).exists() else []
            if status.get("phase") not in ("Succeeded", "Failed") or real or len(starts) > 1:
                yield f"phase {status.get('phase')}, started {len(starts)} times, {len(real)} running"
            if status.get("phase") == "Succeeded" and len(starts) != 1:
                yield f"Succeeded, and was started {len(starts)} times"
            return
        if not is_ready(item):
            yield f"phase {status.get('phase')}: {json.dumps(status.get('containerStatuses'))[:300]}"
        said = {one["name"]: one.get("containerID", "") for one in status.get("containerStatuses", [])}
        ids = sorted((one.name, one.container_id) for one in real)
        if ids != sorted(said.items()) or len(ids) != len(item["spec"]["containers"]):
            yield f"the API says {said}, running are {ids}"
        for one in real:
            yield from self._about_files(item, one)

    def _about_files(self, item: Body, one: observer.Real) -> Iterator[str]:
        volumes = {volume["name"]: volume for volume in item["spec"]["volumes"]}
        wanted = {
            "settings": self.texts["configmap", volumes["settings"]["configMap"]["name"]].values,
            "hidden": self.texts["secret", volumes["hidden"]["secret"]["secretName"]].values,
            "labels": {item["metadata"]["labels"]["value"]},
        }
        for place, values in wanted.items():
            text = one.text(f"etc/{place}/value")
            if text not in values:
                yield f"{one.name}: etc/{place}/value is {text!r}, not {sorted(values)}"

    def _about_texts(self) -> Iterator[str]:
        """Also narrows an uncertain text down to what the API holds, so that files are judged by that."""
        found = {(i["kind"].lower(), i["metadata"]["name"]): i for i in self.cloud.get("configmaps,secrets")["items"]}
        for place, text in self.texts.items():
            item = found.get(place)
            value = decoded(item) if item else None
            if value not in text.values:
                yield f"{place}: holds {value!r}, acknowledged {sorted(text.values)}"
            elif value is not None:
                text.values = {value}

    def broken_rules(self) -> list[str]:
        """What must never have happened at all. The programs are stopped first."""
        wrong = list(self.revisions.problems)
        for watcher in self.watchers:
            watcher.close()
            wrong += watcher.problems
        for program in (self.edge.program, self.cloud.program):
            program.stop()
            _, found, text = program.output().partition("Traceback")
            if found:
                wrong.append(f"{program.name} logged a Traceback{text[:4000]}")
        for database in (self.edge.database, *(self.cloud.folder / "data").glob("*.db")):
            if (said := observer.integrity(database)) != "ok":
                wrong.append(f"{database}: {said}")
        return wrong


def converge(one: World) -> float:
    """Seconds until nothing is left to complain about, and stays so."""
    begin = time.monotonic()
    wrong = ["not looked yet"]
    calm = 0
    while calm < 2:
        if time.monotonic() > begin + CONVERGED_WITHIN:
            raise AssertionError("not converged:\n" + "\n".join(wrong))
        try:
            wrong = one.complaints()
        except AssertionError as error:
            wrong = [str(error)]
        calm = calm + 1 if not wrong else 0
        time.sleep(0.5)
    return time.monotonic() - begin


def decoded(item: Body) -> str:
    import base64

    value = str(item.get("data", {}).get("value", ""))
    return base64.b64decode(value).decode() if item["kind"] == "Secret" else value


@contextmanager
def world(folder: Path, runtime: str, seed: int) -> Iterator[World]:
    """Halves that run; everything of them is gone afterwards."""
    cloud = Cloud(folder / "cloud")
    with proxy(cloud.hub_port) as network:
        made = World(folder, runtime, seed, network, cloud)
        try:
            made.begin()
            yield made
        finally:
            made.settle()
            for watcher in made.watchers:
                watcher.close()
            made.edge.program.kill()
            cloud.program.kill()
            made.edge.keadm("reset", "edge", "--force", f"--prefix={made.edge.folder}")
            for pid in [*observer.shims(made.edge), *(one.pid for one in observer.running(made.edge) if runtime == "process")]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            remove_containers(made.edge.root)
