"""Which nodes host the pods that a query matches."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, cast

from metricsapi.api.index import Objects
from metricsapi.api.queries import Query
from metricsapi.kube.resources import Pod
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import SelectorError

UNKNOWN = -1  # no version of the pods


class Hosts(NamedTuple):
    """Nodes, and of which version of the pods: `UNKNOWN` while the node of a pod is not known."""

    nodes: tuple[str, ...]
    version: int


class HostFinder:
    """Finds the hosts of queries among `pods`; `node_of` gives the node of a pod, "" if unknown.

    To find them again is needed only when pods of the query's namespace have come, gone or got
    other labels: then its `version` is another one.
    """

    def __init__(self, pods: Objects[Pod], node_of: Callable[[Pod], str]) -> None:
        self._pods = pods
        self._node_of = node_of
        self._version = 0
        self._versions: dict[str, int] = {}  # by namespace

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Follow one event of the pods informer."""
        pod = new if new is not None else old
        if pod is None or (old is not None and new is not None and _is_same(old, new)):
            return
        self._version += 1
        if pod.namespace in self._pods.namespaces:
            self._versions[pod.namespace] = self._version
        else:
            self._versions.pop(pod.namespace, None)

    def version(self, query: Query) -> int:
        """Return the version of the pods among which a query's are."""
        if query.namespace is None:
            return self._version
        return self._versions.get(query.namespace, 0)

    def find(self, query: Query, now: float) -> Generator[None, None, Hosts]:
        """Find the hosts of a query, with a yield after some hundred pods.

        `now` is in monotonic seconds. A selector that cannot be read, as another version's, matches
        nothing.
        """
        version, nodes = self.version(query), set[str]()
        try:
            requirements = parse_labels(query.selector)
        except SelectorError:
            return Hosts((), version)
        matching = self._pods.select(query.namespace, requirements, now=now, name=query.name)
        for batch in matching.batches:
            pods = [each.object for each in batch if matching.keeps(each)]
            nodes.update([self._node_of(cast("Pod", pod)) for pod in pods])
            yield
        if "" in nodes:
            nodes.discard("")
            version = UNKNOWN
        return Hosts(tuple(sorted(nodes)), version)


def _is_same(old: Pod, new: Pod) -> bool:
    """Return whether a pod is on the same node and matches the same selectors as before."""
    return (old.uid, old.node, old.labels) == (new.uid, new.node, new.labels)
