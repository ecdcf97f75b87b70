"""A kubelet that sends anything: its node fails with a cause or is served, and no other notices."""

import asyncio
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.kube.resources import Capacity
from metricsapi.scrape.decoding import DecodeError
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.targets import Target
from metricsapi.scrape.usage_check import lacks_counters, missing_usage
from metricsapi.storage.limits import limits_of
from metricsapi.storage.store import MetricsStore
from metricsapi.telemetry.troubleshooting import REMEDIES
from tests.support.decoding import decode_resource_metrics, decode_summary
from tests.support.kubelet import Kubelet, Reader, http, is_sample, summary
from tests.support.mutations import mutated_bytes, mutated_structure
from tests.support.paths import RECORDED

SERIES = [
    json.loads(line)
    for line in (RECORDED / "kubelet-1.36-series.jsonl").read_text().splitlines()[:3]
]
NODE = SERIES[0]["summary"]["node"]["nodeName"]
FULL = json.loads((RECORDED / "kubelet-1.36-summary-full.json").read_text())
seeds = st.integers(0, 2**32)


def put(store, decode, body, at):
    """Decode and store an answer as a scrape does; None if it is refused."""
    times = {"requested_at": at, "answered_at": at + 0.03, "wall_offset": 1.795e9}
    try:
        sample = decode(NODE, body, **times)
    except DecodeError:
        return None
    assert isinstance(missing_usage(sample, limits_of(Capacity(), sample.stats, swap=True)), str)
    assert lacks_counters(sample) in (True, False)
    store.put(sample)
    return sample


def served(store, at):
    """What is served of everything, which must be numbers that can be."""
    node = store.node_usage(NODE, at)
    named = {(reading.namespace, reading.pod) for reading in store.readings(at) if reading.pod}
    usages = [usage for key in named if (usage := store.pod_usage(*key, at))]
    for usage in usages:
        assert usage.window > 0
        for container in usage.containers:
            assert 0 <= container.cpu < 2**63
            assert 0 <= container.memory < 2**63
    return node, usages


@given(seeds, st.sampled_from([SERIES[0]["summary"], FULL]))
@settings(max_examples=150, deadline=None)
def test_any_structure_of_a_summary(seed, recorded):
    rng, store = random.Random(seed), MetricsStore(max_age=60.0)
    for number in range(3):
        body = json.dumps(mutated_structure(rng, recorded)).encode()
        put(store, decode_summary, body, 100.0 + 15 * number)
    served(store, 131.0)


@given(seeds)
@settings(max_examples=150, deadline=None)
def test_any_bytes_of_a_summary(seed):
    rng, store = random.Random(seed), MetricsStore(max_age=60.0)
    for number, answer in enumerate(SERIES):
        body = mutated_bytes(rng, json.dumps(answer["summary"]).encode())
        put(store, decode_summary, body, 100.0 + 15 * number)
    served(store, 131.0)


@given(seeds)
@settings(max_examples=150, deadline=None)
def test_any_bytes_of_an_exposition(seed):
    rng, store = random.Random(seed), MetricsStore(max_age=60.0)
    for number, answer in enumerate(SERIES):
        body = mutated_bytes(rng, answer["resource"].encode())
        put(store, decode_resource_metrics, body, 100.0 + 15 * number)
    served(store, 131.0)


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_pods_that_were_not_touched_are_what_they_were(seed):
    """One pod of an answer is changed in any way; the node and all other pods come out the same."""
    rng = random.Random(seed)
    document = json.loads(json.dumps(SERIES[0]["summary"]))
    whole = decode_summary(NODE, json.dumps(document).encode(), **TIMES)
    chosen = rng.randrange(len(document["pods"]))
    document["pods"][chosen] = mutated_structure(rng, document["pods"][chosen])
    sample = decode_summary(NODE, json.dumps(document).encode(), **TIMES)
    untouched = [pod for i, pod in enumerate(whole.pods) if i != chosen]
    assert [pod for pod in sample.pods if pod in untouched] == untouched
    assert sample.stats == whole.stats


