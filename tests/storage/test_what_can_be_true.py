"""What a kubelet says is a claim: what cannot be true is missing, and costs nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from metricsapi.kube.resources import Capacity
from metricsapi.storage.cluster import UnknownCluster
from metricsapi.storage.rates import KUBELET_WINDOW
from metricsapi.storage.store import MetricsStore
from tests.support.decoding import decode_summary
from tests.support.samples import container_stats, node_sample

EPOCH = 1.8e9
CORE = 10**9
GIB = 2**30
HOUR = 3600.0


class Cluster(UnknownCluster):
    """Every node has 4 cores, 16 GiB and the swap of the argument."""

    def __init__(self, swap=None):
        self.swap = swap

    def capacity(self, _node):
        return Capacity(4 * CORE, 16 * GIB, self.swap, 100 * GIB)


@pytest.fixture
def store():
    return MetricsStore(max_age=60.0, cluster=Cluster())


def container(name="c", at=100.0, cores=0.25, *, age=HOUR, **fields):
    """A container that has used `cores` since it started, `age` seconds before the time 100."""
    started = 100.0 - age
    values = {
        "cpu_counter": int((at - started) * cores * CORE),
        "cpu_rate": int(cores * CORE),
        "memory": 64 * 2**20,
    }
    values |= fields
    time = EPOCH + int(at)
    return container_stats(name, EPOCH + started, cpu_time=time, memory_time=time, **values)


def put(store, at, *containers, own=None, uid="u", step=None):
    sample = node_sample("node-a", at, at + 0.02, [("ns", "pod", uid, containers)], own=own)
    if step is not None:
        sample.time_step = step
    store.put(sample)
    return store.pod_usage("ns", "pod", at + 0.02)


def cores(usage):
    return usage and {each.name: each.cpu / CORE for each in usage.containers}


def others(at):
    """The containers of five more pods, so that it is known when this node's are read."""
    return [("ns", f"other-{i}", f"o{i}", [container(at=at)]) for i in range(5)]


# Zeros


@pytest.mark.parametrize("rate", [0, None, CORE])
def test_a_container_of_zeros_is_not_known(store, rate):
    """It runs, says the API server, so it uses something; an autoscaler would scale in."""
    zeros = {"cpu_counter": 0, "cpu_rate": rate, "memory": 0}
    assert put(store, 100.0, container(**zeros)) is None
    assert put(store, 115.0, container(at=115.0, **zeros)) is None


def test_a_container_of_zeros_keeps_the_usage_before(store):
    put(store, 100.0, container("a"), container("b"))
    zeros = container("b", 115.0, cpu_counter=0, cpu_rate=0, memory=0)
    usage = put(store, 115.0, container("a", 115.0), zeros)
    assert cores(usage) == {"a": pytest.approx(0.25, rel=0.01), "b": 0.25}


def test_a_node_of_zeros_is_not_known(store):
    own = container("node-a", cpu_counter=0, cpu_rate=0, memory=0)
    put(store, 100.0, container(), own=own)
    assert store.node_usage("node-a", 100.1) is None


@pytest.mark.parametrize("fields", [{"memory": 0}, {"cpu_counter": 0, "cpu_rate": 0}])
def test_a_zero_beside_a_number_that_grows_is_not_known(store, fields):
    assert put(store, 100.0, container(**fields)) is None
    assert put(store, 115.0, container(at=115.0, **fields)) is None


def test_an_idle_container_has_zero_from_the_first_answer_on(store):
    """It has used an hour of CPU time in its day; the kubelet's 0 is not one before two samples."""
    idle = {"cpu_counter": 3600 * CORE, "cpu_rate": 0, "age": 24 * HOUR}
    own = container("node-a", cores=2.0)
    assert cores(put(store, 100.0, container(**idle), own=own)) == {"c": 0.0}
    assert cores(put(store, 115.0, container(at=115.0, **idle))) == {"c": 0.0}


def test_a_rate_of_zero_after_a_node_booted_with_a_wrong_clock_is_not_known(store):
    """An hour was added to its clock after the start was written: all that starts seems old."""
    own = container("node-a", cores=1)
    put(store, 100.0, container(), own=own)
    own = container("node-a", at=160.0, age=HOUR - 50, cpu_counter=3 * CORE, cpu_rate=CORE)
    booted = container(at=160.0, age=HOUR - 55, cpu_counter=3 * CORE, cpu_rate=0)
    assert cores(put(store, 160.0, booted, own=own)) is None
    booted = container(at=175.0, age=HOUR - 55, cpu_counter=18 * CORE, cpu_rate=CORE)
    assert cores(put(store, 175.0, booted, own=own)) == {"c": pytest.approx(1.0, rel=0.01)}


