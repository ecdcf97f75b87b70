"""Which endpoint of a kubelet is scraped: the Summary, or the resource metrics."""

import json
import logging

import pytest

from metricsapi.scrape import endpoints as module
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.targets import Target
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


def decode_resource(body, exchange):
    assert body == METRICS
    yield
    times = exchange.requested_at, exchange.answered_at
    return NodeSample(exchange.node, *times, None, [])


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


@pytest.mark.parametrize("status", [403, 404, 405, 501])
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


GOOD = (
    b"node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 2\n"
    b'container_cpu_usage_seconds_total{container="c",namespace="default",pod="p0"} 1\n'
    b'container_memory_working_set_bytes{container="c",namespace="default",pod="p0"} 2\n'
)


def answers(summary_body, resource_body=GOOD):
    """A kubelet with these bodies; None is a 404."""

    def answer(request):
        body = summary_body if request.path.startswith("/stats/summary") else resource_body
        return http(b"no", 404) if body is None else http(body)

    return answer


def without(*fields):
    """A Summary whose stats lack these fields of cpu or memory."""
    value = json.loads(summary("n1"))
    for stats in (value["node"], *value["pods"][0]["containers"]):
        for kind in ("cpu", "memory"):
            stats[kind] = {k: v for k, v in stats[kind].items() if k not in fields}
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>what</html>", "not a Summary"),
        (summary("another"), "this is the Summary of node 'another'"),
        (without("usageCoreNanoSeconds", "usageNanoCores"), "no usable CPU counter or rate"),
        (without("usageCoreNanoSeconds"), "it has no CPU counters"),
        (without("time"), "no usable time of its CPU counter"),
    ],
)
async def test_auto_reads_the_other_endpoint_of_a_node_whose_summary_is_no_good(
    body, reason, caplog
):
    caplog.set_level(logging.INFO, "metricsapi.scrape")
    async with Kubelet(answers(body)) as kubelet, Reader(kubelet) as read:
        for _ in range(3):
            assert (await read()).unusable == ""
        assert paths(kubelet) == ["/stats/summary", *["/metrics/resource"] * 3]
        assert read.client.endpoint(read.target) == "resource"
        assert reason in read.client.endpoint_reason(read.target)
        (record,) = caplog.records
        assert record.data["endpoint"] == "resource"
        assert reason in record.data["reason"]


@pytest.mark.parametrize("other", [None, b"up 1\n", b"node_cpu_usage_seconds_total NaN\n"])
async def test_a_summary_without_counters_is_kept_where_the_other_endpoint_is_no_better(other):
    async with Kubelet(answers(without("usageCoreNanoSeconds"), other)) as kubelet:
        async with Reader(kubelet) as read:
            for _ in range(3):
                sample = await read()
                assert sample.pods[0].containers[0].cpu.usage_nano_cores == 10**8
        assert paths(kubelet).count("/metrics/resource") == 1  # and again after some minutes
        assert paths(kubelet).count("/stats/summary") == 3


async def test_an_endpoint_that_is_no_better_is_read_but_not_remembered():
    half = b"node_cpu_usage_seconds_total 1\n"
    async with Kubelet(answers(b"garbage", half)) as kubelet, Reader(kubelet) as read:
        for _ in range(2):
            assert "no usable memory working set" in (await read()).unusable
        assert paths(kubelet) == ["/stats/summary", "/metrics/resource"] * 2
        kubelet.answer = answers(summary("n1"), half)
        assert (await read()).unusable == ""


NO_SUMMARY = http(b"404 page not found", 404)


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (http(b"garbage"), Cause.DECODE),
        (http(b"x" * 2**21), Cause.TOO_LARGE),
        (http(b"no", 403), Cause.FORBIDDEN),
        (NO_SUMMARY, Cause.NOT_FOUND),
    ],
)
async def test_where_there_is_no_summary_the_cause_is_that_of_the_other_endpoint(response, cause):
    def answer(request):
        return response if "resource" in request.path else NO_SUMMARY

    async with Kubelet(answer) as kubelet, Reader(kubelet, max_response_bytes=2**20) as read:
        failure = await read()
        assert failure.cause is cause
        assert "answered 404" in failure.message


async def test_a_node_without_usable_usage_says_what_is_missing():
    async with Kubelet(answers(without("time"), None)) as kubelet, Reader(kubelet) as read:
        sample = await read()
        assert sample.unusable.startswith(f"127.0.0.1:{kubelet.port}: ")
        assert "no usable time of its CPU counter" in sample.unusable


async def test_auto_goes_back_to_the_summary_when_the_other_endpoint_is_gone():
    async with Kubelet(answers(None)) as kubelet, Reader(kubelet) as read:
        assert is_sample(await read())
        kubelet.answer = answers(summary("n1"), None)
        assert (await read()).cause is Cause.NOT_FOUND
        assert is_sample(await read())
        assert read.client.endpoint(read.target) == "summary"
        assert read.client.endpoint_reason(read.target) == ""


async def test_too_many_pods_are_a_cause_and_not_read_elsewhere():
    async with Kubelet(answers(summary("n1", pods=30))) as kubelet:
        target = Target("n1", ("127.0.0.1",), kubelet.port, max_pods=20)
        async with Reader(kubelet, target=target) as read:
            failure = await read()
            assert failure.cause is Cause.TOO_MANY_PODS
            assert "more than 20 pods" in failure.message
        assert paths(kubelet) == ["/stats/summary"]


async def test_a_full_summary_that_was_not_asked_for_has_no_file_systems():
    value = json.loads(summary("n1"))
    value["pods"][0]["containers"][0].update(rootfs={"usedBytes": 1}, logs={"usedBytes": 2})
    value["node"]["fs"] = {"usedBytes": 3}
    async with Kubelet(answers(json.dumps(value).encode())) as kubelet, Reader(kubelet) as read:
        sample = await read()
        assert sample.pods[0].containers[0].rootfs is None
        assert sample.stats.rootfs is None