TIMES = {"requested_at": 1.0, "answered_at": 2.0, "wall_offset": 3.0}


@pytest.mark.parametrize("seed", range(4))
async def test_any_bytes_over_the_wire_cost_that_node_alone(seed):
    """Heads, chunks and bodies changed byte by byte, over TLS; the next honest answer is taken."""
    rng = random.Random(seed)
    honest = http(summary("n1", pods=30), chunks=3)
    limits = {"seconds": 0.7, "endpoint": "summary", "max_response_bytes": 2**20}

    def hostile(_):
        return mutated_bytes(rng, honest, most=3)

    async with Kubelet() as kubelet, Kubelet(node="n2") as other, Reader(kubelet, **limits) as read:
        second = Target("n2", ("127.0.0.1",), other.port)
        for _ in range(8):
            kubelet.answer = hostile
            result = await read()
            if not is_sample(result):
                assert result.cause in set(Cause) - {Cause.INTERNAL}
                assert str(result.cause) in REMEDIES
                assert result.message
            assert is_sample(await read.client.scrape(second, time.monotonic() + 5))
            kubelet.answer = lambda _: honest
            await read()  # it may still meet bytes of the answer before
            assert is_sample(await read())
        assert other.connections == 1


async def cut_off(_, writer):
    writer.write(http(summary("n1"))[:50])
    await writer.drain()
    writer.transport.abort()


async def drip(_, writer):
    for byte in http(summary("n1")):
        if writer.transport.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(0.01)


async def many_interim(_, writer):
    while not writer.transport.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)
        await writer.drain()
        await asyncio.sleep(0)


async def tiny_chunks(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b"1\r\nx\r\n" * 1000)
        await writer.drain()
        await asyncio.sleep(0)


async def endless_trailer(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: ")
    while not writer.transport.is_closing():
        writer.write(b"y" * 4096)
        await writer.drain()
        await asyncio.sleep(0)


async def tiny_records(_, writer):
    """TLS records of one byte each, each of which costs as much as one of 16 KiB."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 20_000:
        if writer.transport.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "causes"),
    [
        (cut_off, {Cause.TRUNCATED, Cause.RESET}),
        (drip, {Cause.TIMEOUT}),
        (many_interim, {Cause.TOO_LARGE}),
        (tiny_chunks, {Cause.TOO_LARGE}),
        (endless_trailer, {Cause.TOO_LARGE, Cause.NOT_HTTP}),
        (tiny_records, {Cause.TLS, Cause.TIMEOUT}),
        (lambda _: http(b"x", 302, headers=["Location: " + "y" * 5000]), {Cause.STATUS}),
        (lambda _: http(b"x", 418), {Cause.STATUS}),
        (lambda _: http(b"wait", 429, headers=["Retry-After: 9"]), {Cause.TOO_MANY_REQUESTS}),
        (lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", {Cause.NOT_HTTP}),
        (
            lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
            {Cause.NOT_HTTP},
        ),
        (
            lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
            {Cause.NOT_HTTP},
        ),
        (lambda _: b"HTTP/9.9 200 OK\r\n\r\n", {Cause.NOT_HTTP}),
        (lambda _: b"SSH-2.0-OpenSSH_9.2\r\n", {Cause.NOT_HTTP}),
    ],
)
async def test_a_breach_of_protocol_has_a_cause(answer, causes):
    limits = {"seconds": 1.5, "endpoint": "summary", "max_response_bytes": 2**19}
    async with Kubelet(answer) as kubelet, Reader(kubelet, **limits) as read:
        failure = await read()
        assert failure.cause in causes, failure
        assert len(failure.message) < 1000
        kubelet.answer = lambda _: http(summary("n1"))
        read.seconds = 10.0
        await read()
        assert is_sample(await read())