def test_a_zero_of_a_kubelet_that_has_just_started_is_not_known(store):
    """Then its node has no rate yet, either."""
    busy = {"cpu_counter": 3600 * CORE, "cpu_rate": 0, "age": 24 * HOUR}
    own = container("node-a", cores=2.0, cpu_rate=0)
    assert put(store, 100.0, container(**busy), own=own) is None


def test_finished_init_containers_with_zeros_are_left_out(store):
    zeros = {"cpu_counter": 0, "cpu_rate": 0, "memory": 0}
    listed = [
        container("app", age=40.0),
        container("init-1", age=80.0, **zeros),
        container("init-2", age=60.0, **zeros),
    ]
    assert cores(put(store, 100.0, *listed)) == {"app": 0.25}


@pytest.mark.parametrize("start", [None, "1970-01-02T03:04:05Z"], ids=["none", "an age"])
def test_a_container_without_a_start_hides_no_finished_init_container(store, start):
    for at in (100.0, 115.0):
        zeros = {"cpu_counter": 0, "cpu_rate": 0, "memory": 0}
        unknown = container("b", at)
        unknown.start_time = start
        init = container("init", at, age=2 * HOUR, **zeros)
        assert cores(put(store, at, init, container("a", at), unknown)).keys() == {"a", "b"}


def test_an_init_container_that_was_seen_running_is_left_out_once_it_has_finished(store):
    assert cores(put(store, 100.0, container("init", age=40.0))) == {"init": 0.25}
    zeros = container("init", 130.0, age=40.0, cpu_counter=0, cpu_rate=0, memory=0)
    app = container("app", 130.0, age=-20.0, cores=0.5)
    assert cores(put(store, 130.0, zeros, app)) == {"app": 0.5}


def test_a_container_that_ran_beside_the_others_is_not_left_out(store):
    put(store, 100.0, container("first", age=80.0), container("second", age=60.0))
    zeros = container("first", 115.0, age=80.0, cpu_counter=0, cpu_rate=0, memory=0)
    usage = put(store, 115.0, zeros, container("second", 115.0, age=60.0))
    assert cores(usage) == {"first": 0.25, "second": pytest.approx(0.25, rel=0.01)}


# Bytes


@pytest.mark.parametrize("memory", [2**64 - 4096, 16 * GIB + 1, -1, 2**70])
def test_memory_beyond_the_nodes_is_missing(store, memory):
    assert put(store, 100.0, container(memory=memory)) is None
    put(store, 115.0, container(at=115.0))
    usage = put(store, 130.0, container(at=130.0, memory=memory))
    assert usage.containers[0].memory == 64 * 2**20


def test_memory_of_all_that_the_node_has_is_served(store):
    assert put(store, 100.0, container(memory=16 * GIB)).containers[0].memory == 16 * GIB


@pytest.mark.parametrize(
    ("capacity", "used", "served"),
    [
        (8 * GIB, 8 * GIB, 8 * GIB),
        (8 * GIB, 8 * GIB + 1, None),
        (None, 3 * GIB, 3 * GIB),  # what the Summary has: 2 GiB available and 1 GiB used
        (None, 3 * GIB + 1, None),
        (None, 2**64 - 4_600_000_000, None),
    ],
)
def test_swap_beyond_the_nodes_is_missing(capacity, used, served):
    store = MetricsStore(max_age=60.0, cluster=Cluster(capacity))
    own = container("node-a", swap=GIB, swap_available=2 * GIB)
    usage = put(store, 100.0, container(swap=used), own=own)
    assert usage.containers[0].swap == served


def test_a_nodes_own_swap_that_underflowed_is_missing(store):
    own = container("node-a", swap=2**64 - 4_600_000_000, swap_available=2 * GIB)
    put(store, 100.0, container(swap=4096), own=own)
    assert store.node_usage("node-a", 100.1).swap is None
    assert store.pod_usage("ns", "pod", 100.1).containers[0].swap == 4096


