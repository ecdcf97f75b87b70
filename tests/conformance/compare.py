"""What differs between two answers, after all that may differ has been set aside.

That is: times, windows, the order of containers, numbers within 1 %, the server's own names,
versions, hashes, path lists and descriptions, and `v1` beside `v1beta1` in discovery.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.conformance.replay import Exchange
from tests.support import kubernetes_proto

HEADERS = ("content-type", "cache-control", "x-content-type-options", "vary", "content-encoding")
PRESENT = ("etag", "last-modified")
TIMES = {"timestamp", "creationTimestamp", "window", "Window"}
OWN = {"description", "title"}
SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(n|u|m|Ki|Mi|Gi|)")


def differences(reference: Exchange, ours: Exchange) -> list[str]:
    """Return one line for each difference, as `place: theirs -> ours`."""
    differing = []
    if reference.status != ours.status:
        differing.append(f"status: {reference.status} -> {ours.status}")
    for name in HEADERS:
        theirs, own = (_header(one, name) for one in (reference, ours))
        if theirs != own:
            differing.append(f"header {name}: {theirs} -> {own}")
    differing += [
        f"header {name}: present -> absent"
        for name in PRESENT
        if name in reference.answered and name not in ours.answered
    ]
    theirs, own = _meaning(reference), _meaning(ours)
    return [*differing, *_compare("", theirs, own)]


def _header(one: Exchange, name: str) -> str | None:
    """`Vary: Origin` and the like cannot matter; whether it names Accept does."""
    value = one.answered.get(name)
    if name == "vary" and value is not None:
        return "Accept" if "accept" in value.lower().split(", ") else None
    return value


def _meaning(one: Exchange) -> Any:
    """Return the body as comparable values."""
    kind = one.answered.get("content-type", "").partition(";")[0]
    if kind == "application/vnd.kubernetes.protobuf":
        value: Any = kubernetes_proto.as_json(kubernetes_proto.decode(one.body))
    elif kind == "application/yaml":
        value = yaml.safe_load(one.body)
    elif kind == "application/json":
        value = json.loads(one.body)
        indented = one.body.startswith(b"{\n")
        value = {"": value, "(indented)": indented} if indented else value
    elif one.path.startswith("/metrics"):
        return _series(one.body.decode())
    else:
        return one.body.decode()
    return _comparable(value)


def _comparable(value: Any, name: str = "") -> Any:
    if name in TIMES and value is not None:
        return f"<{name}>"
    if name == "paths" and isinstance(value, list):
        return "<paths>"
    if isinstance(value, dict):
        if "gitVersion" in value or name == "info":
            return dict.fromkeys(value, "<version>")
        return _mapping(value)
    if isinstance(value, list):
        items = [_comparable(one) for one in value if not _is_v1(one)]
        if name == "containers":
            items.sort(key=lambda one: one["name"])
        if name == "cells":
            items[-1] = "<Window>"
        return items
    if isinstance(value, str):
        return re.sub(r"hash=[0-9A-Fa-f]+", "hash=<hash>", value)
    return value


def _mapping(value: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _comparable(one, key)
        for key, one in value.items()
        if not (key in OWN and isinstance(one, str))
        and not re.search(r"(metrics\.k8s\.io/v1(/|$))|(metrics\.v1\.)", key)
    }


def _is_v1(one: Any) -> bool:
    return isinstance(one, dict) and one.get("version") == "v1" and one.get("freshness", 1) != ""


def _series(text: str) -> dict[str, Any]:
    """Return of the metrics that tools know by name: kind, help and labels."""
    differing: dict[str, Any] = {}
    for line in text.splitlines():
        if match := re.match(r"# (HELP|TYPE) (metrics_server_\w+) (.*)", line):
            differing[f"{match[1]} {match[2]}"] = match[3]
        elif match := re.match(r"(metrics_server_\w+)(?:\{(.*)\})? ", line):
            labels = re.findall(r'(\w+)="', match[2] or "")
            differing[f"labels {match[1]}"] = sorted(labels)
    return differing


def _compare(at: str, theirs: Any, ours: Any) -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            yield from _compare(
                f"{at}.{key}", theirs.get(key, "(absent)"), ours.get(key, "(absent)")
            )
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{at}: {len(theirs)} entries -> {len(ours)} entries"
        for number, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from _compare(f"{at}[{number}]", one, other)
    elif theirs != ours and not _close(theirs, ours):
        yield f"{at}: {_short(theirs)} -> {_short(ours)}"


def _close(theirs: Any, ours: Any) -> bool:
    """Return whether both are quantities within 1 % of each other."""
    if not (isinstance(theirs, str) and isinstance(ours, str)):
        return False
    first, second = QUANTITY.fullmatch(theirs), QUANTITY.fullmatch(ours)
    if not first or not second:
        return False
    one, other = (float(match[1]) * SUFFIXES[match[2]] for match in (first, second))
    return abs(one - other) <= 0.01 * one


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 120 else text[:117] + "..."
