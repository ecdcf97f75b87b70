"""A leader for which most nodes fail leaves the Lease to those who follow it."""

import asyncio

import pytest

from metricsapi.server.replicas.candidacy import Candidacy
from metricsapi.server.replicas.resignation import Resignation
from tests.support.simulated_time import run_simulated


@pytest.mark.parametrize(
    ("failing", "nodes", "resigns"),
    [(0, 0, False), (0, 5, False), (2, 4, False), (3, 4, True), (1, 1, True)],
)
def test_most_nodes_have_to_fail(failing, nodes, resigns):
    resignation = Resignation(40.0)
    resignation.due(0.0, followed=True, count=lambda: (failing, nodes))
    assert resignation.due(40.0, followed=True, count=lambda: (failing, nodes)) == resigns


def test_a_new_leader_has_time_to_scrape_each_node_itself():
    resignation = Resignation(40.0)
    due = [resignation.due(float(at), followed=at > 100, count=lambda: (9, 9)) for at in range(200)]
    assert due.index(True) == 101 + 40


def test_without_a_follower_nobody_would_take_the_lease():
    resignation = Resignation(40.0)
    assert not any(
        resignation.due(float(at), followed=False, count=lambda: (9, 9)) for at in range(200)
    )


def test_a_follower_that_comes_and_goes_begins_the_time_anew():
    resignation = Resignation(40.0)
    assert not any(
        resignation.due(float(at), followed=at % 30 > 0, count=lambda: (9, 9)) for at in range(200)
    )


class Elector:
    """An election whose only candidate leads while it runs; `events` is what happened."""

    def __init__(self):
        self.events = []

    async def run(self, _):
        self.events.append("leads")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.events.append("released")

    async def observe(self, _):
        self.events.append("observes")
        await asyncio.get_running_loop().create_future()


async def _candidate(*steps):
    elector, leaving = Elector(), asyncio.Event()
    candidacy = Candidacy(elector, leaving, 15.0)
    running = asyncio.create_task(candidacy.run())
    for seconds, what in steps:
        await asyncio.sleep(seconds)
        {"resign": candidacy.resign, "leave": leaving.set, "end": running.cancel}[what]()
    await asyncio.gather(running, return_exceptions=True)
    return elector.events


RESIGNED = ["leads", "released", "observes"]


@pytest.mark.parametrize(
    ("steps", "events"),
    [
        ([(1.0, "end")], RESIGNED[:2]),
        ([(1.0, "leave"), (99.0, "end")], [*RESIGNED, "observes"]),
        ([(1.0, "resign"), (14.0, "end")], RESIGNED),
        ([(1.0, "resign"), (16.0, "end")], [*RESIGNED, "leads", "released"]),
        ([(1.0, "resign"), (16.0, "resign"), (16.0, "end")], [*RESIGNED * 2, "leads", "released"]),
        ([(1.0, "resign"), (5.0, "leave"), (99.0, "end")], [*RESIGNED, "observes"]),
    ],
    ids=["ends", "leaves", "pauses", "comes back", "resigns twice", "leaves while it pauses"],
)
def test_whoever_resigns_only_observes_for_a_while_and_whoever_leaves_for_good(steps, events):
    assert run_simulated(_candidate(*steps)) == events
