"""How another replica's monotonic clock relates to ours.

The two start at unrelated values and run at nearly the same speed. A message that was sent at S by
its clock and arrives at R by ours was on its way for some time, so R - S is the offset plus that
time: the smallest R - S of the last while is the best estimate.

The offset moves only once it is off by `TOLERANCE`: each time it does, all that is stored of the
nodes has to be moved, too (`reception`). Off by that much at a takeover, one rate is a seventh of a
percent off at a period of 15 s.
"""

from __future__ import annotations

TOLERANCE = 0.02  # seconds
WINDOW = 30.0  # seconds for which the smallest R - S counts: the clocks drift meanwhile


class ClockRelation:
    """The offset from the sender's monotonic clock to ours, in seconds."""

    def __init__(self) -> None:
        self.offset: float | None = None  # None before the first message
        self._differences: list[tuple[float, float]] = []  # (when, R - S), increasing both ways

    def update(self, sent_at: float, received_at: float) -> None:
        """Take the times of one message."""
        difference = received_at - sent_at
        recent = [
            (at, other)
            for at, other in self._differences
            if at > received_at - WINDOW and other < difference
        ]
        self._differences = [*recent, (received_at, difference)]
        estimate = self._differences[0][1]
        if self.offset is None or abs(estimate - self.offset) > TOLERANCE:
            self.offset = estimate

    def ours(self, theirs: float) -> float:
        """Return a time of the sender's clock by ours; nothing may be asked before `update`."""
        if self.offset is None:
            raise ValueError("no message has brought the time of the sender's clock yet")
        return theirs + self.offset
