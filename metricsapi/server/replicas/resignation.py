"""When a leader leaves the Lease to another replica: most nodes fail for it, and may not there.

Its machine may be cut off from kubelets alone, and followers get nothing but its failures. Where
the nodes fail for everybody, the Lease goes round, and each node is still scraped once a period.
"""

from __future__ import annotations

from collections.abc import Callable

AGAIN = 1.0  # seconds between two counts
Count = Callable[[], tuple[int, int]]  # of the nodes that fail, and of all


class Resignation:
    """Takes the time of each check, in monotonic seconds.

    A node has a result of this leader's `patience` seconds after it began to lead.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._next: float | None = None  # when nodes are counted; None without anybody to resign to

    def due(self, now: float, *, followed: bool, count: Count) -> bool:
        """Return whether to resign; `followed` tells whether this replica leads, and others follow.

        `count` is called once a second.
        """
        if not followed:
            self._next = None
            return False
        if self._next is None:
            self._next = now + self._patience
        if now < self._next:
            return False
        self._next = now + AGAIN
        failing, nodes = count()
        return 2 * failing > nodes
