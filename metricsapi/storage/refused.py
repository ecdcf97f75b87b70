"""Pods in answers that are not served: each is counted, and named once in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from metricsapi.storage.claims import Withheld
from metricsapi.storage.pod import Key, Pod
from metricsapi.storage.types import PodRef

REASON = "name"  # among the reasons for which pods are withheld
MOST = 20  # pods of one node that are named; a node may make up new names in each answer
# Seconds for which a pod is withheld before it is named: the watch of pods has caught up by then,
# and a pod that two nodes list has been looked up.
LASTING = 30.0

_WITHHELD: Mapping[str, str] = MappingProxyType(
    {
        Withheld.UID: "pod is not served: its kubelet lists it under another uid than it has",
        Withheld.NODE: "pod is not served from this node: it is bound to another one",
        Withheld.UNDECIDED: "pod is not served from this node: another node lists it, too, and "
        "the API server has not said which of them it is bound to",
    }
)

log = logging.getLogger(__name__)


class RefusedPods:
    """Counts with `count`, which takes the reason."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._logged: dict[str, set[Key]] = {}  # by node
        # By node, since when each pod of its last answer is withheld, in monotonic seconds.
        self._withheld: dict[str, dict[Key, float]] = {}

    def refuse(self, node: str, ref: PodRef | None) -> None:
        """Count and log a pod whose names the API server would not accept; None has no name."""
        self._count(REASON)
        # No name that could be is longer; what a kubelet makes up may be of any length.
        key = (ref.namespace[:63], ref.name[:253]) if ref is not None else ("", "")
        self._name(
            node, key, "pod is not served: its name, namespace, uid or a container's name cannot be"
        )

    def withhold(self, node: str, pods: Iterable[Pod], at: float) -> None:
        """Count and log the pods of an answer that the API server contradicts at monotonic `at`."""
        before = self._withheld.pop(node, {})
        now = {}
        for pod in pods:
            self._count(pod.withheld)
            now[pod.key] = since = before.get(pod.key, at)
            if at - since >= LASTING:
                self._name(node, pod.key, _WITHHELD[pod.withheld], uid=pod.ref.uid)
        if now:
            self._withheld[node] = now

    def forget(self, node: str) -> None:
        """Drop what is remembered of a node that is gone."""
        self._logged.pop(node, None)
        self._withheld.pop(node, None)

    def _name(self, node: str, key: Key, message: str, **more: str) -> None:
        logged = self._logged.setdefault(node, set())
        if key in logged or len(logged) >= MOST:
            return
        logged.add(key)
        names = {"namespace": key[0], "pod": key[1], **more} if key[1] or key[0] else {}
        log.warning(message, extra={"data": {"node": node, **names}})
