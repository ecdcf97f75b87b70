"""The declaration of a self-metric: name, type, help and labels, as docs/metrics.md lists them."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Series(NamedTuple):
    """One metric. `name` is as it is exposed (counters end in `_total`); units are in names."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
