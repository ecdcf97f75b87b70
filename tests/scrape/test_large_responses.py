"""Large answers are read one at a time, and none that dawdles keeps others waiting."""

import asyncio
import gc
import gzip
import json
import time
import tracemalloc

import pytest

from metricsapi.scrape import large_responses
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.large_responses import LARGE, LargeResponses, Place
from metricsapi.scrape.targets import Target
from tests.support.conditions import until
from tests.support.kubelet import Kubelet, Reader, http, is_sample, summary


def large(node):
    value = json.loads(summary(node, pods=1000))
    for pod in value["pods"]:
        pod["filling"] = "x" * 2500
    body = json.dumps(value).encode()
    assert len(body) > 2 * LARGE
    return body


BODIES = {f"n{i}": large(f"n{i}") for i in range(3)}


def test_places_are_given_first_come_first_served_and_once():
    responses, started = LargeResponses(2), []
    places = [Place(responses, lambda i=i: started.append(i)) for i in range(4)]
    for place in places:
        place.enter()
    assert (started, responses.wanted) == ([0, 1], True)
    places[0].leave()
    places[0].leave()
    assert (started, responses.wanted) == ([0, 1, 2], True)
    places[3].leave()  # it waits no more
    places[1].leave()
    assert (started, responses.wanted) == ([0, 1, 2], False)


@pytest.mark.parametrize("chunks", [0, 7])
async def test_large_answers_of_many_nodes_are_all_read(chunks):
    """More of them than there are places."""

    def answer(kubelet):
        return lambda _: http(BODIES[kubelet], chunks=chunks)

    async with (
        Kubelet(answer("n0"), node="n0") as a,
        Kubelet(answer("n1"), node="n1") as b,
        Kubelet(answer("n2"), node="n2") as c,
        Reader(a, seconds=60) as read,
    ):
        deadline = asyncio.get_running_loop().time() + 60
        targets = [Target(k.node, ("127.0.0.1",), k.port) for k in (a, b, c)]
        for _ in range(2):
            samples = await asyncio.gather(*[read.client.scrape(t, deadline) for t in targets])
            assert [len(sample.pods) for sample in samples] == [1000] * 3


async def test_a_slow_one_is_ended_when_others_wait(monkeypatch):
    monkeypatch.setattr(large_responses, "PLACE_TIME", 0.3)

    async def dawdle(_, writer):
        body = http(BODIES["n0"])
        writer.write(body[: LARGE + 400_000])
        await asyncio.sleep(60)

    slow = [Kubelet(dawdle, node="n0") for _ in range(2)]
    async with slow[0] as first, slow[1] as second, Kubelet(node="n1") as good:
        good.answer = lambda _: http(BODIES["n1"])
        async with Reader(first, seconds=60) as read:
            deadline = asyncio.get_running_loop().time() + 60
            waiting = [
                asyncio.create_task(
                    read.client.scrape(Target(f"n0-{k.port}", ("127.0.0.1",), k.port), deadline)
                )
                for k in (first, second)
            ]
            await until(lambda: first.requests and second.requests)
            await asyncio.sleep(0.05)
            result = await read.client.scrape(Target("n1", ("127.0.0.1",), good.port), deadline)
            assert is_sample(result)
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result().cause for task in done} == {Cause.TIMEOUT}
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


BIG = b" " * (2 * LARGE)
NEVER_WHOLE = {
    "longer than may be": http(BIG + BIG, chunks=4),
    "cut off": http(BIG, chunks=9)[: -LARGE // 2],
    "no gzip after some": http(
        gzip.compress(BIG, 0)[:-9] + b"x" * 9, headers=["Content-Encoding: gzip"]
    ),
    "not HTTP in the middle": http(BIG, chunks=9)[:-LARGE] + b"no chunk\r\n",
    "not JSON": http(BIG),
}


@pytest.mark.parametrize("answer", NEVER_WHOLE.values(), ids=NEVER_WHOLE)
async def test_nothing_is_kept_of_a_large_answer_that_fails(answer):
    """Its error had kept it until the node was connected to anew: for 1,000 nodes gigabytes."""
    nodes = 8

    def respond(_):
        return answer

    async with (
        Kubelet(respond, certificate=None) as kubelet,
        Reader(kubelet, plain_http=True, max_response_bytes=3 * LARGE) as read,
    ):
        kubelet.closing = True
        targets = [Target(f"n{i}", ("127.0.0.1",), kubelet.port) for i in range(nodes + 1)]

        async def fail(target):
            failure = await read.client.scrape(target, time.monotonic() + 20.0)
            assert isinstance(failure, Failure)

        await fail(targets[-1])  # what is made at the first use stays
        tracemalloc.start()
        try:
            await asyncio.gather(*map(fail, targets[:-1]))
            await until(lambda: kept() < LARGE, what="the memory of the answers")
        finally:
            tracemalloc.stop()


def kept():
    """Return the bytes that are kept of what was allocated meanwhile."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
