"""How another replica's monotonic clock relates to ours, and how late its messages come.

The two start at unrelated values and run at nearly the same speed. A message that was sent at S by
its clock and arrives at R by ours was on its way for some time, so R - S is the offset plus that
time: the smallest R - S, raised by what the clocks may drift apart since, is the best estimate.
What a later R - S exceeds it by is how late that message is. A queue that grows somewhere between
the two, as before a reader that is too slow, is thus not taken for another offset.

The offset moves only once it is off by `TOLERANCE`: each time it does, all that is stored of the
nodes has to be moved, too (`reception`). Off by that much at a takeover, one rate is a seventh of a
percent off at a period of 15 s.
"""

from __future__ import annotations

TOLERANCE = 0.02  # seconds
DRIFT = 5e-4  # seconds a second: the most by which NTP lets a clock run fast or slow


class ClockRelation:
    """The offset from the sender's monotonic clock to ours, in seconds."""

    def __init__(self) -> None:
        self.offset: float | None = None  # None before the first message
        self.late = 0.0  # seconds by which the last message is later than the quickest one
        self._least = 0.0  # the smallest R - S, with the drift since
        self._at = 0.0  # R of the last message

    def update(self, sent_at: float, received_at: float) -> None:
        """Take the times of one message."""
        difference = received_at - sent_at
        drifted = self._least + DRIFT * (received_at - self._at)
        self._least = difference if self.offset is None else min(difference, drifted)
        self._at = received_at
        self.late = difference - self._least
        if self.offset is None or abs(self._least - self.offset) > TOLERANCE:
            self.offset = self._least

    def to_our_clock(self, time: float) -> float:
        """Return a time of the sender's clock by ours; not to be called before `update`."""
        if self.offset is None:
            raise ValueError("no message has brought the time of the sender's clock yet")
        return time + self.offset
