"""A server in its own process whose scrapes follow the queries of a regular caller."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.faults import ANNOTATION, Fault
from metricsapi.tools.sandbox.size import Size
from tests.support.server import administrator, becomes_ready, serving

PERIOD = 2.0
FLAGS = (f"--metric-resolution={PERIOD}s", "--min-scrape-interval=1s")
PATH = "/apis/metrics.k8s.io/v1beta1/namespaces/ns-0/pods?labelSelector=app=app-0"
EARLY = 0.1  # seconds before the moment at which all nodes are scraped without prefetch


class Caller:
    """Asks regularly, shortly before the nodes' moment in the period."""

    def __init__(self, client):
        self.client = client

    async def ask(self, times):
        for _ in range(times):
            now = time.monotonic()
            await asyncio.sleep(PERIOD - (now + EARLY) % PERIOD)
            response = await self.client.get(PATH)
            assert response.status_code == 200

    async def value(self, name, **labels):
        """Return the value of one of the server's own metrics."""
        text = (await self.client.get("/metrics")).text
        wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
        series = re.escape(f"{name}{{{wanted}}}" if wanted else name)
        found = re.search(rf"^{series} (\S+)$", text, re.MULTILINE)
        assert found, f"{series} in\n{text}"
        return float(found[1])

    async def totals(self):
        by = {"by": "selector"}
        return [
            await self.value("metricsapi_query_usage_age_seconds_sum", **by),
            await self.value("metricsapi_query_usage_age_seconds_count", **by),
            await self.value("metricsapi_scrapes_total", reason="periodic"),
            await self.value("metricsapi_scrapes_total", reason="prefetch"),
        ]


async def hang(embedded):
    """Let every kubelet hang from now on."""
    for node in embedded.cluster.list("nodes"):
        node["metadata"].setdefault("annotations", {})[ANNOTATION] = str(Fault.HANG)
        embedded.cluster.apply("nodes", node)


async def measured(directory: Path, *flags):
    """Return the mean age of usage in answers, and a node's scrapes in a period by reason."""
    async with (
        Embedded(Size(nodes=2, pods=10, host=False), directory, port=0) as embedded,
        serving(embedded, *FLAGS, *flags) as server,
        administrator(embedded, server) as client,
    ):
        await becomes_ready(server, client)
        caller = Caller(client)
        await caller.ask(6)
        before, begun = await caller.totals(), time.monotonic()
        await caller.ask(6)
        after, seconds = await caller.totals(), time.monotonic() - begun
        await hang(embedded)
        await caller.ask(2)  # no query waits for a kubelet, or the client's timeout would fail it
        age, count, periodic, prefetch = (b - a for a, b in zip(before, after, strict=True))
        scrapes = [each * PERIOD / seconds / 2 for each in (periodic, prefetch)]
        return age / count, *scrapes


@pytest.mark.slow
async def test_the_usage_that_a_regular_caller_gets_is_younger_at_no_more_scrapes(tmp_path):
    for name in ("prefetch", "plain"):
        (tmp_path / name).mkdir()
    (age, periodic, prefetch), (plain_age, plain, none) = await asyncio.gather(
        measured(tmp_path / "prefetch", "--prefetch=true"),
        measured(tmp_path / "plain", "--prefetch=false"),
    )
    assert age < plain_age
    assert none == 0
    assert prefetch > periodic
    assert periodic + prefetch < 1.5
    assert plain > 0
