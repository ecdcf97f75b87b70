"""One row per node: what the scraper pool knows of it, for the status page and self-metrics.

`scrape` makes rows, `server` and `telemetry` read them; plain values, so neither imports the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

OK = "ok"  # the last scrape succeeded
UNUSABLE = "unusable"  # the kubelet responds, but usage does not follow from the response
FAILING = "failing"  # the last scrape failed; earlier usage may still be served
PENDING = "pending"  # not tried yet
STATES = (OK, UNUSABLE, FAILING, PENDING)
TROUBLED = (FAILING, UNUSABLE)  # the states that have a cause

# How many nodes there are by state and cause (empty if the state has none).
States = Mapping[tuple[str, str], int]


class NodeStatus(Struct, frozen=True, kw_only=True, gc=False):
    """One node. Times are seconds since the epoch (UTC), durations seconds, CPU nanocores,
    memory bytes; None is "never" or "unknown".
    """

    name: str
    state: str  # one of STATES
    cause: str = ""  # a short word for what is wrong; empty unless TROUBLED
    message: str = ""  # the same in a sentence, with names and addresses
    address: str = ""  # host:port of its connection, else where it is tried first
    endpoint: str = ""  # summary or resource
    endpoint_reason: str = ""  # why --kubelet-endpoint=auto does not scrape the Summary
    since: float | None = None  # when the state last changed
    last_attempt: float | None = None
    last_good: float | None = None  # when the last good response came
    duration: float | None = None  # of the last scrape
    next_scrape: float | None = None  # when the node is due
    next_reason: str = ""  # periodic, prefetch or start
    expected_query: str = ""  # for which it is scraped next: namespace/selector or namespace/name
    served_until: float | None = None  # without another good response, None if no usage is served
    sample_age: float | None = None  # age of the usage that is served, None if none is
    containers: int | None = None  # in the last good response
    pods: int | None = None
    cpu: int | None = None  # usage that is served
    memory: int | None = None
    cpu_allocatable: int | None = None  # what the node may give to pods
    memory_allocatable: int | None = None


def in_state(states: States, wanted: str) -> int:
    """Return the number of nodes in a state, whatever the cause."""
    return sum([count for (state, _), count in states.items() if state == wanted])
