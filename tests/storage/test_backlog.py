"""What a follower stores of pods that nobody asks for waits, and is there for whoever asks."""

from itertools import count

import pytest

from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import EncodedPods
from metricsapi.storage.windows import KEPT
from tests.storage.test_never_wrong import container
from tests.support.samples import node_sample

PERIOD = 15.0
NAMES = tuple(f"pod-{number}" for number in range(6))


class Replicas:
    """A leader's store and a follower's; `decoded` counts the answers whose pods were decoded."""

    def __init__(self):
        self.leader, self.follower = (MetricsStore(max_age=60.0, period=PERIOD) for _ in range(2))
        self.decoded = 0
        self.now = 1000.0
        self._load = count(1)
        self._counter = 10**12

    def scrape(self, times=1, names=NAMES, broken=False):
        for _ in range(times):
            self.now += PERIOD
            sample = self.answer(names)
            self.leader.put(sample)
            sample.pods = self._encoded(sample.pods, broken=broken)
            self.follower.put(sample)

    def answer(self, names=NAMES):
        # The load changes with each answer, so that no other window has the same rate.
        self._counter += next(self._load) * 10**9
        stats = container(at=self.now, counter=self._counter)
        pods = [("ns", name, f"uid-{name}", [stats]) for name in names]
        return node_sample("n1", self.now - 0.02, self.now + 0.02, pods, own=stats)

    def usages(self, names=NAMES):
        """What each serves."""
        for store in (self.leader, self.follower):
            yield [store.pod_usage("ns", name, self.now + 1) for name in names]

    def idle(self):
        """Have both scrape for so long that pods wait."""
        self.scrape(3 * KEPT)
        self.decoded = 0

    def _encoded(self, pods, *, broken):
        def decode(_):
            if broken:
                raise ValueError("broken")
            self.decoded += 1
            return pods

        return EncodedPods(b"", hash(tuple(pod.pod_ref for pod in pods)), decode)


@pytest.fixture
def replicas():
    replicas = Replicas()
    replicas.idle()
    return replicas


@pytest.mark.parametrize("answers", range(1, 3 * KEPT))
def test_whoever_asks_gets_what_would_have_been_put_at_once(replicas, answers):
    replicas.scrape(answers)
    assert replicas.decoded == 0
    leader, follower = replicas.usages()
    assert follower == leader
    assert None not in leader
    assert 0 < replicas.decoded <= KEPT


def test_pods_that_somebody_has_asked_for_do_not_wait(replicas):
    list(replicas.usages(NAMES[:1]))
    replicas.decoded = 0
    replicas.scrape(KEPT)
    assert replicas.decoded == KEPT
    replicas.scrape()
    assert replicas.decoded == KEPT


def test_of_a_snapshot_one_answer_is_decoded_until_somebody_asks(replicas):
    replicas.follower = MetricsStore(max_age=60.0, period=PERIOD)
    replicas.scrape(KEPT)
    assert replicas.decoded == 1
    ours, theirs = replicas.usages()
    assert None not in ours
    assert theirs == ours
    assert replicas.decoded == KEPT


def test_a_pod_that_is_new_is_served_at_once(replicas):
    names = (*NAMES, "new")
    replicas.scrape(2, names)
    leader, follower = replicas.usages(names)
    assert follower == leader
    assert None not in leader
    replicas.idle()
    replicas.scrape(1, NAMES[:-1])
    assert replicas.follower.pod("ns", NAMES[-1]) is None


def test_the_usage_of_the_node_itself_never_waits(replicas):
    replicas.scrape()
    leader, follower = (
        store.node_usage("n1", replicas.now) for store in (replicas.leader, replicas.follower)
    )
    assert follower == leader is not None
    assert replicas.decoded == 0


def test_the_rate_of_an_own_scrape_begins_at_the_last_answer_of_the_leader(replicas):
    replicas.scrape(2 * KEPT)
    replicas.now += PERIOD
    sample = replicas.answer()
    replicas.leader.put(sample)
    sample.located = None
    replicas.follower.put(sample)
    leader, follower = replicas.usages()
    assert follower == leader


def test_readings_for_prometheus_are_the_last_ones(replicas):
    replicas.scrape(2)
    leader, follower = (
        [each.cpu.counter for each in store.readings(replicas.now)]
        for store in (replicas.leader, replicas.follower)
    )
    assert follower == leader


def test_pods_that_cannot_be_decoded_cost_their_answer_alone(replicas, caplog):
    replicas.scrape(1, broken=True)
    _, follower = replicas.usages()
    assert None not in follower
    assert "lost" in caplog.text
    replicas.scrape(2)
    leader, follower = replicas.usages()
    assert follower == leader


def test_where_scrapes_follow_each_other_closely_no_reading_is_lost_that_a_rate_begins_at(replicas):
    for _ in range(3 * KEPT):
        replicas.now -= PERIOD - 2.0
        replicas.scrape()
    leader, follower = replicas.usages()
    assert follower == leader


def test_a_node_that_is_forgotten_leaves_nothing(replicas):
    replicas.scrape(2)
    pod = replicas.follower.pod("ns", NAMES[0])
    replicas.follower.forget("n1")
    pod.make_usage()
    assert replicas.follower.pod("ns", NAMES[0]) is None
