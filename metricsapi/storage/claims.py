"""Whose pod it is: which of the nodes that list a pod under one name is believed.

Any kubelet can list any pod. The API server knows better, and decides in this order:

1. *The uid.* A pod that is listed under another uid than its object has (or, for a static pod, than
   its mirror pod's annotation has) is another pod: an earlier or a later one of that name, or a
   lie. It is withheld until the watch says otherwise. A pod that is listed under none
   (`/metrics/resource`) is not the one whose object came after the node's last answer.
2. *The node.* Where several nodes list a pod under a right uid or, as in `/metrics/resource`, under
   none, the one that it is bound to is believed (`spec.nodeName`), which is looked up. Until that
   is known, the node that is served stays so, and where none is, none is served.
3. *The start.* One node may list two pods under one name while one replaces the other: then the one
   that started last is served, by that node's own clock.

A pod that the API server does not know is not served to anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

from metricsapi.storage.cluster import Cluster
from metricsapi.storage.pod import Key, Pod


class Withheld(StrEnum):
    """Why what a node says of a pod is not served."""

    UID = "uid"  # the API server has the pod under another uid
    NODE = "node"  # the pod is bound to another node
    UNDECIDED = "undecided"  # another node lists it, too, and it is being looked up which is right


class Claims:
    """The pods that nodes list, by name; of those of one name at most one is `shown`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._claims: dict[Key, tuple[Pod, ...]] = {}
        self._bound: dict[Key, tuple[str, str]] = {}  # uid and node of pods that were looked up

    def get(self, key: Key) -> Sequence[Pod]:
        """Return all that nodes list under a name."""
        return self._claims.get(key, ())

    def shown(self, key: Key) -> Pod | None:
        """Return the one that is served."""
        for pod in self._claims.get(key, ()):
            if pod.shown:
                return pod
        return None

    def change(self, before: Iterable[Pod], after: Iterable[Pod]) -> None:
        """Note that a node lists the pods `after` in place of `before`."""
        old, new = set(before), set(after)
        gone, added = old - new, new - old
        for pod in gone:
            pod.shown = False
        claims = {
            pod.key: [other for other in self._claims.get(pod.key, ()) if other not in gone]
            for pod in gone | added
        }
        for pod in added:
            claims[pod.key].append(pod)
        for key, pods in claims.items():
            self._set(key, pods)

    def bind(self, key: Key, uid: str, node: str) -> None:
        """Note that the API server has bound the pod of this uid to a node."""
        self._bound[key] = uid, node
        self.decide(key)

    def decide(self, key: Key) -> None:
        """Decide which of the pods of one name is shown, and why the others are not."""
        claims = self._claims.get(key, ())
        uid, node = self._bound.get(key, ("", ""))
        if not (claims or uid):
            return
        uids = self._cluster.uids(*key)
        if uid and uid not in uids:
            del self._bound[key]
            node = ""
        reasons = {id(pod): reason for pod, reason in _withheld(claims, uids, node)}
        rightful = [pod for pod in claims if id(pod) not in reasons]
        last = rightful[0] if len(rightful) == 1 else _started_last(rightful)
        for pod in claims:
            pod.shown = pod is last
            pod.withheld = reasons.get(id(pod), "")
        if Withheld.UNDECIDED in reasons.values():
            self._cluster.look_up(*key)

    def _set(self, key: Key, claims: list[Pod]) -> None:
        if not claims:
            self._claims.pop(key, None)
            self._bound.pop(key, None)
            return
        self._claims[claims[0].key] = tuple(claims)
        self.decide(key)


def _started_last(pods: Sequence[Pod]) -> Pod | None:
    return max(reversed(pods), key=Pod.started, default=None)


def _withheld(
    claims: Sequence[Pod], uids: Collection[str], node: str
) -> Iterable[tuple[Pod, Withheld]]:
    """Yield the pods of one name that are not to be served; `node` is where it is, if known."""
    if not uids:
        return
    rightful, nodes = [], set()
    for pod in claims:
        if pod.ref.uid and pod.ref.uid not in uids:
            yield pod, Withheld.UID
            continue
        if node and pod.node != node:
            yield pod, Withheld.NODE
            continue
        nodes.add(pod.node)
        if pod.is_of(uids):
            rightful.append(pod)
        else:  # what its node lists next may be the new pod
            yield pod, Withheld.UID
    if len(nodes) > 1:
        owner = next((pod.node for pod in rightful if pod.shown), None)
        yield from ((pod, Withheld.UNDECIDED) for pod in rightful if pod.node != owner)
