"""Validates names: an object with another name cannot be in the API server."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LABEL = r"(?!-)[-a-z0-9]{1,63}(?<!-)"  # RFC 1123, as container names and namespaces are
_LABELS = re.compile(f"(?:{_LABEL}/)*")
_PART = r"(?!-)[-a-z0-9]++(?<!-)"  # of any length: Kubernetes bounds the whole name only
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_PART}(?:\.{_PART})*")  # pods, nodes


def are_labels(names: Iterable[str]) -> bool:
    """Return whether all names are DNS labels, as namespaces and containers are."""
    listed = [*names, ""]
    joined = "/".join(listed)
    return joined.count("/") == len(listed) - 1 and _LABELS.fullmatch(joined) is not None


def is_subdomain(name: str) -> bool:
    """Return whether a name is a DNS subdomain, as names of pods and nodes are."""
    return _SUBDOMAIN.fullmatch(name) is not None
