"""Kubernetes' Quantity text, canonical: no fraction, the largest suffix that loses nothing.

The rules are those of `resource.Quantity` in k8s.io/apimachinery. CPU is counted in decimal
steps, memory in binary ones. Values of any size are exact (the reference drops a decimal digit
above 2⁶³-1).
"""

from __future__ import annotations

_NANO_AND_UP = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_ONE_AND_UP = _NANO_AND_UP[3:]
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def cpu_text(nanocores: int) -> str:
    """Return the quantity of `nanocores`, 0 or a positive integer: `150m`, `149420158n`, `2`."""
    if nanocores % 1000:  # nearly always
        return f"{nanocores}n"
    return _decimal(nanocores, _NANO_AND_UP) if nanocores else "0"


def bytes_text(count: int) -> str:
    """Return the quantity of `count` bytes, 0 or more, in binary steps: `496Ki`, `4097`.

    Below 1024 the format is decimal, so 1000 is `1k`.
    """
    if count & 1023 or not count:
        return str(count) if count >= 1024 or not count else _decimal(count, _ONE_AND_UP)
    if count & 0xFFFFF:  # a multiple of 1024, but not of 1024²: nearly always
        return f"{count >> 10}Ki"
    # The number of trailing zero bits says how often 1024 divides it.
    step = min(((count & -count).bit_length() - 1) // 10, 6)
    return f"{count >> (10 * step)}{_BINARY[step]}"


def _decimal(value: int, suffixes: tuple[str, ...]) -> str:
    step, last = 0, len(suffixes) - 1
    while step < last:
        rest = value // 1000
        if rest * 1000 != value:
            break
        value, step = rest, step + 1
    return f"{value}{suffixes[step]}"
