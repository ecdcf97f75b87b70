"""The rules of leader election by a Lease, without I/O: those of client-go.

The Lease names its holder, who renews it every retry period. A candidate that reads the same record
for a whole lease duration, by its own monotonic clock, may take it. Clocks of two machines are not
compared: the times in the record are for people. A write carries the resource version that was
read, so of two candidates the API server refuses one.
"""

from __future__ import annotations

from dataclasses import dataclass

from metricsapi.kube.lease import Record


@dataclass(frozen=True)
class Timing:
    """How long a Lease lasts. Seconds; `lease_duration` > `renew_deadline` > `retry_period`."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class Election:
    """One candidate's view of the Lease. Times are monotonic seconds.

    Of an unchanged record `observed_at` is when it was first seen. A candidate leads until
    `renew_deadline` after the moment at which it *began* its last successful write.
    """

    def __init__(self, identity: str, timing: Timing) -> None:
        self.identity = identity
        self.record = Record()
        self._timing = timing
        self._observed_at = float("-inf")
        self._leads_until = float("-inf")

    def leads(self, now: float) -> bool:
        """Return whether this candidate may act as leader."""
        return now < self._leads_until

    def holder(self, now: float) -> Record | None:
        """Return the record of whoever holds the Lease, None when it is free or has expired."""
        valid = self.record.holder and now < self._observed_at + self._timing.lease_duration
        return self.record if valid else None

    def observe(self, record: Record, now: float) -> None:
        """Store a record that was read at `now`."""
        if record != self.record:
            self._observed_at = now
            if record.holder != self.identity:
                self._leads_until = float("-inf")
        self.record = record

    def may_write(self, now: float) -> bool:
        """Return whether the Lease is ours to renew or to take."""
        holder = self.holder(now)
        return holder is None or holder.holder == self.identity

    def wrote(self, record: Record, began: float) -> None:
        """Note that the API server took our record; `began` is when the request was sent."""
        self.record, self._observed_at = record, began
        leads = record.holder == self.identity
        self._leads_until = began + self._timing.renew_deadline if leads else float("-inf")

    def resign(self) -> None:
        """Act as leader no longer, whatever the Lease says."""
        self._leads_until = float("-inf")
