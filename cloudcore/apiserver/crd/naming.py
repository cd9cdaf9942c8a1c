"""Which of its names a definition gets: those that no other definition of the same group has taken.

Rules: Kubernetes 1.34: apiextensions-apiserver/pkg/controller/status/naming_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from cloudcore.apiserver.crd.definition_kind import condition, set_condition
from kube.objects import Object, name

_SINGLE = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)


def accept(definition: Object, others: Iterable[Object]) -> None:
    """Brings names and conditions of the status up to date, in place. ``others`` may hold the definition itself."""
    taken = _taken(definition, others)
    wanted, status = definition["spec"]["names"], definition.setdefault("status", {})
    accepted = dict(status.get("acceptedNames", {}))
    refusal: tuple[str, str] | None = None
    for key, reason in _SINGLE:
        word = wanted.get(key, "")
        if word != accepted.get(key) and word in taken:
            refusal = (reason, f'"{word}" is already in use')
        else:
            accepted[key] = word
    fresh = [word for word in wanted.get("shortNames", []) if word not in accepted.get("shortNames", ())]
    if clashes := [f'"{word}" is already in use' for word in fresh if word in taken]:
        refusal = ("ShortNamesConflict", clashes[0] if len(clashes) == 1 else f"[{', '.join(clashes)}]")
    else:
        _set(accepted, "shortNames", wanted.get("shortNames"))
    _set(accepted, "categories", wanted.get("categories"))
    status["acceptedNames"] = accepted
    if refusal is not None:
        set_condition(definition, "NamesAccepted", "False", *refusal)
        if not condition(definition, "Established"):
            set_condition(definition, "Established", "False", "NotAccepted", "not all names are accepted")
        return
    set_condition(definition, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
    if condition(definition, "Established").get("status") != "True":
        set_condition(definition, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted")


def _set(names: Object, key: str, words: list[str] | None) -> None:
    if words:
        names[key] = words
    else:
        names.pop(key, None)


def _taken(definition: Object, others: Iterable[Object]) -> set[str]:
    found: set[str] = set()
    for other in others:
        if name(other) == name(definition) or other["spec"]["group"] != definition["spec"]["group"]:
            continue
        names = other.get("status", {}).get("acceptedNames", {})
        found |= {names.get(key, "") for key, _ in _SINGLE} | set(names.get("shortNames", []))
    return found - {""}