def test_files_beyond_the_nodes_disk_are_missing(store):
    usage = put(store, 100.0, container(ephemeral_storage=100 * GIB + 1))
    assert usage.containers[0].ephemeral_storage is None


def test_bytes_that_underflowed_cost_their_own_pod_and_no_second_decoding():
    """The whole answer is decoded once: the second decoder is thirty times slower."""
    container_of = {"startTime": "2027-01-15T07:00:00Z"}
    cpu = {
        "time": "2027-01-15T08:00:00Z",
        "usageNanoCores": CORE // 4,
        "usageCoreNanoSeconds": 900 * CORE,
    }

    def pod(name, memory):
        memory = {"time": cpu["time"], "workingSetBytes": memory}
        listed = [{"name": "c", **container_of, "cpu": cpu, "memory": memory}]
        return {"podRef": {"name": name, "namespace": "ns", "uid": name}, "containers": listed}

    pods = [pod("bad", 2**64 - 4096), pod("good", 4096)]
    body = json.dumps({"node": {"nodeName": "n"}, "pods": pods}).encode()
    store = MetricsStore(max_age=60.0)
    store.put(decode_summary("n", body, requested_at=1.0, answered_at=1.1, wall_offset=EPOCH))
    assert store.pod_usage("ns", "bad", 1.1) is None
    assert store.pod_usage("ns", "good", 1.1).containers[0].memory == 4096


# The kubelet's own rate


@pytest.mark.parametrize("rate", [22 * CORE, 300_000 * CORE, -CORE, 2**80])
def test_a_rate_that_the_counter_contradicts_is_not_believed(store, rate):
    put(store, 100.0, container())
    usage = put(store, 115.0, container(at=115.0, cpu_rate=rate))
    assert cores(usage) == {"c": pytest.approx(0.25, rel=1e-6)}


@pytest.mark.parametrize("rate", [22 * CORE, 300_000 * CORE])
@pytest.mark.parametrize("age", [HOUR, 5.0])
def test_a_first_rate_that_the_cores_contradict_is_not_served(store, rate, age):
    assert put(store, 100.0, container(age=age, cpu_rate=rate)) is None


def test_a_first_rate_that_the_counter_contradicts_is_not_served():
    store = MetricsStore(max_age=60.0)  # of a node of which nothing is known
    assert put(store, 100.0, container(age=60.0, cpu_rate=22 * CORE)) is None


def test_a_first_rate_of_a_young_container_has_a_window_that_its_counter_fills(store):
    usage = put(store, 100.0, container(age=5.0, cores=1.0))
    assert (cores(usage), usage.window) == ({"c": 1.0}, 5.0)


def test_a_rate_that_is_too_low_to_be_true_is_not_believed(store):
    """2 cores were used in 15 s; at nearly none in the last 10, 6 cores are needed before."""
    put(store, 100.0, container(cores=2.0))
    usage = put(store, 115.0, container(at=115.0, cores=2.0, cpu_rate=1000))
    assert cores(usage) == {"c": pytest.approx(2.0, rel=1e-6)}


def test_a_counter_that_outruns_the_cores_leaves_the_usage_before(store):
    before = put(store, 100.0, container())
    jumped = container(at=115.0, cpu_counter=10**6 * CORE)
    assert put(store, 115.0, jumped).timestamp == before.timestamp
    later = container(at=130.0, cpu_counter=10**6 * CORE + int(3.75 * CORE))
    assert cores(put(store, 130.0, later)) == {"c": pytest.approx(0.25, rel=0.01)}


# No counter


def test_without_a_counter_the_kubelets_rate_is_served_with_its_window(store):
    for at, rate in ((100.0, CORE), (115.0, 2 * CORE), (130.0, 0)):
        usage = put(store, at, container(at=at, cpu_counter=None, cpu_rate=rate))
        assert (cores(usage), usage.window) == ({"c": rate / CORE}, KUBELET_WINDOW)
        assert usage.timestamp == EPOCH + at


@pytest.mark.parametrize("counter", [-1, 2**64, 10**400])
def test_a_counter_that_no_counter_can_have_is_missing(store, counter):
    usage = put(store, 100.0, container(at=100.0, cpu_counter=counter, cpu_rate=CORE))
    assert (cores(usage), usage.window) == ({"c": 1.0}, KUBELET_WINDOW)


