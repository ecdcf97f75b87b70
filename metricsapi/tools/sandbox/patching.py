"""Patches of objects: JSON merge patches, strategic merge patches, and JSON patches."""

from __future__ import annotations

import copy
from typing import Any

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class BadPatch(ValueError):
    """A patch that does not fit the object."""


def patched(kind: str, old: Any, change: Any) -> Any:
    """Apply a patch of a media type. Raises BadPatch, or KeyError for another media type."""
    if kind == JSON_PATCH:
        return _json_patch(old, change)
    if kind == STRATEGIC:
        return strategically_merged(old, change)
    if kind != MERGE:
        raise KeyError(kind)
    return merged(old, change)


def merged(old: Any, change: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def strategically_merged(old: Any, change: Any, field: str = "") -> Any:
    """Apply a strategic merge patch, as `kubectl apply` makes it for kinds that it knows.

    Lists of objects with a key are merged by it, others replaced. `field` is the name of the
    value in its object.
    """
    if isinstance(change, dict):
        return _merged_object(old if isinstance(old, dict) else {}, change)
    if isinstance(change, list) and (key := _merge_key(field, change)):
        return _merged_list(old if isinstance(old, list) else [], change, key)
    return change


def _merged_object(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    if change.get("$patch") == "replace":
        return {name: value for name, value in change.items() if name != "$patch"}
    result = dict(old)
    if (retained := change.get("$retainKeys")) is not None:
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in change.items():
        directive, _, field = name.partition("/")
        if directive == "$deleteFromPrimitiveList":
            result[field] = [item for item in result.get(field, ()) if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = strategically_merged(result.get(name), value, name)
    return result


def _merge_key(field: str, items: list[Any]) -> str | None:
    """Return the key by which a list is merged, None for a list that is replaced."""
    if field == "ports":  # of a container, or of a Service
        return "containerPort" if any("containerPort" in item for item in items) else "port"
    return _KEYS.get(field)


# The keys of lists that are merged (patchMergeKey in k8s.io/api), by the lists' names.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "conditions": "type",
    "ownerReferences": "uid",
}


def _merged_list(old: list[Any], change: list[Any], key: str) -> list[Any]:
    """Merge by key: what is new comes last; `$patch: delete` takes away."""
    by_key = {item.get(key): item for item in old}
    for item in change:
        if item.get("$patch") == "replace":
            return [item for item in change if "$patch" not in item]
        if item.get("$patch") == "delete":
            by_key.pop(item.get(key), None)
        else:
            by_key[item.get(key)] = strategically_merged(by_key.get(item.get(key)), item)
    return list(by_key.values())


def _json_patch(old: Any, operations: Any) -> Any:
    """Apply add, replace, remove and test of a JSON patch (RFC 6902)."""
    result = copy.deepcopy(old)
    try:
        for item in operations:
            steps = [s.replace("~1", "/").replace("~0", "~") for s in item["path"].split("/")[1:]]
            _operate(result, item["op"], steps, item.get("value"))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise BadPatch(f"the patch does not fit the object: {error!r}") from error
    return result


def _operate(target: Any, operation: str, steps: list[str], value: Any) -> None:
    """Apply an operation in place. Raises KeyError, IndexError or ValueError if it does not fit."""
    *parents, last = steps
    for step in parents:
        target = target[int(step)] if isinstance(target, list) else target[step]
    key: Any = last
    if isinstance(target, list):
        key = len(target) if last == "-" else int(last)
    if operation == "add":
        if isinstance(target, list):
            target.insert(key, value)
        else:
            target[key] = value
        return
    current = target[key]  # all other operations need it
    if operation == "remove":
        del target[key]
    elif operation == "replace":
        target[key] = value
    elif operation != "test":
        raise ValueError(f"unknown operation {operation!r}")
    elif current != value:
        raise ValueError(f"{'/'.join(steps)} is not {value!r}")
