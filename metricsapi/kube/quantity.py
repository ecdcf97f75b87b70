"""Kubernetes' Quantity text: the grammar of `resource.Quantity` in k8s.io/apimachinery."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([a-zA-Z]*))")
_SUFFIXES = {
    **{suffix: Fraction(1000) ** step for step, suffix in enumerate("num", -3)},
    "": Fraction(1),
    **{suffix: Fraction(1000) ** step for step, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Fraction(1024) ** step for step, suffix in enumerate("KMGTPE", 1)},
}
_LONGEST = 64  # characters; Python refuses to read numbers of more than 4,300 digits
_LARGEST = 2**96  # more than any machine has, and a number that every float holds


def parse_quantity(text: str, scale: int = 1) -> int | None:
    """Return `scale` times the amount, rounded up as Kubernetes does.

    None when the text is no quantity, or its amount is beyond ±2⁹⁶. With a scale of 10⁹,
    `250m` of CPU are nanocores.
    """
    return _parsed(text, scale) if len(text) <= _LONGEST else None


# The machines of a cluster are of few kinds.
@lru_cache(maxsize=4096)
def _parsed(text: str, scale: int) -> int | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or (factor := _SUFFIXES.get(match[3] or "")) is None:
        return None
    amount = Fraction(match[1]) * factor * Fraction(f"1{match[2]}" if match[2] else 1)
    if abs(amount) > _LARGEST:
        return None
    return math.ceil(amount * scale)
