"""Pods that are not served because of their names: each is counted, and named once in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable

from metricsapi.storage.types import PodRef

REASON = "name"  # among the reasons for which pods are withheld
MOST = 20  # pods of one node that are named; a node may make up new names in each answer

log = logging.getLogger(__name__)


class RefusedPods:
    """Counts with `count`, which takes the reason."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._logged: dict[str, set[tuple[str, str]]] = {}  # namespace and name, by node

    def add(self, node: str, ref: PodRef | None) -> None:
        """Take a pod of a node whose names the API server would not take; None has no name."""
        self._count(REASON)
        # No name that could be is longer; what a kubelet makes up may be of any length.
        key = (ref.namespace[:63], ref.name[:253]) if ref is not None else ("", "")
        logged = self._logged.setdefault(node, set())
        if key in logged or len(logged) >= MOST:
            return
        logged.add(key)
        names = {"namespace": key[0], "pod": key[1]} if ref is not None else {}
        log.warning(
            "pod is not served: its name, namespace, uid or a container's name cannot be",
            extra={"data": {"node": node, **names}},
        )

    def forget(self, node: str) -> None:
        """Drop what is remembered of a node that is gone."""
        self._logged.pop(node, None)
