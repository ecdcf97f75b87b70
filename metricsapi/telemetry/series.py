"""What a self-metric is called, and what it means: the declarations that docs/metrics.md shows."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Series(NamedTuple):
    """One metric. `name` is as it is exposed (counters end in `_total`); units are in names."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
