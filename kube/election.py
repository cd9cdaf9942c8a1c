"""Who leads among several processes: the rules of a leader Lease. No sockets, no clock of its own.

The semantics of client-go's leader election (tools/leaderelection/leaderelection.go, resourcelock/leaselock.go), so that ours and
others may stand for the same Lease. Times of other machines are never compared with ours: a Lease counts as held for as long as
its duration after the moment at which *we* saw it change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kube import objects
from kube.objects import Object
from kube.resources import LEASES

RELEASED: Final = 1
"""leaseDurationSeconds of a Lease that its holder has given up."""


@dataclass(frozen=True)
class Terms:
    """Seconds. lease: for which others leave a silent leader alone. renew: after which a leader that could not renew gives up,
    shorter than lease. retry: between two attempts; those who wait add up to jitter times as much."""

    lease: float = 15.0
    renew: float = 10.0
    retry: float = 2.0
    jitter: float = 1.2


class Election:
    """One candidate. Ask for a ``bid`` after each ``observe``; when the API has taken it, say ``won``."""

    def __init__(self, namespace: str, name: str, identity: str, terms: Terms = Terms()) -> None:
        """identity: of this process, like no other's at any time."""
        self.namespace, self.name = namespace, name
        self.identity = identity
        self.terms = terms
        self._lease: Object | None = None
        self._changed = 0.0
        self._until = float("-inf")

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; "" for nobody."""
        found = objects.spec(self._lease or {}).get("holderIdentity")
        return found if isinstance(found, str) else ""

    @property
    def until(self) -> float:
        """Before this moment we lead, from it on somebody else may; -inf when we do not lead."""
        return self._until

    def leads(self, now: float) -> bool:
        return now < self._until

    def observe(self, lease: Object | None, now: float) -> None:
        """What the API has; None when it has no such Lease."""
        if lease is None or self._lease is None or _content(lease) != _content(self._lease):
            self._changed = now
        self._lease = lease
        if self.holder != self.identity:
            self._until = float("-inf")

    def bid(self, now: float, wall: float) -> Object | None:
        """The Lease to write, None while somebody else holds it. wall: seconds since the epoch, for people.

        It is to be created when the API has none, else to replace the one that was seen and no other.
        """
        mine = self.holder == self.identity
        if self.holder and not mine and now < self._changed + self._length():
            return None
        old = objects.spec(self._lease or {})
        time = objects.micro_timestamp(wall)
        spec: dict[str, Any] = old | {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self.terms.lease),
            "renewTime": time,
            "acquireTime": old.get("acquireTime") or time if mine else time,
            "leaseTransitions": _count(old.get("leaseTransitions")) + (0 if mine or self._lease is None else 1),
        }
        return self._with(spec)

    def won(self, lease: Object, begun: float) -> None:
        """The API has taken the bid; the call began at ``begun``, so nobody can have seen it change before."""
        self._lease, self._changed = lease, begun
        self._until = begun + self.terms.renew

    def resign(self, wall: float) -> Object | None:
        """We stop leading now. Returns the Lease to write so that nobody has to wait, None when we do not hold it."""
        self._until = float("-inf")
        if self._lease is None or self.holder != self.identity:
            return None
        time = objects.micro_timestamp(wall)
        freed = {"holderIdentity": "", "leaseDurationSeconds": RELEASED, "renewTime": time, "acquireTime": time}
        return self._with(objects.spec(self._lease) | freed)

    def _with(self, spec: dict[str, Any]) -> Object:
        known = {key: value for key, value in objects.metadata(self._lease or {}).items() if key != "managedFields"}
        meta = known | {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": spec}

    def _length(self) -> float:
        """As the holder wants it; what is no duration counts as ours."""
        found = objects.spec(self._lease or {}).get("leaseDurationSeconds")
        good = isinstance(found, int) and not isinstance(found, bool) and found > 0
        return float(found) if good else self.terms.lease  # type: ignore[arg-type]


def _content(lease: Object) -> tuple[str, dict[str, Any]]:
    return objects.uid(lease), objects.spec(lease)


def _count(found: object) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0
