"""Patches of objects: JSON merge patches, and JSON patches."""

from __future__ import annotations

import copy
from typing import Any

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


class BadPatch(ValueError):
    """A patch that does not fit the object."""


def patched(kind: str, old: Any, change: Any) -> Any:
    """Apply a patch of a media type. Raises BadPatch, or KeyError for another media type.

    A strategic merge patch is applied as a merge patch: lists are replaced, not merged.
    """
    if kind == JSON_PATCH:
        return _json_patch(old, change)
    if kind not in (MERGE, STRATEGIC):
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


def _json_patch(old: Any, operations: Any) -> Any:
    """Apply add, replace, remove and test of a JSON patch (RFC 6902)."""
    result = copy.deepcopy(old)
    try:
        for one in operations:
            steps = [s.replace("~1", "/").replace("~0", "~") for s in one["path"].split("/")[1:]]
            _operate(result, one["op"], steps, one.get("value"))
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
