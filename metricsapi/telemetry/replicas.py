"""The state of leader election and replication of one replica, for /statusz and self-metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReplicaStatus:
    """As this replica knows it. `since` is epoch seconds, `lag` seconds; None if not following."""

    identity: str
    leading: bool
    leader: str  # who holds the Lease; empty if nobody does
    following: bool
    since: float | None  # when the stream was complete
    lag: float | None  # since the leader sent the last message that came
    followers: int  # streams that are read from this replica
    problem: str  # why the leader cannot be followed; empty if it can

    @property
    def role(self) -> str:
        """`leader`, `follower`, or `alone` while scraping for itself."""
        if self.leading:
            return "leader"
        return "follower" if self.following else "alone"

    @property
    def summary(self) -> str:
        """One line for people: who leads, and who follows whom."""
        if self.leading:
            return f"{self.identity} leads, {self.followers} follow"
        if self.following:
            return f"{self.identity} follows {self.leader}, {self.lag or 0.0:.1f} s behind"
        reason = self.problem or ("nobody leads" if not self.leader else "not followed yet")
        return f"{self.identity} scrapes for itself: {reason}"
