"""Every scrape is counted, by its cause where it failed."""

import time

import pytest
from prometheus_client import CollectorRegistry

from metricsapi.scrape.decoding import run
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.instrumented import MeasuredScraper, MeasuredStore
from metricsapi.scrape.targets import Target
from metricsapi.storage.types import NodeSample
from metricsapi.telemetry.metrics import Telemetry

TARGET = Target("n1", ("127.0.0.1",), 10250)


def telemetry():
    return Telemetry(CollectorRegistry(), resolution=15.0, version="test")


def failures(of, cause):
    return of.registry.get_sample_value("metricsapi_scrape_failures_total", {"cause": cause})


class Client:
    def __init__(self, result):
        self.result = result

    async def scrape(self, _target, _deadline):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Store:
    def put_in_steps(self, _sample):
        yield
        raise RuntimeError("a bug")


async def test_a_failure_is_counted_by_its_cause():
    series = telemetry()
    await MeasuredScraper(Client(Failure(Cause.REFUSED, "no")), series).scrape(TARGET, 0.0)
    assert failures(series, "refused") == 1


async def test_a_bug_is_counted_as_internal_wherever_it_is():
    series = telemetry()
    with pytest.raises(RuntimeError):
        await MeasuredScraper(Client(RuntimeError("a bug")), series).scrape(TARGET, 0.0)
    assert failures(series, "internal") == 1
    now = time.monotonic()
    with pytest.raises(RuntimeError):
        run(MeasuredStore(Store(), series).put_in_steps(NodeSample("n1", now, now, None, [])))
    assert failures(series, "internal") == 2
