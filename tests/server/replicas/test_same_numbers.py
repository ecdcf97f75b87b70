"""A follower serves the leader's numbers: the same rates, windows and times of every stat."""

import datetime as dt
import random
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metricsapi.server.replicas.messages import Heartbeat, Hello, frame
from metricsapi.server.replicas.reception import Reception
from metricsapi.server.replicas.results import pack
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.windows import KEPT
from tests.support.samples import container_stats, node_sample

PERIOD = 15.0
SETTLED = 8  # periods after which all that a store learns of a stat is the same
EPOCH = 1.7e9


@dataclass
class Kubelet:
    """A node of some containers; `skew` is its clock minus the leader's, `old` its housekeeping."""

    rng: random.Random
    containers: int
    skew: float
    old: bool  # containers are read by housekeeping, as in docker
    restarts: float = 0.0  # the share of answers before which a container's counter begins anew

    def __post_init__(self):
        self._began = dict.fromkeys(range(8), -1e5)
        self._starts = dict.fromkeys(range(8), "2020-01-01T00:00:00Z")

    def sample(self, requested, answered):
        at = (requested + answered) / 2
        read = at - self.rng.uniform(1.0, 10.0) if self.old else at
        if self.rng.random() < self.restarts:
            number = self.rng.randrange(8)
            self._began[number] = read - 1.0
            if self.rng.random() < 0.5:  # otherwise the kubelet has not noticed
                self._starts[number] = self._text(read - 1.0)
        listed = [self._stats(f"c{number}", number, read) for number in range(self.containers)]
        own = self._stats("n1", 7, at - self.rng.uniform(0.0, 10.0))
        pods = [("ns", "p", "u", listed)]
        return node_sample("n1", requested, answered, pods, own=own)

    def _text(self, at):
        time = dt.datetime.fromtimestamp(int(EPOCH + self.skew + at), dt.UTC)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _stats(self, name, number, read):
        text, rate = self._text(read), 10**6 * 3**number
        counter = int(rate * (read - self._began[number]) * self.rng.uniform(1.0, 1.0001))
        return container_stats(name, self._starts[number], text, counter, rate, text, 2**20)


class Replicas:
    """A leader's store, and a follower's at the other end of a stream with delays."""

    def __init__(self, rng, apart, delays):
        self.leader = MetricsStore(max_age=60.0, period=PERIOD)
        self.follower = MetricsStore(max_age=60.0, period=PERIOD)
        self._rng, self._apart, self._delays = rng, apart, delays
        self._kept = deque(maxlen=KEPT)
        self._reception = None

    def scraped(self, sample):
        self.leader.put(sample)
        self._kept.append(pack(sample))
        if self._reception is not None:
            self._send(sample.answered_at, Heartbeat(sample.answered_at), self._kept[-1])

    def follow(self, now):
        self._reception = Reception("leader")
        self._send(now, Hello("leader", now, 1), *self._kept)

    def _send(self, now, *messages):
        """Carry messages in pieces; they are on their way for some time."""
        data = b"".join(map(frame, messages))
        arrives = now + self._apart + self._rng.choice(self._delays)
        for start in range(0, len(data), 1000):
            piece = data[start : start + 1000]
            for received in self._reception.feed(piece, arrives):
                self.follower.put(received.result)

    def usages(self, now):
        """What each serves, and when it will no longer, of its own clock."""
        for store, at in ((self.leader, now), (self.follower, now + self._apart)):
            yield store.pod_usage("ns", "p", at), store.node_usage("n1", at)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    containers=st.integers(1, 8),
    skew=st.floats(-1000.0, 1000.0),
    old=st.booleans(),
    joins=st.integers(0, 12),
    apart=st.floats(-1e6, 1e6),
    delays=st.lists(st.floats(0.0, 2.0), min_size=1, max_size=4),
    restarts=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    pauses=st.lists(st.sampled_from([PERIOD, 14.9, 15.1, 7.0, 3.0, 1.0]), min_size=1, max_size=9),
    asked=st.integers(1, 24),
)
@example(  # a clock jumps at the moment of a reading, and an offset changes after that
    seed=35523,
    containers=6,
    skew=0.0,
    old=True,
    joins=1,
    apart=97017.0,
    delays=[0.0, 0.0, 1.0, 0.0],
    restarts=0.5,
    pauses=[PERIOD],
    asked=1,
)
def test_after_some_periods_a_follower_serves_what_the_leader_does(
    seed, containers, skew, old, joins, apart, delays, restarts, pauses, asked
):
    rng = random.Random(seed)
    kubelet = Kubelet(rng, containers, skew, old, restarts)
    replicas = Replicas(rng, apart, delays)
    now = 2e6
    for period in range(joins + SETTLED + 50):
        if period == joins:
            replicas.follow(now)
        requested = now + rng.uniform(0.0, 0.2)
        answered = requested + rng.uniform(0.002, 0.4)
        replicas.scraped(kubelet.sample(requested, answered))
        if period >= joins + SETTLED and period % asked == 0:
            ours, theirs = replicas.usages(answered)
            for leaders, followers in zip(ours, theirs, strict=True):
                assert_same(leaders, followers)
        now += PERIOD if period < joins + SETTLED else pauses[period % len(pauses)]


def assert_same(leaders, followers):
    assert (leaders is None) == (followers is None)
    if leaders is None:
        return
    assert followers.timestamp == leaders.timestamp
    assert followers.window == pytest.approx(leaders.window, abs=1e-6)
    pairs = zip(
        getattr(leaders, "containers", [leaders]),
        getattr(followers, "containers", [followers]),
        strict=True,
    )
    for leader, follower in pairs:
        # A nanocore by rounding: times differ by what the clocks are apart.
        assert follower.cpu == pytest.approx(leader.cpu, abs=1, rel=1e-9)
        assert (follower.name, follower.memory) == (leader.name, leader.memory)


def test_a_new_follower_serves_what_the_leader_does_as_soon_as_its_snapshot_is_whole():
    rng = random.Random(7)
    replicas = Replicas(rng, 5000.0, [0.001])
    kubelet = Kubelet(rng, 2, 3.5, old=False)
    for period in range(20):
        at = 1e6 + PERIOD * period
        replicas.scraped(kubelet.sample(at, at + 0.05))
    replicas.follow(at + 1.0)
    (leaders, _), (followers, _) = replicas.usages(at + 1.0)
    assert_same(leaders, followers)


def test_a_message_that_was_late_costs_no_rate_its_window():
    rng = random.Random(7)
    delays = [1.5]
    replicas = Replicas(rng, 100.0, delays)
    kubelet = Kubelet(rng, 2, 3.5, old=False)
    replicas.follow(1e6)
    for period in range(20):
        at = 1e6 + PERIOD * period
        delays[0] = 1.5 if period < 10 else 0.001  # the network is quick from then on
        replicas.scraped(kubelet.sample(at, at + 0.05))
        if period > 3:
            (leaders, _), (followers, _) = replicas.usages(at + 0.05)
            assert_same(leaders, followers)
