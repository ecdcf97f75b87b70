"""When a node is read: its own place on the clock, so that the load is level."""

from __future__ import annotations

import hashlib
import math

HANDFUL = 6


def offset_of(node: str, resolution: float) -> float:
    """Give a node's own place inside the resolution: always the same, and spread evenly."""
    digest = hashlib.blake2b(node.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * resolution


def next_turn(now: float, offset: float, resolution: float, *, first: bool) -> float:
    """Give the time of the next turn: the node's next place on the clock.

    After a first turn, which is taken at once, that place may be near: a read so soon costs the
    node and tells nothing, so then the turn comes half a resolution after the place instead.
    """
    at = (math.floor((now - offset) / resolution) + 1) * resolution + offset
    if first and at - now < resolution / 3:
        return at + resolution / 2
    # A timer may fire a moment early, and must not then take the same turn twice.
    return at + resolution if at - now < resolution / 100 else at


def together(at: float, resolution: float, nodes: int) -> float:
    """Give the time near `at`, a second later at most, when a few nodes have their turns at once.

    Reading a handful of nodes in a row costs a quarter less CPU than as many apart from each
    other: the process wakes once, and what it needs is still in the processor's caches. More of
    them would make other requests wait.
    """
    step = min(1.0, HANDFUL * resolution / max(1, nodes))
    return math.ceil(at / step) * step
