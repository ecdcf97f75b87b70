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

    Lists of objects with a key are merged by it, others replaced.
    """
    if isinstance(change, list):
        key = _KEYS.get(field)
        if field == "ports":  # of a container, or of a Service
            key = "containerPort" if any("containerPort" in item for item in change) else "port"
        return _merged_list(old if isinstance(old, list) else [], change, key) if key else change
    if not isinstance(change, dict):
        return change
    if change.get("$patch") == "replace":
        return {name: value for name, value in change.items() if name != "$patch"}
    result = dict(old) if isinstance(old, dict) else {}
    if (retained := change.get("$retainKeys")) is not None:
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in change.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            within = name.partition("/")[2]
            result[within] = [item for item in result.get(within, ()) if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = strategically_merged(result.get(name), value, name)
    return result


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
    *way, last = steps
    for step in way:
        target = target[int(step)] if isinstance(target, list) else target[step]
    if isinstance(target, list):
        index = len(target) if last == "-" else int(last)
        if operation == "add":
            target.insert(index, value)
            return
        key: Any = index
    else:
        key = last
    if operation == "remove":
        del target[key]
    elif operation == "test":
        if target[key] != value:
            raise ValueError(f"{'/'.join(steps)} is not {value!r}")
    elif operation == "replace":
        if not isinstance(target, list):
            target[key]  # it must be there
        target[key] = value
    elif operation == "add":
        target[key] = value
    else:
        raise ValueError(f"unknown operation {operation!r}")
