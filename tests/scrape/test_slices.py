"""However many kubelets respond at once, nothing keeps the event loop for longer than a slice."""

import asyncio
from contextlib import suppress

import pytest

from metricsapi.kube.slices import SLICE
from metricsapi.scrape.slices import Slices

STEP = 0.0005  # seconds of simulated work


class Work:
    """A clock that goes on only while steps work, and a count of the event loop's iterations."""

    def __init__(self):
        self.now = 0.0
        self.order = []  # names of the steps, in the order in which they worked
        self.longest = 0.0  # seconds of work in one iteration

    def clock(self):
        return self.now

    def steps(self, name, count, *, fails=False):
        for _ in range(count):
            self.now += STEP
            self.order.append(name)
            yield
        if fails:
            raise ValueError(name)
        return name

    async def watch(self):
        while True:
            begun = self.now
            await asyncio.sleep(0)
            self.longest = max(self.longest, self.now - begun)


async def run_all(work, *steps):
    slices = Slices(work.clock)
    watcher = asyncio.create_task(work.watch())
    results = await asyncio.gather(*map(slices.run, steps), return_exceptions=True)
    watcher.cancel()
    with suppress(asyncio.CancelledError):
        await watcher
    return results


@pytest.mark.parametrize(("responses", "count"), [(1, 100), (100, 1), (50, 3), (10, 50), (3, 1000)])
async def test_an_iteration_of_the_event_loop_has_one_slice_of_work(responses, count):
    work = Work()
    names = [str(number) for number in range(responses)]
    assert await run_all(work, *(work.steps(name, count) for name in names)) == names
    assert len(work.order) == responses * count
    assert work.longest <= SLICE + STEP


async def test_long_work_lets_short_work_in_between():
    work = Work()
    await run_all(work, work.steps("long", 1000), *(work.steps("short", 1) for _ in range(50)))
    last = max(at for at, name in enumerate(work.order) if name == "short")
    assert last < 100


async def test_what_is_decoded_is_stored_before_more_is_decoded():
    work, waiting, longest = Work(), 0, 0
    slices = Slices(work.clock)

    async def scrape(number):
        nonlocal waiting, longest
        await slices.run(work.steps(f"decode {number}", 1))
        waiting += 1
        longest = max(longest, waiting)
        await slices.run(work.steps(f"store {number}", 3), begun=True)
        waiting -= 1

    await asyncio.gather(*map(scrape, range(100)))
    assert longest == 1
    assert work.order[:4] == ["decode 0", "store 0", "store 0", "store 0"]


async def test_work_that_fails_or_is_cancelled_keeps_nobody_waiting():
    work = Work()
    slices = Slices(work.clock)
    failing = [slices.run(work.steps("fails", 9, fails=True)) for _ in range(5)]
    cancelled = [asyncio.create_task(slices.run(work.steps("cancelled", 1000))) for _ in range(5)]
    others = [slices.run(work.steps("good", 9)) for _ in range(5)]
    gathered = asyncio.gather(*failing, *others, return_exceptions=True)
    for task in cancelled:
        await asyncio.sleep(0)
        task.cancel()
    results = await gathered
    assert [str(result) for result in results] == ["fails"] * 5 + ["good"] * 5
    assert all(isinstance(result, ValueError) for result in results[:5])
