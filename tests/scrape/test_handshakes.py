"""Handshakes of many kubelets at one moment leave the event loop to others after each slice."""

import asyncio

from metricsapi.kube.slices import SLICE
from metricsapi.scrape.handshakes import Handshakes


class Clock:
    """Each step takes half a slice."""

    now = 0.0

    def __call__(self):
        return self.now


async def test_an_iteration_of_the_event_loop_has_one_slice_of_handshakes():
    clock, done, seen = Clock(), [], []
    handshakes = Handshakes(clock)

    def step(number):
        clock.now += SLICE / 2
        done.append(number)

    for number in range(7):
        handshakes.add(lambda number=number: step(number))
    assert done == [], "reading from a socket does not wait for handshakes"
    while len(done) < 7:
        await asyncio.sleep(0)
        seen.append(len(done))
    assert done == list(range(7))
    assert seen == [2, 4, 6, 7]
    handshakes.add(lambda: step(7))
    await asyncio.sleep(0)
    assert done[-1] == 7


async def test_a_step_that_raises_ends_no_other():
    handshakes, done = Handshakes(), []
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    handshakes.add(lambda: 1 / 0)
    handshakes.add(lambda: done.append("second"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == ["second"]
    assert len(errors) == 1
