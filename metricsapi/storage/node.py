"""One node in the store: its clock, its pods, and its own stat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from metricsapi.storage.backlog import Backlog
from metricsapi.storage.clock import NodeClock
from metricsapi.storage.evidence import Previous
from metricsapi.storage.limits import Limits
from metricsapi.storage.pod import Pod
from metricsapi.storage.rates import counter_of
from metricsapi.storage.rules import Rules
from metricsapi.storage.stat import Stat, advance, instants
from metricsapi.storage.timing import LONG_RUN, RUN, Exchange, Timing
from metricsapi.storage.types import (
    CpuStats,
    KubeletTime,
    NodeInfo,
    NodeSample,
    NodeUsage,
    PodRef,
    PodStats,
    epoch_seconds,
)
from metricsapi.storage.windows import Windows

UNRATED = 60.0  # seconds, or three periods if longer: without a new rate a node is unusable then
EXACT = 100_000  # nanocores: a rate below this is rounded too much to tell a window


class Node:
    """All that is remembered of one node."""

    __slots__ = ("backlog", "clock", "containers", "name", "pods", "stat", "unrated_since", "usage")

    def __init__(self, name: str, backlog: Backlog) -> None:
        self.name = name
        self.backlog = backlog
        self.clock = NodeClock()
        self.pods: dict[PodRef, Pod] = {}  # of its last answer; another dict after each
        self.containers = 0  # of these pods: to count those of all nodes takes 50 ms at 15,000
        self.stat: Stat | None = None
        self.usage: NodeUsage | None = None  # None: not made since the last change
        # Monotonic seconds: the reading of its last rate, or else its first answer.
        self.unrated_since: float | None = None

    def put(self, sample: NodeSample, limits: Limits, windows: Windows) -> Rules:
        """Take an answer's times and the node's own stats; return the rules for its containers."""
        if sample.moved:
            self._move(sample.moved)
        since = sample.answered_at - self.clock.at
        timing = self._locate(sample)
        new = sample.stats
        rates_known = new is None or new.cpu is None or bool(new.cpu.usage_nano_cores)
        if new is not None:
            rules = Rules(
                timing, limits, windows, LONG_RUN, rates_known=rates_known, oldest_new=since
            )
            stat = advance(self.stat, new, rules)
            if stat is not self.stat:
                self.stat, self.usage = stat, None
        self._note_unrated(sample, windows)
        return Rules(timing, limits, windows, RUN, rates_known=rates_known, oldest_new=since)

    def make_usage(self) -> NodeUsage | None:
        """Return the usage, however old, or None while it is not known."""
        stat = self.stat
        rated = stat.cpu.rated if stat is not None else None
        if stat is None or rated is None or rated.cpu is None or not stat.working_set:
            return None
        self.usage = NodeUsage(
            self.name,
            rated.at.time,
            rated.window,
            rated.cpu,
            stat.working_set,
            stat.swap,
            stat.ephemeral_storage,
        )
        return self.usage

    def info(self) -> NodeInfo:
        """Return what a status page shows of the node."""
        return NodeInfo(len(self.pods), self.containers)

    def _locate(self, sample: NodeSample) -> Timing:
        own = sample.stats.cpu if sample.stats is not None else None
        node_time = own.time if own is not None else None
        exchange = Exchange(sample.requested_at, sample.answered_at, sample.time_step)
        if sample.located is not None:
            return self.clock.adopt(sample.located, node_time, exchange)
        timing, sample.located = self.clock.locate(
            _cpu_times(sample.pods),
            node_time,
            exchange,
            lambda: list(self._previous(sample.pods)),
        )
        return timing

    def _note_unrated(self, sample: NodeSample, windows: Windows) -> None:
        """Make answers unusable that are all sound, but of which no rate of the node follows.

        Such are a counter that stays 0, a counter whose times do not move as it is read, and a
        counter that grows by more than the cores of the node's object can give.
        """
        rated = self.stat.cpu.rated if self.stat is not None else None
        if rated is not None:
            self.unrated_since = rated.at.received
        elif self.unrated_since is None:
            self.unrated_since = sample.answered_at
        unrated = max(UNRATED, 3 * windows.period)
        if sample.answered_at - self.unrated_since >= unrated and not sample.unusable:
            sample.unusable = (
                f"for {unrated:g} s no CPU usage of the node itself has followed from the counters "
                "and their times, within what its cores can give"
            )

    def _move(self, seconds: float) -> None:
        """Take the times of another replica's answers so far to be later by `seconds`."""
        self.clock.move(seconds)
        if self.unrated_since is not None:
            self.unrated_since += seconds
        stats = [stat for pod in self.pods.values() for stat in pod.stats.values()]
        if self.stat is not None:
            stats.append(self.stat)
        # Containers of one answer share them.
        for instant in {id(at): at for stat in stats for at in instants(stat)}.values():
            instant.move(seconds)
        for pod in self.pods.values():
            pod.since += seconds

    def _previous(self, pods: Iterable[PodStats]) -> Iterator[Previous]:
        """Yield each new reading of a container that was in the answer before, too."""
        for listed in pods:
            pod = self.pods.get(listed.pod_ref)
            for new in listed.containers or ():
                stat = pod.stats.get(new.name) if pod is not None else None
                if stat is not None and new.cpu is not None:
                    yield from _previous(stat, new.cpu)


def _previous(stat: Stat, cpu: CpuStats) -> Iterator[Previous]:
    time, last = epoch_seconds(cpu.time), stat.cpu.reading
    counter = last.counter if last is not None else None
    grown, rate = counter_of(cpu), cpu.usage_nano_cores or 0
    # A clock that is set back may give two readings the same time.
    repeated = last is not None and time == last.at.time and grown == counter
    if time is None or not grown or repeated:  # finished init containers have 0
        return
    moment = last.at.moment if last is not None else None
    implied = 0.0
    if counter is not None and rate >= EXACT:
        implied = (grown - counter) / rate
    yield Previous(time, stat.cpu.run, moment, implied)


def _cpu_times(pods: Iterable[PodStats]) -> Mapping[KubeletTime, int]:
    """Count the containers that have each time."""
    return Counter(
        [
            container.cpu.time
            for pod in pods
            for container in pod.containers or ()
            if container.cpu is not None
        ]
    )
