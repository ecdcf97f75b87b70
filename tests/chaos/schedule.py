"""Which faults there are when: drawn from a seed, so that the same seed is the same plan."""

import asyncio
import math
import random
import time
from dataclasses import dataclass, field

from metricsapi.tools.sandbox.loads import HOUSEKEEPING
from tests.chaos.faults import FAULTS, OWN_CLOCK, Fault, Scope

AT_ONCE = 4  # faults
SHORTEST, LONGEST = 1.0, 6.0  # seconds
MOST_NODES = 6  # of a fault
LONGEST_BACKOFF = 30.0  # seconds until the API server is asked again after failures
OF_NODES = {Scope.NODES, Scope.NODE_OBJECTS}
TICK = 2.0 * HOUSEKEEPING  # seconds until a kubelet's housekeeping reads a node again, at most


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
    skipped: str = field(default="", compare=False)  # why this machine cannot have it

    def __str__(self):
        of = f" of nodes {self.nodes}" if self.fault.scope in OF_NODES else ""
        skipped = f": SKIPPED, {self.skipped}" if self.skipped else ""
        times = f"{self.begins:.1f}-{self.ends:.1f} s"
        return f"{times} {self.fault.name}{of} (seed {self.seed}){skipped}"


def plan(seed, seconds, nodes):
    """Return the faults of a plan of so many seconds; none ends later."""
    rng = random.Random(seed)
    planned = []
    for _ in range(AT_ONCE):
        at = rng.uniform(0.0, 2.0)
        while at < seconds - SHORTEST:
            ends = min(seconds, at + rng.uniform(SHORTEST, LONGEST))
            victims = sorted(rng.sample(range(nodes), rng.randint(1, MOST_NODES)))
            planned.append(Planned(rng.choice(FAULTS), at, ends, victims, rng.randrange(2**32)))
            at = ends + rng.uniform(0.1, 1.5)
    planned = _apart(planned) + _clock_jumps(random.Random(f"clock {seed}"), seconds)
    return sorted(planned, key=lambda entry: entry.begins)


def _clock_jumps(rng, seconds):
    jumps = []
    at = rng.uniform(0.0, LONGEST)
    while at < seconds - SHORTEST:
        ends = min(seconds, at + rng.uniform(SHORTEST, LONGEST))
        jumps.append(Planned(OWN_CLOCK, at, ends, [], rng.randrange(2**32)))
        at = ends + rng.uniform(SHORTEST, 2 * LONGEST)
    return jumps


def _apart(planned):
    """Leave out what would be the same fault, or at the same nodes, at the same time."""
    chosen = []
    for entry in planned:
        others = [o for o in chosen if o.begins < entry.ends and entry.begins < o.ends]
        if not any(_overlap(entry, other) for other in others):
            chosen.append(entry)
    return chosen


def _overlap(entry, other):
    if {entry.fault.scope, other.fault.scope} <= OF_NODES:
        return bool(set(entry.nodes) & set(other.nodes))
    kinds = {each.fault.name.partition(":")[0] for each in (entry, other)}
    return len(kinds) == 1


class Schedule:
    """A plan that is running."""

    def __init__(self, planned):
        self.planned = planned
        self._started = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self._started

    def active(self):
        """Return the faults that are active now."""
        return [
            str(entry) for entry in self.planned if entry.began is not None and entry.ended is None
        ]

    def healthy_since(self, index, now, grace, ticks=1):
        """Return whether a node had no fault for `grace` seconds before `now` (monotonic).

        After lies its own stat is right again once its kubelet has read that `ticks` times, counted
        from the first good response, which a fault may delay that begins within `grace`.
        """
        over = settled = -math.inf
        lies = False
        for entry in self.planned:
            if entry.began is None or not (entry.fault.scope in OF_NODES and index in entry.nodes):
                continue
            lies = entry.fault.lies or (lies and entry.began < over + grace)
            over = max(over, self._over(entry))
            if lies:
                settled = over + ticks * TICK
        return max(over, settled) + grace < now

    def _over(self, entry):
        """Return when a fault has no effect any more, in monotonic seconds."""
        if entry.ended is None:
            return math.inf
        if entry.fault.scope is not Scope.NODE_OBJECTS:
            return entry.ended
        # Its end is news from the API server, which came late if that had a fault at the time.
        late = [
            math.inf if other.ended is None else other.ended + LONGEST_BACKOFF
            for other in self.planned
            if other.fault.scope is Scope.API_SERVER and other.began is not None
        ]
        return max([entry.ended, *(at for at in late if at > entry.began)])

    def may_refuse(self):
        """Return whether the front proxy may be refused now: who may ask is being changed."""
        now = time.monotonic()
        return any(
            entry.fault.scope is Scope.IDENTITY
            and entry.began is not None
            and (entry.ended is None or now < entry.ended + 5.0)
            for entry in self.planned
        )

    async def run(self, world):
        """Run the plan."""
        self._started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for entry in self.planned:
                group.create_task(self._carry_out(world, entry))

    async def _carry_out(self, world, entry):
        await asyncio.sleep(max(0.0, self._started + entry.begins - time.monotonic()))
        if skipped := entry.fault.lacking(world):
            entry.skipped = skipped
            return
        nodes = [world.nodes[i] for i in entry.nodes]
        entry.began = time.monotonic()
        async with entry.fault.begin(world, random.Random(entry.seed), nodes):
            await asyncio.sleep(max(0.0, self._started + entry.ends - time.monotonic()))
        entry.ended = time.monotonic()
