"""How another replica's monotonic clock relates to ours.

The two start at unrelated values and run at nearly the same speed. A message that was sent at S by
its clock and arrives at R by ours was on its way for some time, so R - S is the offset plus that
time: the smallest R - S that was seen is the best estimate.

Samples of one node keep their distance only while the offset stands still, and a rate is taken
over that distance. So the offset that is used moves slowly towards the estimate: by `SLEW` of the
time that goes by, which changes a rate by a hundredth of a percent.
"""

from __future__ import annotations

SLEW = 1e-4  # seconds a second; twice what the clocks of two machines drift apart
WINDOW = 30.0  # seconds for which the smallest R - S counts: the clocks drift meanwhile


class ClockRelation:
    """The offset from the sender's monotonic clock to ours, in seconds."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._updated_at: float | None = None  # by our clock
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
        if self._updated_at is None:
            self.offset = estimate
        else:
            most = SLEW * max(0.0, received_at - self._updated_at)
            self.offset += min(max(estimate - self.offset, -most), most)
        self._updated_at = received_at

    def ours(self, theirs: float) -> float:
        """Give a time of the sender's clock by ours."""
        return theirs + self.offset
