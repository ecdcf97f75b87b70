"""When nodes are requested again through an API server that limits requests (429)."""

from __future__ import annotations

SHORTEST_PAUSE = 1.0  # seconds after a 429 without Retry-After
LONGEST_PAUSE = 60.0  # seconds: a longer Retry-After is cut to this
PAUSES_ALL_AGAIN = 600.0  # seconds until a node's 429 may have all nodes wait again


class Pauses:
    """Until when no request is sent, for all nodes and for each; times are monotonic seconds.

    A 429 of the API server cannot be told from one that a kubelet behind it sends. So all nodes
    wait after a 429, but each node begins such a pause once in `PAUSES_ALL_AGAIN` seconds: an API
    server that limits requests limits those of many nodes, and a single kubelet stops nobody else
    for long. The node that got it always waits.
    """

    def __init__(self) -> None:
        self._all = 0.0
        self._nodes: dict[str, float] = {}
        self._next_for_all: dict[str, float] = {}

    def limited(self, node: str, retry_after: float, now: float) -> None:
        """Note a 429 that asks for a pause of so many seconds; a longer pause stays."""
        until = now + min(max(retry_after, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._nodes[node] = max(until, self._nodes.get(node, 0.0))
        if now < self._all:  # its request was in flight when the pause began
            self._all = max(until, self._all)
        elif self._next_for_all.get(node, now) <= now:
            self._next_for_all[node] = now + PAUSES_ALL_AGAIN
            self._all = until

    def until(self, node: str) -> float:
        """Return when a node may be requested, perhaps in the past."""
        return max(self._all, self._nodes.get(node, 0.0))

    def forget(self, node: str) -> None:
        """Drop what is known of a node that is gone."""
        self._nodes.pop(node, None)
        self._next_for_all.pop(node, None)
