"""Kubernetes' Quantity text, read: the grammar of `resource.Quantity` in k8s.io/apimachinery."""

from __future__ import annotations

import re
from fractions import Fraction

_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([a-zA-Z]*))")
_SUFFIXES = {
    **{suffix: Fraction(1000) ** step for step, suffix in enumerate("num", -3)},
    "": Fraction(1),
    **{suffix: Fraction(1000) ** step for step, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Fraction(1024) ** step for step, suffix in enumerate("KMGTPE", 1)},
}


def parse_quantity(text: str, scale: int = 1) -> int | None:
    """Give `scale` times the amount, rounded up as Kubernetes does; None when it is no quantity.

    With a scale of 10⁹, `250m` of CPU are nanocores.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or (factor := _SUFFIXES.get(match[3] or "")) is None:
        return None
    amount = Fraction(match[1]) * factor * Fraction(f"1{match[2]}" if match[2] else 1) * scale
    return -(-amount.numerator // amount.denominator)
