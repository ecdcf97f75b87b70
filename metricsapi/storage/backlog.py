"""The pods of answers that wait until somebody asks for them.

A follower stores what its leader scraped as if it had scraped itself, and most of that is
superseded before anybody asks. So where nobody asked for the pods of a node in its last `KEPT`
answers, or ever, those of the next answers wait, encoded as they came. Whoever asks for a pod then
has what waits on its node put first, in order, and gets what the leader would give. As many answers
wait as readings are kept of a stat, and for a period at least: no rate begins before them.

These never wait: a node's own stats and what is known of its clock; what a scrape of our own gave;
an answer that lists other pods or containers than the answer before, or the same with other starts;
and an answer with a container that may not have been read at request time, since what its readings
are worth is known only from all those before.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from metricsapi.storage.evidence import ENOUGH
from metricsapi.storage.rules import Rules
from metricsapi.storage.types import EncodedPods, Located, NodeSample, PodStats
from metricsapi.storage.windows import KEPT

log = logging.getLogger(__name__)


class Backlog:
    """The answers of one node whose pods wait, oldest first; `put` takes those of one answer."""

    __slots__ = ("_listed", "_put", "_unasked", "_waiting")

    def __init__(self, put: Callable[[Sequence[PodStats], Rules], None]) -> None:
        self._put = put
        self._waiting: deque[tuple[EncodedPods, Rules]] = deque(maxlen=KEPT)
        self._unasked = KEPT  # answers since somebody asked for a pod
        self._listed: int | None = None  # of the last answer; None if that was our own

    def takes(self, sample: NodeSample) -> bool:
        """Note the node's next answer, and tell whether its pods are to wait."""
        before, pods = self._listed, sample.pods
        self._listed = pods.listed if isinstance(pods, EncodedPods) else None
        self._unasked += 1
        same = before is not None and before == self._listed
        # When the clock is another one, the times of all readings before have to be moved.
        return (
            same
            and self._unasked > KEPT
            and not sample.moved
            and _is_clear(sample.located)
            and self._has_room(sample)
        )

    def add(self, pods: EncodedPods, rules: Rules) -> None:
        """Let the pods of an answer wait; with `KEPT` of them, the oldest is superseded."""
        self._waiting.append((pods, rules))

    def _has_room(self, sample: NodeSample) -> bool:
        if len(self._waiting) < KEPT:
            return True
        _, rules = self._waiting[1]
        return sample.requested_at - rules.timing.requested >= rules.windows.period

    def asked(self) -> None:
        """Put what waits, since somebody asks for a pod of the node."""
        self._unasked = 0
        self.put()

    def put(self) -> None:
        """Put what waits; what cannot be decoded is lost, and the next answer is put at once."""
        while self._waiting:
            pods, rules = self._waiting.popleft()
            try:
                self._put(list(pods), rules)
            except ValueError as error:
                log.warning(
                    "an answer of another replica is lost", extra={"data": {"error": str(error)}}
                )


def _is_clear(located: Located | None) -> bool:
    """Return whether all containers of an answer are known to be read at request time."""
    return (
        located is not None
        and located.evidence >= ENOUGH
        and not located.refuted
        and len(located.moments) >= len(located.times)
    )
