"""Results between replicas: what is unpacked is what was scraped, and what cannot be is refused."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.replicas.messages import FrameReader, Packed, ProtocolError, frame
from metricsapi.server.replicas.results import Failed, pack, unpack
from metricsapi.storage.types import (
    ContainerStats,
    CpuStats,
    DiskStats,
    Located,
    MemoryStats,
    SwapStats,
)
from tests.support.samples import container_stats, node_sample

FAILED = Failed("n1", "timeout", "late", 5.0)
TEXT = st.text(max_size=10)
TIMES = st.none() | st.floats(allow_nan=False) | st.text(max_size=25)
NUMBERS = st.none() | st.integers(-(2**63), 2**64 - 1)
DISKS = st.none() | st.builds(DiskStats, st.integers(0, 2**64 - 1))
CONTAINERS = st.builds(
    ContainerStats,
    TEXT,
    TIMES,
    st.none() | st.builds(CpuStats, TIMES, NUMBERS, NUMBERS),
    st.none() | st.builds(MemoryStats, TIMES, NUMBERS),
    st.none() | st.builds(SwapStats, NUMBERS, st.integers(0, 2**64 - 1)),
    DISKS,
    DISKS,
)
PODS = st.lists(st.tuples(TEXT, TEXT, TEXT, st.lists(CONTAINERS, max_size=3)), max_size=4)


def arrived(result):
    """What another replica gets, with its pods decoded."""
    (packed,) = FrameReader().feed(frame(pack(result)))
    taken = unpack(packed)
    taken.pods = list(taken.pods)
    return taken


@given(PODS, st.none() | CONTAINERS)
def test_a_sample_arrives_as_it_was_scraped(pods, own):
    sample = node_sample("n1", 10.0, 10.1, pods, own=own)
    sample.located = Located(1.0, 2.0, 1.5, 40, 3.0, False, [(1.7e9, 10.0, 0.1)], [1.7e9, "now"])
    sample.time_step, sample.nameless, sample.unusable = 0.001, 2, "no CPU"
    assert arrived(sample) == sample


def test_a_failure_arrives_as_it_was():
    assert unpack(pack(FAILED)) == FAILED


def test_answers_that_list_the_same_are_known_whatever_the_order_and_the_numbers():
    def listed(*pods):
        return unpack(pack(node_sample("n1", 1.0, 1.1, pods))).pods.listed

    def pod(name, uid="u", *, containers=1, counter=1):
        stats = [container_stats(f"c{n}", 1.0, 2.0, counter, 4, 2.0, 5) for n in range(containers)]
        return ("ns", name, uid, stats)

    assert listed(pod("a"), pod("b", counter=2)) == listed(pod("b"), pod("a"))
    others = [(pod("a"),), (pod("a"), pod("b", "v")), (pod("a"), pod("b", containers=2)),
              (pod("a"), pod("b"), pod("c"))]  # fmt: skip
    assert listed(pod("a"), pod("b")) not in [listed(*pods) for pods in others]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_a_number_of_more_than_64_bits_costs_no_other_one(number):
    """A kubelet may send any number; what stays impossible is not served, here and there."""
    sound = container_stats("a", 1.0, 2.0, 3, 4, 2.0, 5)
    wrong = container_stats("b", 1.0, 2.0, number, number, 2.0, number, number, number, number)
    own = container_stats("n1", 1.0, 2.0, 3, number, 2.0, 5)
    taken = arrived(node_sample("n1", 1.0, 1.1, [("ns", "p", "u", [sound, wrong])], own=own))
    first, second = taken.pods[0].containers
    assert first == ContainerStats(
        "a", 1.0, CpuStats(2.0, 4, 3), MemoryStats(2.0, 5), None, None, DiskStats(0)
    )
    for value in (
        second.cpu.usage_core_nano_seconds,
        second.cpu.usage_nano_cores,
        second.memory.working_set_bytes,
        second.swap.swap_usage_bytes,
        second.rootfs.used_bytes,
        taken.stats.cpu.usage_nano_cores,
    ):
        assert value < 0  # which nothing takes for true
    assert taken.stats.cpu.usage_core_nano_seconds == 3


def test_what_is_no_text_is_sent_with_replacements():
    """It may be what a kubelet sent."""
    assert unpack(pack(Failed("n1", "decode", "bad \udcff", 5.0))).message == "bad ?"
    stats = container_stats("c\udcff", "now\udcff", 2.0, 3, 4, 2.0, 5)
    (pod,) = arrived(node_sample("n1", 1.0, 1.1, [("ns", "p\udcff", "u", [stats])])).pods
    assert (pod.pod_ref.name, pod.containers[0].name) == ("p?", "c?")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_that_are_no_result_raise_nothing_but_a_protocol_error(data, pods):
    sample = pack(node_sample("n1", 1.0, 1.1, []))
    for packed in (Packed(data), Packed(sample.data, pods=pods)):
        with contextlib.suppress(ProtocolError):
            list(unpack(packed).pods)


@pytest.mark.parametrize("row", [[], ["c", 0, 0], ["c", 9, 0, 1, 2, 0, 3, 0, 0, 0, 0],
                                 ["c", 0, 0, "1", 2, 0, 3, 0, 0, 0, 0]])  # fmt: skip
def test_a_container_that_is_not_whole_is_refused(row):
    data = msgspec.msgpack.encode([[1.0], [["p", "ns", "u", [row]]]])
    sample = unpack(Packed(pack(node_sample("n1", 1.0, 1.1, [])).data, pods=data))
    with pytest.raises(ProtocolError, match="cannot be decoded"):
        list(sample.pods)


@pytest.mark.parametrize(("field", "value"), [("nameless", 2**31), ("nameless", -1),
                                              ("node", "n" * 254)])  # fmt: skip
def test_what_no_kubelet_can_have_sent_is_refused(field, value):
    sample = msgspec.msgpack.decode(pack(node_sample("n1", 1.0, 1.1, [])).data)
    with pytest.raises(ProtocolError, match="cannot be decoded"):
        unpack(Packed(msgspec.msgpack.encode({**sample, field: value})))


def test_what_is_cut_off_is_refused():
    sample = pack(node_sample("n1", 1.0, 1.1, [("ns", "p", "u", [])]))
    with pytest.raises(ProtocolError):
        unpack(Packed(pack(FAILED).data[:-5]))
    with pytest.raises(ProtocolError):
        list(unpack(Packed(sample.data, pods=sample.pods[:-5])).pods)


def test_a_result_of_a_newer_version_is_skipped():
    assert unpack(Packed(msgspec.msgpack.encode({"type": "Later", "node": "n1"}))) is None


def test_what_a_newer_version_adds_is_skipped():
    row = ["c", 0, 1, 4, 3, 1, 5, None, None, None, None, "new"]
    pods = msgspec.msgpack.encode([[1.0, 2.0], [["p", "ns", "u", [row], "new"]], "new"])
    sample = msgspec.msgpack.decode(pack(node_sample("n1", 1.0, 1.1, [])).data)
    taken = unpack(Packed(msgspec.msgpack.encode({**sample, "new": {"a": 1}}), pods=pods))
    (pod,) = taken.pods
    assert pod.containers == [ContainerStats("c", 1.0, CpuStats(2.0, 4, 3), MemoryStats(2.0, 5))]
