"""From a planned start to a running container, or to the reason why not."""

from __future__ import annotations

import trio

from edgecore.edged import environment, termination
from edgecore.edged.credentials import from_secrets, secret_names
from edgecore.edged.environment import ConfigError
from edgecore.edged.images import ImageProblem, pull_policy
from edgecore.edged.plan import Problem, StartContainer
from edgecore.edged.room import Room
from edgecore.edged.runtime.engine import ContainerSpec, ContainerStartFailed, EngineError, EngineUnavailable, SandboxInfo
from edgecore.edged.spec import Place, container_spec, termination_file
from edgecore.edged.volumes import mounter
from edgecore.edged.volumes.payload import Material
from kube import objects
from kube.objects import Object


async def start_container(
    pod: Object, action: StartContainer, sandbox: SandboxInfo, material: Material, room: Room, *, patience: trio.CancelScope
) -> Problem | None:
    """Pulls, creates, starts. ``patience``: cancelling it gives up the pull; the rest runs through.

    Raises EngineUnavailable.
    """
    try:
        with patience:
            await _pull(pod, action, material, room)
        if patience.cancelled_caught:
            return Problem("ContainerCreating", "", room.clock())
        spec = await _specify(pod, action, sandbox, material, room)
    except ImageProblem as error:
        return Problem(error.reason, str(error), error.retry_at)
    except (ConfigError, OSError) as error:
        return Problem("CreateContainerConfigError", str(error))
    try:
        if action.replaces:
            await room.engine.remove_container(action.replaces)
        container_id = await room.engine.create_container(sandbox, spec)
    except EngineUnavailable:
        raise
    except EngineError as error:
        return Problem("CreateContainerError", str(error))
    return await _run(container_id, room)


async def _run(container_id: str, room: Room) -> Problem | None:
    try:
        await room.engine.start_container(container_id)
    except ContainerStartFailed as error:
        # The container counts as one that crashed: plan.py delays the next one. The reason is shown for a moment.
        return Problem("RunContainerError", str(error), room.clock() + 2.0)
    return None


async def _pull(pod: Object, action: StartContainer, material: Material, room: Room) -> None:
    image = str(action.container.get("image") or "")
    known = material.sources.secrets
    credentials = from_secrets([known[name] for name in secret_names(pod) if name in known], image)
    await room.puller.ensure(image, pull_policy(action.container), credentials)


async def _specify(pod: Object, action: StartContainer, sandbox: SandboxInfo, material: Material, room: Room) -> ContainerSpec:
    directory = room.settings.pod_directory(objects.uid(pod))
    place = Place(directory, room.settings.log_directory(pod), mounter.paths(pod, room.settings))
    facts = room.node.facts(sandbox.ip or (room.node.host_ip if sandbox.host_network else ""))
    spec = container_spec(
        pod,
        action,
        sandbox,
        place=place,
        sources=material.sources,
        facts=facts,
        memory_capacity=room.node.memory_capacity,
    )
    env = environment.build(pod, action.container, material.sources, facts)

    def prepare() -> None:
        mounter.prepare_mounts(pod, action.container, room.settings, env)
        termination.prepare(termination_file(directory, action.name, action.attempt))

    await room.on_disk(prepare)
    return spec
