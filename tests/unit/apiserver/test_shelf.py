"""The objects of a kind in order, whatever comes and goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudcore.apiserver.history import Entry
from cloudcore.apiserver.shelf import Place, Shelf

WORDS = st.sampled_from(["a", "a-", "a.b", "ab", "b", "zz", "é"])
PLACES = st.tuples(st.sampled_from(["", "default", "default-2", "kube"]), WORDS)


@given(st.lists(st.tuples(st.booleans(), PLACES)), PLACES)
def test_it_is_a_sorted_dictionary(steps: list[tuple[bool, Place]], after: Place) -> None:
    shelf, model = Shelf(), dict[Place, Entry]()
    for number, (put, place) in enumerate(steps):
        if put:
            model[place] = Entry(number, {}, b"")
            shelf.put(place, model[place])
        else:
            model.pop(place, None)
            shelf.remove(place)
    assert len(shelf) == len(model)
    assert shelf.entries() == [model[place] for place in sorted(model)]
    assert shelf.entries(after=after) == [model[place] for place in sorted(model) if place > after]
    for namespace in ("default", "kube"):
        mine = [place for place in sorted(model) if place[0] == namespace]
        assert shelf.entries(namespace) == [model[place] for place in mine]
        assert shelf.entries(namespace, after) == [model[place] for place in mine if place > after]
    assert all(shelf.get(place) is model[place] for place in model)
    assert shelf.get(("nowhere", "x")) is None