def test_a_node_without_a_counter_has_the_kubelets_rate(store):
    for at in (100.0, 115.0):
        own = container("node-a", at, cpu_counter=None, cpu_rate=CORE)
        put(store, at, container(at=at), own=own)
        usage = store.node_usage("node-a", at + 0.1)
        assert (usage.cpu, usage.window) == (CORE, KUBELET_WINDOW)


def test_a_first_rate_of_zero_without_a_counter_is_served_once_it_comes_again(store):
    young = {"cpu_counter": None, "cpu_rate": 0, "age": 20.0}
    assert put(store, 100.0, container(**young)) is None
    assert cores(put(store, 115.0, container(at=115.0, **young))) == {"c": 0.0}


def test_a_rate_of_zero_beside_a_counter_that_is_missing_once_is_not_known(store):
    """The kubelet has no second sample of a young container yet."""
    assert put(store, 100.0, container(age=3.0, cpu_rate=0)) is None
    missing = container(at=115.0, age=3.0, cpu_counter=2**64, cpu_rate=0)
    assert put(store, 115.0, missing) is None
    assert cores(put(store, 130.0, container(at=130.0, age=3.0))) == {
        "c": pytest.approx(0.25, rel=0.04)
    }


def test_no_counter_is_in_the_readings_where_there_is_none(store):
    put(store, 100.0, container(cpu_counter=None))
    (reading,) = store.readings(100.1)
    assert reading.cpu.counter is None


@pytest.mark.parametrize("period", [15.0, 60.0])
def test_a_counter_that_stands_still_beside_a_rate_is_not_known(store, period):
    """A virtual kubelet writes a minute's usage there, which is the same while load is steady."""
    for number in range(4):
        at = 100.0 + number * period
        usage = put(store, at, container(at=at, cpu_counter=60 * CORE, cpu_rate=CORE))
        if usage is not None and number > 1:
            assert usage.timestamp <= EPOCH + 100 + 15  # it is that from before
    assert put(store, at + 60.0, container(at=at + 60.0, cpu_counter=60 * CORE)) is None


def test_a_counter_that_stands_still_beside_no_rate_is_idle(store):
    for at in (100.0, 115.0, 130.0, 145.0, 205.0):
        usage = put(store, at, container(at=at, cpu_counter=60 * CORE, cpu_rate=900))
    assert (cores(usage), usage.timestamp) == ({"c": 0.0}, EPOCH + 205)


