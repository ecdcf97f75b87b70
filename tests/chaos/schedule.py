"""Which faults there are when: drawn from a seed, so that the same seed is the same plan."""

import asyncio
import math
import random
import time
from dataclasses import dataclass, field

from metricsapi.tools.sandbox.loads import HOUSEKEEPING
from tests.chaos.faults import FAULTS, Fault, Scope

AT_ONCE = 4  # faults
SHORTEST, LONGEST = 1.0, 6.0  # seconds
MOST_NODES = 6  # of a fault
LONGEST_BACKOFF = 30.0  # seconds until the API server is asked again after failures
OF_NODES = {Scope.NODES, Scope.NODE_OBJECTS}


@dataclass
class Planned:
    """One fault of a plan. Times are seconds since its start."""

    fault: Fault
    begins: float
    ends: float
    nodes: list[int]
    seed: int
    began: float | None = field(default=None, compare=False)  # monotonic seconds, once it has
    ended: float | None = field(default=None, compare=False)

    def __str__(self):
        of = f" of nodes {self.nodes}" if self.fault.scope in OF_NODES else ""
        return f"{self.begins:.1f}-{self.ends:.1f} s {self.fault.name}{of} (seed {self.seed})"


def plan(seed, seconds, nodes):
    """Give the faults of so many seconds; none ends after them."""
    rng = random.Random(seed)
    planned = []
    for _ in range(AT_ONCE):
        at = rng.uniform(0.0, 2.0)
        while at < seconds - SHORTEST:
            ends = min(seconds, at + rng.uniform(SHORTEST, LONGEST))
            victims = sorted(rng.sample(range(nodes), rng.randint(1, MOST_NODES)))
            planned.append(Planned(rng.choice(FAULTS), at, ends, victims, rng.randrange(2**32)))
            at = ends + rng.uniform(0.1, 1.5)
    return sorted(_apart(planned), key=lambda one: one.begins)


def _apart(planned):
    """Leave out what would be the same fault, or at the same nodes, at the same time."""
    chosen = []
    for one in planned:
        others = [o for o in chosen if o.begins < one.ends and one.begins < o.ends]
        if not any(_overlap(one, other) for other in others):
            chosen.append(one)
    return chosen


def _overlap(one, other):
    if {one.fault.scope, other.fault.scope} <= OF_NODES:
        return bool(set(one.nodes) & set(other.nodes))
    kinds = {each.fault.name.partition(":")[0] for each in (one, other)}
    return len(kinds) == 1


class Schedule:
    """A plan as it is carried out."""

    def __init__(self, planned):
        self.planned = planned
        self._started = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self._started

    def active(self):
        """Give the faults that there are now."""
        return [str(one) for one in self.planned if one.began is not None and one.ended is None]

    def well_since(self, index, now, grace):
        """Whether a node has had no fault for `grace` seconds before `now` (monotonic seconds)."""
        own = [one for one in self.planned if one.began is not None and index in one.nodes]
        return all(self._over(one) + grace < now for one in own if one.fault.scope in OF_NODES)

    def _over(self, one):
        """Give when a fault is no longer seen, in monotonic seconds."""
        if one.ended is None:
            return math.inf
        if one.fault.scope is not Scope.NODE_OBJECTS:
            return one.ended + 2 * HOUSEKEEPING * one.fault.lies
        # Its end is news from the API server, which came late if that had a fault at the time.
        late = [
            math.inf if other.ended is None else other.ended + LONGEST_BACKOFF
            for other in self.planned
            if other.fault.scope is Scope.API_SERVER and other.began is not None
        ]
        return max([one.ended, *(at for at in late if at > one.began)])

    def may_refuse(self):
        """Whether the front proxy may be refused now: who may ask is being changed."""
        now = time.monotonic()
        return any(
            one.fault.scope is Scope.IDENTITY
            and one.began is not None
            and (one.ended is None or now < one.ended + 5.0)
            for one in self.planned
        )

    async def run(self, world):
        """Carry it out, from now on."""
        self._started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for one in self.planned:
                group.create_task(self._carry_out(world, one))

    async def _carry_out(self, world, one):
        await asyncio.sleep(max(0.0, self._started + one.begins - time.monotonic()))
        nodes = [world.nodes[i] for i in one.nodes]
        one.began = time.monotonic()
        async with one.fault.begin(world, random.Random(one.seed), nodes):
            await asyncio.sleep(max(0.0, self._started + one.ends - time.monotonic()))
        one.ended = time.monotonic()
