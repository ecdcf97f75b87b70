"""Expositions of every kind: what they say is taken, however it is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.kube.resources import Capacity
from metricsapi.scrape.decoding import POD_CONTAINERS, DecodeError, Exchange, run
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.resource_metrics import resource_steps
from metricsapi.scrape.usage_check import missing_usage
from metricsapi.storage.cluster import UnknownCluster
from metricsapi.storage.limits import limits_of
from metricsapi.storage.store import MetricsStore
from tests.support.decoding import decode_resource_metrics

TIMES = {"requested_at": 100.0, "answered_at": 100.1, "wall_offset": 1_700_000_000.0}
CPU, MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
C = 'container="c",namespace="ns",pod="p"'
NODE = (
    "node_cpu_usage_seconds_total 5 1700000099000\nnode_memory_working_set_bytes 7 1700000099000\n"
)


def decode(text, **options):
    body = text if isinstance(text, bytes) else text.encode()
    return run(resource_steps(body, Exchange("n1", **TIMES, **options)))


def only(sample):
    (pod,) = sample.pods
    (container,) = pod.containers
    return container


@pytest.mark.parametrize(
    "line",
    [
        f"{CPU}{{{C}}} 12.5 1700000099123",
        f"{CPU}{{{C}}} 12.5 1700000099123   ",
        f"{CPU}{{{C}}} 12.5 1700000099123\t",
        f"{CPU}{{{C}}} 12.5 1700000099123\r",
        f"{CPU}{{{C}}}\t12.5\t1700000099123 \t ",
        f"  {CPU} {{{C}}} 12.5 1700000099123",
        f"{CPU}{{{C},}} 1.25e+01 1700000099123",
        f'{CPU}{{ pod = "p" , namespace="ns", container="c" }} 12.5 1700000099123',
        f'{CPU}{{namespace="ns",id="/x",pod="p",container="c",x="a}}b"}} 12.5 1.700000099123e12',
        f'{CPU}{{x="\\"}} 1",container="c",pod="p",namespace="ns"}} 12.5 1700000099123',
    ],
)
def test_one_line_however_it_is_written(line):
    container = only(decode(f"# HELP x\n# TYPE x counter\n{line}\n{NODE}"))
    assert container.name == "c"
    assert container.cpu.usage_core_nano_seconds == 12_500_000_000
    assert container.cpu.time == pytest.approx(1_700_000_099.123)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3.7474304e+07", 37_474_304), ("1.5", 2), ("0", 0), ("1e3", 1000), ("-1", None),
     ("NaN", None), ("+Inf", None), ("x", None), ("1e400", None), ("1_000", None),
     ("\u0663", None)],
)  # fmt: skip
def test_fractional_and_exponent_numbers(text, value):
    container = only(decode(f"{CPU}{{{C}}} 1\n{MEMORY}{{{C}}} {text} 1700000099000\n"))
    assert container.memory.working_set_bytes == value


@pytest.mark.parametrize("other", ["_total", "_bytes", "x"])
def test_metrics_that_only_begin_alike_are_others(other):
    text = f"{CPU}{{{C}}} 1 1700000099000\n{CPU}{other}{{{C}}} 9 1700000099000\n"
    assert only(decode(text)).cpu.usage_core_nano_seconds == 10**9


def test_without_timestamps_a_value_counts_as_read_when_it_was_asked_for():
    container = only(decode(f"{CPU}{{{C}}} 1\n{MEMORY}{{{C}}} 5\n"))
    assert container.cpu.time == container.memory.time == 1_700_000_100.0


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n# EOF\n"])
def test_the_last_line_counts_with_or_without_its_end(end):
    assert only(decode(f"{CPU}{{{C}}} 1{end}")).cpu.usage_core_nano_seconds == 10**9


@pytest.mark.parametrize("container", ["", "POD"])
def test_a_sandbox_or_nameless_container_is_left_out(container):
    other = f'container="{container}",namespace="ns",pod="p"'
    assert only(decode(f"{CPU}{{{C}}} 1\n{CPU}{{{other}}} 2\n")).name == "c"


def kwok(seconds, rate):
    """What kwok's own configuration makes: no timestamps, and a start that is an age."""
    return (
        "# HELP scrape_error 1 if there was an error, 0 otherwise\n# TYPE scrape_error gauge\n"
        "scrape_error 0\n"
        f"container_start_time_seconds{{{C}}} {seconds + 0.25}\n"
        f"{CPU}{{{C}}} {seconds * rate}\n{MEMORY}{{{C}}} 1.048576e+06\n"
        f'pod_cpu_usage_seconds_total{{namespace="ns",pod="p"}} 1\n'
        f"node_cpu_usage_seconds_total {seconds * rate * 2}\n"
        "node_memory_working_set_bytes 4.194304e+06\n"
    )