@pytest.mark.parametrize("rate", [None, CORE // 4, (2**64 - 5000) // 10])
@pytest.mark.parametrize("by", [100, 5000, 8 * CORE])
def test_a_counter_that_is_lower_for_once_is_no_restart(by, rate):
    """A container that started since could not have used as much as it still has."""
    store = MetricsStore(max_age=60.0, period=15.0, cluster=Cluster())
    for at in (100.0, 115.0):
        before = put(store, at, container(at=at, cpu_rate=rate))
    lower = container(at=115.0, cpu_rate=rate)
    lower.cpu.usage_core_nano_seconds -= by
    lower.cpu.time = EPOCH + 130
    assert put(store, 130.0, lower) == before
    usage = put(store, 145.0, container(at=145.0, cpu_rate=rate))
    assert (cores(usage), usage.timestamp) == ({"c": pytest.approx(0.25, rel=0.01)}, EPOCH + 145)


def test_a_counter_that_stays_lower_begins_anew():
    """That of a machine from which processors were taken."""
    store = MetricsStore(max_age=60.0, period=15.0, cluster=Cluster())
    for at in (100.0, 115.0, 130.0, 145.0, 160.0):
        item = container(at=at, cpu_rate=None)
        item.cpu.usage_core_nano_seconds -= 100 * CORE if at > 115.0 else 0
        usage = put(store, at, item)
    assert (cores(usage), usage.timestamp) == ({"c": pytest.approx(0.25, rel=0.01)}, EPOCH + 160)


@pytest.mark.parametrize("rate", [None, CORE // 4])
@pytest.mark.parametrize(("ahead", "more"), [(0.0, 10**6), (80.0, 10.0)])
def test_after_a_counter_or_time_that_was_too_high_for_once_usage_goes_on_at_once(
    ahead, more, rate
):
    store = MetricsStore(max_age=60.0, period=15.0, cluster=Cluster())
    served = []
    for at in (100.0, 115.0, 130.0, 145.0):
        item = container(at=at, cpu_rate=rate)
        if at == 130.0:
            item.cpu.usage_core_nano_seconds += int(more * CORE)
            item.cpu.time += ahead
        served.append(put(store, at, item))
    assert [cores(usage) for usage in served[1:]] == 3 * [{"c": 0.25}]
    assert served[3].timestamp == EPOCH + 145


def test_after_a_counter_that_was_too_high_one_that_a_new_container_can_have_begins_anew(store):
    """Its counter is above that of the last rate, as the container before was young."""
    for at in (100.0, 115.0):
        put(store, at, container(at=at, age=10.0, cpu_rate=None))
    put(store, 130.0, container(at=130.0, cpu_rate=None, cpu_counter=10**6 * CORE))
    assert put(store, 145.0, container(at=145.0, age=10.0, cpu_rate=None)) is None


def test_after_an_hour_without_answers_the_kubelets_rate_is_served(store):
    """The mean of that hour would be true, and would make an autoscaler scale in."""
    put(store, 100.0, container(cores=0.25))
    busy = container(at=3700.0, cores=0.25, cpu_rate=2 * CORE)
    usage = put(store, 3700.0, busy)
    assert (cores(usage), usage.window) == ({"c": 2.0}, KUBELET_WINDOW)


@pytest.mark.parametrize("grows", [0, 20 * CORE], ids=["frozen", "beyond its cores"])
def test_a_node_whose_usage_has_come_to_an_end_is_named(store, grows):
    """Its processor was replaced by a larger one, or its kubelet's housekeeping hangs."""
    for number in range(7):
        at = 100.0 + 15.1 * number
        own = container("node-a", at if grows else 100.0)
        own.cpu.usage_core_nano_seconds += int(max(0.0, at - 116.0) * grows)
        sample = node_sample("node-a", at, at + 0.02, [], own=own)
        store.put(sample)
        served = store.node_usage("node-a", at + 0.02)
        assert bool(sample.unusable) == (served is None)
        assert served is None or served.cpu == pytest.approx(0.25 * CORE, rel=0.01)
    assert served is None


# Starts


@pytest.mark.parametrize("moved", [-3600.0, 0.0, 90.0])
def test_a_start_that_moves_but_lies_before_the_last_reading_is_no_restart(store, moved):
    """Some kubelets round it, and some write an age."""
    put(store, 100.0, container(age=HOUR, cpu_rate=None))
    again = container(at=115.0, age=HOUR, cpu_rate=None)
    again.start_time = moved if moved <= 0 else EPOCH + moved
    assert cores(put(store, 115.0, again)) == {"c": pytest.approx(0.25, rel=1e-6)}


def test_a_start_after_the_last_reading_is_a_restart(store):
    put(store, 100.0, container(age=HOUR, cores=0.001))
    again = container(at=115.0, cpu_counter=8 * CORE, cpu_rate=CORE)
    again.start_time = EPOCH + 107
    usage = put(store, 115.0, again)
    assert cores(usage) == {"c": 1.0}
    assert usage.window <= 8.0


# One pod, two entries


def entries(store, at, *listed):
    store.put(node_sample("node-a", at, at + 0.02, [("ns", "pod", "u", e) for e in listed]))
    return store.pod_usage("ns", "pod", at + 0.02)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_containers_of_a_pod_may_be_split_over_two_entries(store, swapped):
    for at in (100.0, 115.0):
        split = [[container("a", at)], [container("b", at, cores=0.5)]]
        usage = entries(store, at, *(split[::-1] if swapped else split))
        assert cores(usage) == {
            "a": pytest.approx(0.25, rel=0.01),
            "b": pytest.approx(0.5, rel=0.01),
        }


@pytest.mark.parametrize("uids", [("u", ""), ("", "u"), ("", "")])
def test_an_entry_without_a_uid_is_of_the_pod_that_has_one(store, uids):
    """Another namespace has a pod of that name, too, which is none of it."""
    for at in (100.0, 115.0):
        one, other = [container("a", at)], [container("b", at, cores=0.5)]
        listed = [("ns", "pod", uids[0], one), ("ns", "pod", uids[1], other)]
        listed += [("elsewhere", "pod", "v", [container("c", at)])]
        store.put(node_sample("node-a", at, at + 0.02, listed))
        assert cores(store.pod_usage("ns", "pod", at + 0.02)).keys() == {"a", "b"}
        assert cores(store.pod_usage("elsewhere", "pod", at + 0.02)).keys() == {"c"}


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_entries_the_newest_reading_of_each_container_counts(store, swapped):
    put(store, 85.0, container(at=85.0))
    older, newer = [container(at=100.0)], [container(at=105.0, memory=4096)]
    usage = entries(store, 105.0, *([newer, older] if swapped else [older, newer]))
    assert usage.timestamp == EPOCH + 105
    assert usage.containers[0].memory == 4096


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("start", [None, EPOCH + 100 - HOUR])
@pytest.mark.parametrize("bare", ["not listed", "no stats", "zeros"])
def test_an_entry_without_usage_takes_nothing_from_the_other(store, bare, start, swapped):
    full = [container()]
    time, zero = (EPOCH + 100, 0) if bare == "zeros" else (None, None)
    empty = [container_stats("c", start, time, zero, zero, time, zero)]
    empty = [] if bare == "not listed" else empty
    usage = entries(store, 100.0, *([empty, full] if swapped else [full, empty]))
    assert cores(usage) == {"c": 0.25}


# Clocks


@pytest.mark.parametrize("odd", ["2040-01-01T00:00:00Z", "1999-01-01T00:00:00Z"])
def test_one_container_with_a_time_that_is_nonsense_costs_no_other_its_accuracy(store, odd):
    """The others are timed by our clock, though the kubelet's rates are up to 3 % off."""
    rates = (0.2425, 0.245, 0.2475, 0.2525, 0.255, 0.2575)
    for at in (100.0, 115.0, 130.0, 145.0):
        listed = [
            ("ns", f"pod-{i}", f"u{i}", [container(at=at, cpu_rate=int(rate * CORE))])
            for i, rate in enumerate(rates)
        ]
        nonsense = container(at=at)
        nonsense.cpu.time = odd
        sample = node_sample("node-a", at, at + 0.02, [*listed, ("ns", "p", "u", [nonsense])])
        store.put(sample)
    for i in range(6):
        usage = store.pod_usage("ns", f"pod-{i}", 145.1)
        assert cores(usage) == {"c": pytest.approx(0.25, rel=0.002)}


def in_text(seconds, zone="Z"):
    ahead = 7200 if zone == "+02:00" else 0
    return datetime.fromtimestamp(seconds + ahead, UTC).strftime(f"%Y-%m-%dT%H:%M:%S{zone}")


@pytest.mark.parametrize("odd", ["another notation", "finished init containers"])
def test_what_is_odd_about_some_containers_costs_no_other_its_accuracy(store, odd):
    """Some are listed twice, with an older reading; the kubelet's rates are up to 3 % off."""
    rates = (0.2425, 0.245, 0.2475, 0.2525, 0.255, 0.2575)
    zeros = {"cpu_counter": 0, "cpu_rate": 0, "memory": 0, "age": 2 * HOUR}

    def pod(i, at, zone="Z"):
        some = [container(at=at, cpu_rate=int(rates[i] * CORE))]
        if odd == "finished init containers":
            some.append(container("init", at, **zeros))
        for each in some:
            each.cpu.time = in_text(EPOCH + at, zone)
        return "ns", f"pod-{i}", f"u{i}", some

    for at in (100.0, 115.0, 130.0, 145.0):
        listed = [pod(i, at) for i in range(5)] + [pod(i, at - 15.0) for i in range(4)]
        listed.append(pod(5, at, "+02:00" if odd == "another notation" else "Z"))
        store.put(node_sample("node-a", at, at + 0.02, listed))
    for i in range(6):
        usage = store.pod_usage("ns", f"pod-{i}", 145.1)
        assert cores(usage) == {"c": pytest.approx(0.25, rel=0.002)}


def test_times_that_are_all_different_after_equal_ones_are_no_rates(store):
    """A kubelet that is hostile has as many times as containers, and a jump of its clock."""
    for at in (100.0, 115.0, 130.0, 145.0):
        put(store, at, *[container(f"c{i}", at) for i in range(200)])
    scattered = [container(f"c{i}", 160.0) for i in range(200)]
    for number, each in enumerate(scattered):
        each.cpu.time = EPOCH + 10_000 + 3 * number
    usage = put(store, 160.0, *scattered)
    assert set(cores(usage).values()) == {0.25}
