"""What the store needs to know from the API server, and gets through this interface alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from metricsapi.kube.resources import Capacity


class Cluster(Protocol):
    """The API server's view of nodes and pods."""

    def capacity(self, node: str) -> Capacity:
        """Return how much a node has."""
        ...

    def uids(self, namespace: str, name: str) -> Collection[str]:
        """Return the uids under which a kubelet may list a pod; none if there is no such pod (yet).

        When they change, `MetricsStore.reconsider` is to be called.
        """
        ...

    def look_up(self, namespace: str, name: str) -> None:
        """Have it looked up which node a pod is bound to; the answer goes to `MetricsStore.bind`.

        May be called again and again until that comes.
        """
        ...


class UnknownCluster:
    """A cluster of which nothing is known."""

    def capacity(self, _node: str) -> Capacity:
        return Capacity()

    def uids(self, _namespace: str, _name: str) -> Collection[str]:
        return ()

    def look_up(self, _namespace: str, _name: str) -> None:
        pass
