"""How many pods a rolling update may have at once, and which ReplicaSet gets which size: arithmetic alone.

Source: Kubernetes 1.32: pkg/controller/deployment (rolling.go, sync.go, util/deployment_util.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Member:
    """One ReplicaSet of a Deployment. ``size``: what it shall have; ``available``: pods that are ready for long enough.

    ``limit``: replicas and surge of the Deployment when it was last scaled; 0: not known.
    """

    name: str
    size: int
    available: int = 0
    created: str = ""
    limit: int = 0


@dataclass(frozen=True)
class Bounds:
    """What a Deployment asks for: so many pods, so many more at once, so many fewer."""

    replicas: int
    surge: int = 0
    unavailable: int = 0

    @property
    def most(self) -> int:
        return self.replicas + self.surge

    @property
    def least(self) -> int:
        """Available pods below which an update may not go."""
        return self.replicas - min(self.unavailable, self.replicas)


def resolve(amount: int | str, total: int, *, up: bool) -> int:
    """A number, or a percentage of ``total`` rounded up or down."""
    if isinstance(amount, int):
        return amount
    percent = int(amount.rstrip("%"))
    return -(-percent * total // 100) if up else percent * total // 100


def bounds(replicas: int, max_surge: int | str, max_unavailable: int | str) -> Bounds:
    """Of a rolling update. Both amounts may be rounded to nothing: then one pod may be unavailable, or nothing would move."""
    surge = resolve(max_surge, replicas, up=True)
    unavailable = resolve(max_unavailable, replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas, surge, unavailable)


def size_of_new(limits: Bounds, new_size: int, total: int) -> int:
    """What the new ReplicaSet shall have, when all of them have ``total`` together."""
    if new_size >= limits.replicas:
        return limits.replicas
    room = max(limits.most - total, 0)
    return min(new_size + room, limits.replicas)


def shrink_old(limits: Bounds, new: Member, old: Sequence[Member]) -> dict[str, int]:
    """The sizes of the old ReplicaSets that may become smaller now: pods that do not work first, then the oldest."""
    total = new.size + sum(member.size for member in old)
    may_go = total - limits.least - (new.size - new.available)
    if may_go <= 0:
        return {}
    oldest = sorted(old, key=lambda member: (member.created, member.name))
    sizes: dict[str, int] = {}
    for member in oldest:
        broken = min(may_go, member.size - member.available)
        if broken > 0:
            sizes[member.name] = member.size - broken
            may_go -= broken
    spare = new.available + sum(member.available for member in old) - limits.least
    for member in oldest:
        size = sizes.get(member.name, member.size)
        gone = min(size, spare)
        if gone > 0:
            sizes[member.name] = size - gone
            spare -= gone
    return sizes


def spread(limits: Bounds, members: Sequence[Member], present: int) -> dict[str, int]:
    """The sizes when a Deployment is scaled in the midst of an update: each keeps its share, the largest takes the rest.

    present: pods that the Deployment has had so far, for members that do not know their limit.
    """
    allowed = limits.most if limits.replicas > 0 else 0
    change = allowed - sum(member.size for member in members)
    if change == 0:
        return {}
    # Of equal ones the newer grow first, the older shrink first.
    ordered = sorted(members, key=lambda member: (member.created, member.name), reverse=change > 0)
    ordered.sort(key=lambda member: member.size, reverse=True)
    sizes, done = {}, 0
    for member in ordered:
        share = _share(limits, member, present)
        left = change - done
        part = 0 if member.size == 0 else min(share, left) if change > 0 else max(share, left)
        sizes[member.name] = member.size + part
        done += part
    if ordered:
        first = ordered[0].name
        sizes[first] = max(sizes[first] + change - done, 0)
    return sizes


def _share(limits: Bounds, member: Member, present: int) -> int:
    if limits.replicas == 0:
        return -member.size
    before = member.limit or present
    if before == 0:
        return 0
    product = member.size * limits.most
    return (2 * product + before) // (2 * before) - member.size


def resized(members: Sequence[Member], sizes: dict[str, int]) -> list[Member]:
    return [replace(member, size=sizes.get(member.name, member.size)) for member in members]
