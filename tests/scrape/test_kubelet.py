"""Which endpoint of a kubelet is read: the Summary, or the resource metrics."""

import pytest

from metricsapi.scrape import endpoints as module
from metricsapi.scrape.errors import Cause
from metricsapi.storage.types import NodeSample
from tests.support.kubelet import Kubelet, Reader, http, is_sample, summary

METRICS = b"node_cpu_usage_seconds_total 1\n"


class Answers:
    """One status per endpoint; the resource metrics are decoded to a sample without pods."""

    def __init__(self, summary_status=200, resource_status=200):
        self.summary_status = summary_status
        self.resource_status = resource_status

    def __call__(self, request):
        if request.path.startswith("/stats/summary"):
            good = self.summary_status == 200
            return http(summary("n1") if good else b"no", self.summary_status)
        return http(METRICS if self.resource_status == 200 else b"no", self.resource_status)


def decode_resource(node, body, *, requested_at, answered_at, wall_offset, max_pods):
    assert body == METRICS
    yield
    return NodeSample(node, requested_at, answered_at, wall_offset, None, [])


def reader(kubelet, **options):
    return Reader(kubelet, decoders={"resource": decode_resource}, **options)


def paths(kubelet):
    return [request.path for request in kubelet.requests]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [("summary", "/stats/summary"), ("resource", "/metrics/resource"), ("auto", "/stats/summary")],
)
async def test_the_endpoint_of_the_flag_is_read(endpoint, expected):
    async with Kubelet(Answers()) as kubelet, reader(kubelet, endpoint=endpoint) as read:
        assert is_sample(await read())
        assert paths(kubelet) == [expected]


@pytest.mark.parametrize("status", [403, 404])
async def test_auto_reads_the_other_endpoint_in_the_same_scrape_and_remembers(status):
    async with Kubelet(Answers(summary_status=status)) as kubelet, reader(kubelet) as read:
        assert is_sample(await read())
        assert is_sample(await read())
        assert paths(kubelet) == ["/stats/summary", "/metrics/resource", "/metrics/resource"]
        assert read.client.endpoint(read.target) == "resource"


async def test_auto_tries_the_summary_again_later(monkeypatch):
    answers = Answers(summary_status=404)
    async with Kubelet(answers) as kubelet, reader(kubelet) as read:
        monkeypatch.setattr(module, "SUMMARY_AGAIN", 0.0)
        assert is_sample(await read())
        answers.summary_status = 200
        assert is_sample(await read())
        assert paths(kubelet)[-1] == "/stats/summary"
        assert read.client.endpoint(read.target) == "summary"


async def test_auto_that_finds_neither_says_both():
    answers = Answers(summary_status=403, resource_status=403)
    async with Kubelet(answers) as kubelet, reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.FORBIDDEN
        assert "nodes/stats" in failure.message
        assert "nodes/metrics" in failure.message


@pytest.mark.parametrize("status", [401, 500, 503])
async def test_auto_does_not_take_a_failing_kubelet_for_one_without_a_summary(status):
    async with Kubelet(Answers(summary_status=status)) as kubelet, reader(kubelet) as read:
        assert not is_sample(await read())
        assert set(paths(kubelet)) == {"/stats/summary"}


async def test_summary_alone_stays_with_it():
    answers = Answers(summary_status=403)
    async with Kubelet(answers) as kubelet, reader(kubelet, endpoint="summary") as read:
        assert (await read()).cause is Cause.FORBIDDEN
        assert paths(kubelet) == ["/stats/summary"]
