"""What is wrong with a definition beside its schemas.

Rules and texts: Kubernetes 1.34: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.
"""

# ruff: noqa: PERF401 - a rule per statement reads better than comprehensions

from __future__ import annotations

from typing import Final

from cloudcore.apiserver import names
from cloudcore.apiserver.crd import schema_rules
from kube import field_errors
from kube.field_errors import FieldError
from kube.objects import Object
from kube.objects import annotations as annotations_of

_APPROVED: Final = "api-approved.kubernetes.io"
_APPROVALS: Final = "see https://github.com/kubernetes/enhancements/pull/1111"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "bsonobjectid,byte,cidr,creditcard,date,datetime,double,duration,email,float,hexcolor,hostname,int32,int64,ipv4,ipv6,isbn,"
    "isbn10,isbn13,mac,password,rgbcolor,ssn,uri,uuid,uuid3,uuid4,uuid5"
)
_SHARED: Final = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
_SELECTABLE_LIMIT: Final = 8
_SELECTABLE: Final = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)


def problems(obj: Object) -> list[FieldError]:
    """Of a definition whose defaults are filled in."""
    spec = obj["spec"]
    group, called = spec.get("group", ""), spec.get("names", {})
    found = _group_problems(group)
    if not (scope := spec.get("scope")):
        found.append(field_errors.required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        found.append(field_errors.not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    found += _version_problems(spec.get("versions", []))
    found += [
        field_errors.required(f"spec.names.{key}") for key in ("plural", "singular", "kind", "listKind") if not called.get(key)
    ]
    found += _spelling(called, "spec.names") + _conversion(spec.get("conversion", {})) + _approval(obj)
    if not obj.get("status", {}).get("storedVersions"):
        found.append(field_errors.invalid("status.storedVersions", None, "must have at least one stored version"))
    if spec.get("preserveUnknownFields"):
        why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        found.append(field_errors.invalid("spec.preserveUnknownFields", True, why))
    return found


def update_problems(new: Object, old: Object, *, established: bool) -> list[FieldError]:
    """What cannot be changed."""
    frozen = [("spec.group", "group"), ("spec.names.plural", "plural")]
    if established:
        frozen += [("spec.scope", "scope"), ("spec.names.kind", "kind")]
    found = []
    for path, key in frozen:
        now, before = (one["spec"].get(key) or one["spec"].get("names", {}).get(key) for one in (new, old))
        if now != before:
            found.append(field_errors.invalid(path, now, "field is immutable"))
    listed = [version.get("name") for version in new["spec"].get("versions", [])]
    for place, version in enumerate(new.get("status", {}).get("storedVersions", [])):
        if version not in listed:
            why = (
                f"missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until "
                f"a storage migration ensures no data remains persisted in {version} and removes {version} from "
                "status.storedVersions"
            )
            found.append(field_errors.invalid(f"status.storedVersions[{place}]", version, why))
    return found


def status_problems(new: Object) -> list[FieldError]:
    """The versions that may be stored name the one that is stored now."""
    stored = new.get("status", {}).get("storedVersions", [])
    if not stored:
        return [field_errors.invalid("status.storedVersions", [], "must have at least one stored version")]
    now = next(version["name"] for version in new["spec"]["versions"] if version.get("storage"))
    if now not in stored:
        return [field_errors.invalid("status.storedVersions", stored, f"must have the storage version {now}")]
    return []


def name_problems(obj: Object) -> list[FieldError]:
    """Its name says what it defines; that is looked at when it is made."""
    called, name = obj["spec"].get("names", {}), obj["metadata"].get("name", "")
    if name and name != f"{called.get('plural', '')}.{obj['spec'].get('group', '')}":
        return [field_errors.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')]
    return []


def _group_problems(group: str) -> list[FieldError]:
    if not group:
        return [field_errors.required("spec.group")]
    if (why := names.subdomain_problem(group)) is not None:
        return [field_errors.invalid("spec.group", group, why)]
    if "." not in group:
        return [field_errors.invalid("spec.group", group, "should be a domain with at least one dot")]
    return []


def _version_problems(versions: list[Object]) -> list[FieldError]:
    found: list[FieldError] = []
    for place, version in enumerate(versions):
        if version.get("schema", {}).get("openAPIV3Schema") is None:
            found.append(field_errors.required(f"spec.versions[{place}].schema.openAPIV3Schema"))
    first = versions[0] if versions else {}
    shared: Object = {key: first[key] for key in _SHARED if key in first and all(one.get(key) == first[key] for one in versions)}
    for place, version in enumerate(versions):
        path = f"spec.versions[{place}]"
        if (why := names.dns_label_problem(version.get("name", ""))) is not None:
            found.append(field_errors.invalid(f"{path}.name", version.get("name", ""), why))
        own: Object = {key: version[key] for key in _SHARED if key in version and key not in shared}
        found += _content_problems(own, version, path)
    if versions and (why := names.dns_label_problem(first.get("name", ""))) is not None:
        found.append(field_errors.invalid("spec.version", first.get("name", ""), why))
    if versions:
        found += _content_problems(shared, versions[0], "spec")
    called = [version.get("name") for version in versions]
    if len(set(called)) != len(called):
        found.append(field_errors.invalid("spec.versions", versions, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.append(field_errors.invalid("spec.versions", versions, "must have exactly one version marked as storage version"))
    return found


def _content_problems(content: Object, version: Object, path: str) -> list[FieldError]:
    """Of what may stand in a version. Kubernetes names what all versions share as if it stood in the spec itself."""
    found: list[FieldError] = []
    props = version.get("schema", {}).get("openAPIV3Schema")
    if "schema" in content and props is not None:
        found += schema_rules.problems(props, f"{path}.{'validation' if path == 'spec' else 'schema'}.openAPIV3Schema")
    found += _subresource_problems(content.get("subresources", {}), f"{path}.subresources")
    for column, wanted in enumerate(content.get("additionalPrinterColumns", [])):
        found += _column_problems(wanted, f"{path}.additionalPrinterColumns[{column}]")
    return found + _selectable_problems(content.get("selectableFields", []), props or {}, f"{path}.selectableFields")


def _spelling(called: Object, path: str) -> list[FieldError]:
    found = []
    for key in ("plural", "singular"):
        if called.get(key) and (why := names.dns_label_problem(called[key])) is not None:
            found.append(field_errors.invalid(f"{path}.{key}", called[key], why))
    for key in ("kind", "listKind"):
        if called.get(key) and (why := names.dns_label_problem(called[key].lower())) is not None:
            text = f"may have mixed case, but should otherwise match: {why}"
            found.append(field_errors.invalid(f"{path}.{key}", called[key], text))
    if called.get("kind") and called["kind"] == called.get("listKind"):
        found.append(field_errors.invalid(f"{path}.listKind", called["kind"], "kind and listKind may not be the same"))
    for key in ("shortNames", "categories"):
        for place, one in enumerate(called.get(key, [])):
            if (why := names.dns_label_problem(one)) is not None:
                found.append(field_errors.invalid(f"{path}.{key}[{place}]", one, why))
    return found


def _conversion(conversion: Object) -> list[FieldError]:
    strategy = conversion.get("strategy", "")
    if strategy == "Webhook":
        return [field_errors.not_supported("spec.conversion.strategy", strategy, ("None",))]
    if strategy != "None":
        return [field_errors.not_supported("spec.conversion.strategy", strategy, ("None", "Webhook"))]
    return []


def _approval(obj: Object) -> list[FieldError]:
    group = obj["spec"].get("group", "")
    if group not in ("k8s.io", "kubernetes.io") and not group.endswith((".k8s.io", ".kubernetes.io")):
        return []
    path, text = f"metadata.annotations[{_APPROVED}]", annotations_of(obj).get(_APPROVED)
    if text is None:
        return [field_errors.required(path, f'protected groups must have approval annotation "{_APPROVED}", {_APPROVALS}')]
    if text.startswith(("unapproved", "https://", "http://")):
        return []
    why = f'protected groups must have approval annotation "{_APPROVED}" with either a URL or a reason starting with "unapproved"'
    return [field_errors.invalid(path, text, f"{why}, {_APPROVALS}")]


def _subresource_problems(wanted: Object, path: str) -> list[FieldError]:
    scale = wanted.get("scale")
    if scale is None:
        return []
    found = []
    roots = {"specReplicasPath": (".spec",), "statusReplicasPath": (".status",), "labelSelectorPath": (".spec", ".status")}
    for key, allowed in roots.items():
        value = scale.get(key, "")
        if not value:
            if key != "labelSelectorPath":
                found.append(field_errors.required(f"{path}.scale.{key}"))
        elif not value.startswith("."):
            found.append(field_errors.invalid(f"{path}.scale.{key}", value, "must be a simple json path starting with ."))
        elif not value.startswith(tuple(f"{root}." for root in allowed)):
            where = "either .spec or .status" if len(allowed) > 1 else allowed[0]
            found.append(field_errors.invalid(f"{path}.scale.{key}", value, f"should be a json path under {where}"))
    return found


def _column_problems(column: Object, path: str) -> list[FieldError]:
    found, type_, shown = [], column.get("type", ""), ",".join(_COLUMN_TYPES)
    if not column.get("name"):
        found.append(field_errors.required(f"{path}.name"))
    if not type_:
        found.append(field_errors.required(f"{path}.type", f"must be one of {shown}"))
    elif type_ not in _COLUMN_TYPES:
        found.append(field_errors.invalid(f"{path}.type", type_, f"must be one of {shown}"))
    if column.get("format") and column["format"] not in _COLUMN_FORMATS.split(","):
        found.append(field_errors.invalid(f"{path}.format", column["format"], f"must be one of {_COLUMN_FORMATS}"))
    where = column.get("jsonPath", "")
    if not where:
        found.append(field_errors.required(f"{path}.JSONPath"))
    elif not where.startswith("."):
        found.append(field_errors.invalid(f"{path}.JSONPath", where, "must be a simple json path starting with ."))
    return found


def _selectable_problems(wanted: list[Object], props: Object, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    seen: set[str] = set()
    for place, one in enumerate(wanted):
        where, json_path = f"{path}[{place}].jsonPath", one.get("jsonPath", "")
        if not json_path:
            found.append(field_errors.required(where))
            continue
        of: Object | None = props
        for part in json_path.removeprefix(".").split("."):
            of = of.get("properties", {}).get(part) if of is not None else None
        if of is None or not json_path.startswith("."):
            found.append(field_errors.invalid(where, json_path, "is an invalid path: does not refer to a valid field"))
            continue
        if json_path.startswith(".metadata."):
            found.append(field_errors.invalid(where, json_path, "must not point to fields in metadata"))
        if of.get("type") not in ("string", "boolean", "integer"):
            found.append(field_errors.invalid(where, json_path, _SELECTABLE))
        if json_path in seen:
            found.append(field_errors.duplicate(where, json_path))
        seen.add(json_path)
    if len(seen) > _SELECTABLE_LIMIT:
        found.append(field_errors.too_many(path, len(seen), _SELECTABLE_LIMIT))
    return found
