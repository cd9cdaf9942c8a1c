"""The arithmetic of rolling updates: it gets there, and never leaves its bounds on the way."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from cloudcore.apiserver.apps.rolling import Bounds, Member, bounds, resized, shrink_old, size_of_new, spread

AMOUNTS = st.one_of(st.integers(0, 10), st.integers(0, 100).map(lambda percent: f"{percent}%"))


def test_percentages() -> None:
    assert bounds(10, "25%", "25%") == Bounds(10, surge=3, unavailable=2)
    assert bounds(1, "25%", "25%") == Bounds(1, surge=1, unavailable=0)
    assert bounds(3, 0, "10%") == Bounds(3, surge=0, unavailable=1)
    assert (Bounds(3, 1, 5).least, Bounds(3, 1, 1).least, Bounds(3, 1).most) == (0, 2, 4)


@given(st.integers(0, 12), AMOUNTS, AMOUNTS, st.lists(st.integers(0, 6), max_size=3), st.randoms())
def test_an_update_ends_and_stays_within_its_bounds(replicas, surge, unavailable, sizes, random) -> None:
    limits = bounds(replicas, surge, unavailable)
    new, old = Member("new", 0), [Member(f"old{n}", size, size, f"{n}") for n, size in enumerate(sizes)]
    for _ in range(200):
        total, working = new.size + sum(m.size for m in old), new.available + sum(m.available for m in old)
        if new.size == new.available == replicas and total == replicas:
            return
        size = size_of_new(limits, new.size, total)
        shrunk = shrink_old(limits, new, old) if size == new.size else {}
        assert new.size <= size <= replicas
        assert size - new.size + total <= max(limits.most, total)
        after = resized(old, shrunk)
        assert all(0 <= a.size <= b.size for a, b in zip(after, old, strict=True))
        left = new.available + sum(min(m.available, m.size) for m in after)
        assert left >= min(working, limits.least)
        old = [Member(m.name, m.size, min(m.available, m.size), m.created) for m in after]
        ready = random.randint(min(1, size - new.available), size - new.available) if size > new.available else 0
        new = Member("new", size, min(new.available, size) + ready)
    raise AssertionError(f"does not end: {limits} {new} {old}")


@given(st.integers(0, 20), AMOUNTS, st.lists(st.integers(1, 10), min_size=2, max_size=4))
@example(replicas=1, surge=1, sizes=[1, 1, 1, 1])
def test_scaling_in_the_midst_of_an_update_gives_everybody_a_share(replicas, surge, sizes) -> None:
    """The largest takes what rounding has left over. When that is more than it has, as in the example, too many stay for now."""
    limits = bounds(replicas, surge, 1)
    wanted = limits.most if replicas else 0
    members = [Member(f"m{n}", size, size, f"{n}", limit=sum(sizes)) for n, size in enumerate(sizes)]
    for _ in sizes:
        present = sum(member.size for member in members)
        largest = max(members, key=lambda member: member.size)
        after = resized(members, spread(limits, members, present))
        assert all(member.size >= 0 for member in after)
        total = sum(member.size for member in after)
        emptied = [old.size for old, new in zip(members, after, strict=True) if new.size == 0 < old.size]
        assert total == wanted or (total > wanted and largest.size in emptied)
        members = [replace(member, limit=limits.most) for member in after]
    assert total == wanted


def test_shares_as_kubernetes_gives_them() -> None:
    """10 pods, 5 old and 8 new with a surge of 3; scaled to 15: 20 in all."""
    members = [Member("old", 5, 5, "1", limit=13), Member("new", 8, 3, "2", limit=13)]
    assert spread(Bounds(15, surge=4), members, 13) == {"new": 12, "old": 7}
    assert spread(Bounds(0, surge=4), members, 13) == {"new": 0, "old": 0}
    assert spread(Bounds(10, surge=3), members, 13) == {}