@pytest.mark.parametrize("counted", [1000.0, 0.0])
def test_kwok_is_served_once_two_answers_have_counters_that_are_not_zero(counted):
    """Its counters begin at 0 when it is first asked."""
    store = MetricsStore(max_age=60.0)
    for at in (0.0, 15.0, 30.0):
        now = 100.0 + at
        times = {"requested_at": now, "answered_at": now + 0.02, "wall_offset": 1.7e9}
        sample = decode_resource_metrics("n1", kwok(counted + at, 0.25).encode(), **times)
        assert missing_usage(sample, limits_of(Capacity(), sample.stats, swap=False)) == ""
        store.put(sample)
    usage = store.pod_usage("ns", "p", 131.0)
    assert usage.containers[0].cpu == pytest.approx(250_000_000, rel=1e-3)
    assert usage.containers[0].memory == 2**20
    assert usage.window == pytest.approx(15.0, abs=0.05)
    assert store.node_usage("n1", 131.0).cpu == pytest.approx(500_000_000, rel=1e-3)


class FourCores(UnknownCluster):
    def capacity(self, _node):
        return Capacity(cpu=4 * 10**9)


OWN_CPU, OWN_MEMORY = "node_cpu_usage_seconds_total", "node_memory_working_set_bytes"
STUCK = {
    "counters that stay 0": lambda _: f"{OWN_CPU} 0\n{OWN_MEMORY} 5\n",
    "timestamps in seconds": lambda at: f"{OWN_CPU} {at} {1.7e9 + at:.0f}\n{OWN_MEMORY} 5\n",
}


@pytest.mark.parametrize("body", STUCK.values(), ids=STUCK)
def test_counters_from_which_no_rate_ever_follows_are_named_after_a_minute(body):
    store = MetricsStore(max_age=60.0, cluster=FourCores())
    named = []
    for at in (100.0, 115.0, 130.0, 145.0, 161.0):
        times = {"requested_at": at, "answered_at": at + 0.02, "wall_offset": 1.7e9}
        sample = decode_resource_metrics("n1", body(at).encode(), **times)
        store.put(sample)
        named.append(sample.unusable)
    assert named[:4] == [""] * 4
    assert "no CPU usage of the node itself has followed" in named[4]
    assert store.node_usage("n1", 161.1) is None


@pytest.mark.parametrize("body", ["", "\n", "<html>no</html>", "# HELP x y\nup 1\n", "\0" * 100])
def test_what_has_no_usage_in_it_is_refused(body):
    with pytest.raises(DecodeError, match="not the kubelet's resource metrics"):
        decode(body)


def exposition(pods, containers=1):
    names = [(f"p{i}", f"c{j}") for i in range(pods) for j in range(containers)]
    return NODE + "".join(
        f'{metric}{{container="{c}",namespace="ns",pod="{p}"}} 5 1700000099000\n'
        for metric in (CPU, MEMORY)
        for p, c in names
    )


def test_a_large_exposition_is_decoded_in_pieces_and_in_whole():
    steps = resource_steps(exposition(1500, 2).encode(), Exchange("n1", **TIMES))
    assert sum(1 for _ in iter(lambda: next(steps, "end"), "end")) > 5
    sample = decode(exposition(1500, 2))
    assert len(sample.pods) == 1500
    assert all(len(pod.containers) == 2 for pod in sample.pods)
    assert all(c.memory.working_set_bytes == 5 for pod in sample.pods for c in pod.containers)


def test_more_pods_or_containers_than_allowed_are_a_cause():
    with pytest.raises(DecodeError) as caught:
        decode(exposition(5), max_pods=4)
    assert caught.value.cause is Cause.TOO_MANY_PODS
    with pytest.raises(DecodeError) as caught:
        decode(exposition(1, POD_CONTAINERS + 1))
    assert caught.value.cause is Cause.TOO_MANY_CONTAINERS


@given(st.lists(st.sampled_from(["{", "}", '"', "\\", ",", " ", "=", "a", "1", CPU, C, "\n"])))
@settings(max_examples=300, deadline=None)
def test_any_text_ends_in_a_sample_or_in_its_error(parts):
    try:
        sample = decode("".join(parts))
    except DecodeError:
        return
    assert sample.stats is not None or sample.pods


def test_no_line_takes_longer_than_its_length():
    hostile = f"{CPU}{{" + 'a="b",' * 9000 + "\n"
    with pytest.raises(DecodeError):
        decode(hostile * 100)
