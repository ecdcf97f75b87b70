"""Pods that are not served because of their names: each is counted, and named once in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable

from metricsapi.storage.types import PodRef

REASON = "name"  # among the reasons for which pods are withheld
MOST = 1000  # names that are remembered; a node that makes up new ones is named again

log = logging.getLogger(__name__)


class RefusedPods:
    """Counts with `count`, which takes the reason."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._logged: set[tuple[str, PodRef | None]] = set()

    def add(self, node: str, ref: PodRef | None) -> None:
        """Take a pod of a node whose names the API server would not take; None has no name."""
        self._count(REASON)
        if (node, ref) in self._logged:
            return
        if len(self._logged) >= MOST:
            self._logged.clear()
        self._logged.add((node, ref))
        names = {"namespace": ref.namespace[:63], "pod": ref.name[:253]} if ref else {}
        log.warning(
            "pod is not served: its name, namespace, uid or a container's name cannot be",
            extra={"data": {"node": node, **names}},
        )
