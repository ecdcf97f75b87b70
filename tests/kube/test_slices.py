"""Long bodies in slices: each within its time, nothing lost, other tasks between two of them."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.slices import in_slices


@given(costs=st.lists(st.integers(0, 5), max_size=60), seconds=st.integers(1, 8))
def test_a_slice_is_over_as_soon_as_its_time_is_up(costs, seconds):
    now = 0

    def items():
        nonlocal now
        for number, cost in enumerate(costs):
            now += cost
            yield number

    async def slices():
        return [part async for part in in_slices(items(), seconds, lambda: now)]

    parts = asyncio.run(slices())
    assert [item for part in parts for item in part] == list(range(len(costs)))
    for part in parts:
        assert sum(costs[item] for item in part[:-1]) < seconds


async def test_other_tasks_run_between_two_slices():
    order = []

    async def other():
        while True:
            order.append("other")
            await asyncio.sleep(0)

    now = iter(range(100))
    task = asyncio.create_task(other())
    order += [part async for part in in_slices(range(4), 1, lambda: next(now))]
    task.cancel()
    assert order.count("other") == 4
    assert [part for part in order if part != "other"] == [[0], [1], [2], [3]]
