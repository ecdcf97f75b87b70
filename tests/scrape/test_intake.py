"""Every scrape is counted and timed, by its cause where it failed; a bug is its node's failure."""

import time

from prometheus_client import generate_latest

from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.intake import Intake
from metricsapi.scrape.slices import Slices
from metricsapi.scrape.targets import Target
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import NodeSample
from tests.support.samples import container_stats, node_sample
from tests.support.telemetry import telemetry

TARGET = Target("n1", ("127.0.0.1",), 10250)


def failures(of, cause):
    return of.registry.get_sample_value("metricsapi_scrape_failures_total", {"cause": cause})


class Client:
    """Scrapes end in these results, one after the other."""

    def __init__(self, *results):
        self.results = list(results)

    async def scrape(self, _target, _deadline):
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


class BrokenStore:
    def put_in_steps(self, _sample):
        yield
        raise RuntimeError("a bug")


def sample(now):
    containers = [container_stats(name, 1.0, 2.0, 10, 5, 2.0, 7) for name in "cd"]
    return node_sample("n1", now, now, [("ns", "p", "u", containers)])


async def test_scrapes_are_counted_by_outcome_cause_and_phase():
    series, now = telemetry(), time.monotonic()
    store = MetricsStore(max_age=60.0)
    client = Client(sample(now), Failure(Cause.REFUSED, "no"))
    intake = Intake(client, store, series, Slices())
    assert await intake.store(await intake.scrape(TARGET, now + 1))
    assert isinstance(await intake.scrape(TARGET, now + 1), Failure)
    intake.end_cycle()
    text = generate_latest(series.registry).decode()
    assert 'metrics_server_kubelet_request_total{success="true"} 1.0' in text
    assert 'metrics_server_kubelet_request_total{success="false"} 1.0' in text
    assert failures(series, "refused") == 1
    assert "metrics_server_manager_tick_duration_seconds_count 1.0" in text
    for phase in ("connect", "wait", "read", "store"):
        assert f'metricsapi_scrape_phase_seconds_count{{phase="{phase}"}} 1.0' in text
    assert store.points() == (1, 2)
    intake.forget("n1")
    assert store.points() == (0, 0)
    assert 'node="n1"' not in generate_latest(series.registry).decode()


async def test_a_bug_is_an_internal_failure_wherever_it_is():
    series, now = telemetry(), time.monotonic()
    intake = Intake(Client(RuntimeError("a bug")), BrokenStore(), series, Slices())
    answer = NodeSample("n1", now, now, None, [])
    results = [
        await intake.scrape(TARGET, now + 1),
        await intake.store(answer),
        intake.store_at_once(answer),
    ]
    assert results == [Failure(Cause.INTERNAL, "RuntimeError: a bug")] * 3
    assert failures(series, "internal") == 3
