"""The benchmark's own arithmetic, and that its pieces work with each other."""

from __future__ import annotations

import asyncio
import time

import pytest

from metricsapi.api.app import create_app
from metricsapi.api.catalog import Catalog
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.store import MetricsStore
from metricsapi.tools.sandbox.loads import HIGH, is_high
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.api.cluster import Objects, ask
from tests.bench.client import Answer
from tests.react.autoscaler import BYTES, NAMESPACES, Autoscaler, number_of, sample_of, targets
from tests.react.measure import counts
from tests.react.report import table
from tests.react.response import Response, Value, changes, responses, steps
from tests.support.conditions import until
from tests.support.decoding import decode_summary

NODES, PODS, STEP = 4, 3, 47.0
BEGAN = 1_800_000_030.0  # of usage that is read every 15 s


class ServerOfAnApp:
    """A server whose kubelets were read when it was made; it counts its reads."""

    name = "ours"

    def __init__(self, at: float) -> None:
        store, nodes, pods = MetricsStore(max_age=60.0), Objects(), Objects()
        for i in range(NODES):
            node = synthetic_node(i, PODS, 2, NAMESPACES)
            source = SyntheticSource(node, at - 7200, step=STEP)
            for read in (at - 120.0 + 15.0 * number for number in range(9)):
                times = {"requested_at": read - at, "answered_at": read - at + 0.001}
                store.put(decode_summary(node.name, source.summary(read), wall_offset=at, **times))
            nodes.set(Node(node.name, node.labels, {}, (), 10250, ready=True))
            for pod in node.pods:
                pods.set(Pod(pod.namespace, pod.name, {**pod.labels, "group": str(i % 2)}))
        catalog = Catalog(nodes, pods, store)
        self.app = create_app(catalog=catalog, clock=lambda: 0.0)
        self.meter = self

    def connect(self):
        return self

    def cpu_seconds(self):
        return 2.5

    async def get(self, path, accept):
        if path == "/metrics":
            name = "metrics_server_kubelet_request_duration_seconds"
            body = f'{name}_count{{node="a"}} 3\n{name}_sum 9\n{name}_count{{node="b"}} 4.0\n'
            return Answer(200, len(body), 0.0, body.encode())
        answer = await ask(self.app, path, "GET", {"accept": accept})
        return Answer(answer.status, len(answer.body), 0.0, answer.body)

    async def close(self):
        pass


@pytest.mark.parametrize("high", [False, True])
async def test_a_sample_is_when_kubelets_were_read_and_how_much_is_used(high):
    at = next(at for at in steps(BEGAN, BEGAN + 4 * STEP, STEP) if is_high(at, STEP) is high) + 40
    server = ServerOfAnApp(at + 0.123)
    for target in targets(NODES, PODS, 2, PODS):
        response = await server.get(target.path, "application/vnd.kubernetes.protobuf")
        sample = sample_of(response.body, at + 3.5, target.usage)
        assert sample.age == pytest.approx(3.377, abs=0.002)
        assert sample.factor == pytest.approx(HIGH if high else 1.0, rel=0.01)


def test_a_step_of_the_load_leaves_no_doubt_that_stats_are_made_at_request_time():
    store, node = MetricsStore(max_age=60.0), synthetic_node(0, 10, 2, NAMESPACES)
    source, known = SyntheticSource(node, BEGAN - 7200, step=STEP), []
    for read in (BEGAN + 14.7 * number for number in range(40)):
        times = {"requested_at": read - BEGAN, "answered_at": read - BEGAN + 0.001}
        store.put(decode_summary(node.name, source.summary(read), wall_offset=BEGAN, **times))
        known.append(store.read_at_request(node.name))
    assert known.index(True) < 4
    assert all(known[4:])


async def test_an_autoscaler_asks_each_server_and_keeps_what_it_was_given():
    servers = [ServerOfAnApp(time.time()), ServerOfAnApp(time.time() - 5.0)]
    servers[1].name = "peer"
    target = next(targets(NODES, PODS, 0, 1))
    autoscaler = Autoscaler(target, servers, 0.05, seed=1)
    task = asyncio.create_task(autoscaler.run(time.monotonic()))
    await until(lambda: len(autoscaler.samples["peer"]) == len(autoscaler.samples["ours"]) == 1)
    task.cancel()
    (ours,), (peer,) = autoscaler.samples["ours"], autoscaler.samples["peer"]
    assert peer.age - ours.age == pytest.approx(5.0, abs=0.1 * 5)
    assert await counts(servers[0]) == (pytest.approx(time.monotonic(), abs=60.0), 7.0, 2.5)


async def test_a_response_without_pods_is_an_error():
    server = ServerOfAnApp(time.time())
    target = next(targets(NODES, PODS, 0, 1))
    path = target.path.replace("app-0", "app-99")
    response = await server.get(path, "application/vnd.kubernetes.protobuf")
    with pytest.raises(ValueError, match="without pods"):
        sample_of(response.body, time.time(), 1.0)


def test_targets_of_groups_have_all_usage_between_them():
    whole = sum(target.usage for target in targets(NODES, PODS, 0, PODS))
    assert sum(target.usage for target in targets(NODES, PODS, 2, PODS)) == whole
    assert len(list(targets(NODES, PODS, 2, 1))) == 2


def seen(step, delays, levels):
    return [Value(step + delay, level) for delay, level in zip(delays, levels, strict=True)]


def test_a_step_is_seen_when_usage_differs_by_a_tenth_and_wholly_at_nine_tenths():
    up, down = 101 * STEP, 102 * STEP
    values = [
        *seen(up, [-1.0, 14.0, 29.0, 44.0], [1.0, 1.09, 1.6, 1.95]),
        *seen(down, [12.0, 27.0, 42.0], [1.5, 1.2, 1.0]),
    ]
    assert list(responses(values, [up, down], STEP)) == [Response(29.0, 44.0), Response(12.0, 42.0)]


def test_a_step_that_is_not_seen_wholly_before_the_next_has_no_response():
    up = 101 * STEP
    assert not list(responses(seen(up, [20.0, 40.0], [1.5, 1.8]), [up], STEP))


def test_replicas_have_changed_once_they_differ_from_those_at_the_step():
    values = [Value(99.0, 10), Value(101.0, 10), Value(112.0, 15), Value(127.0, 19)]
    assert list(changes(values, [100.0], STEP)) == [12.0]
    assert not list(changes(values[:2], [100.0], STEP))


def test_steps_are_at_multiples_of_the_period():
    assert list(steps(100.0, 250.0, 50.0)) == [150.0, 200.0]


def test_quantities_of_cpu_are_nanocores_and_of_memory_bytes():
    assert [number_of(text) for text in ("5n", "7u", "120m", "2")] == [
        *(5, 7000, 120_000_000, 2_000_000_000),
    ]
    assert [number_of(text, BYTES) for text in ("496Ki", "4097")] == [496 * 1024, 4097]


def test_the_table_has_a_row_for_each_case_and_server():
    numbers = {
        "age_seconds": [1.0, 2.0, 9.0],
        "changed_seconds": [10.0],
        "whole_seconds": [],
        "steps_not_seen_wholly": 1,
        "reads": 1.25,
        "millicores": 4.04,
    }
    lines = table({"one phase": {"ours": numbers}}).splitlines()
    assert lines[2:] == ["| one phase | ours | 2.0 | 9.0 | 10.0 | 10.0 | - | - | 1 | 1.25 | 4.0 |"]
