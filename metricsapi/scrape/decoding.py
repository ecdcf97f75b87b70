"""What both decoders of kubelet answers share: the error and numbers."""

from __future__ import annotations

LARGEST = 2**64 - 1  # what a kubelet counts in


class DecodeError(ValueError):
    """The body is not what a kubelet says; the message tells where."""


def whole(value: object) -> int | None:
    """Give a number that a counter or gauge can have, or None: whole, from 0 to 2^64 - 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return value
    return None
