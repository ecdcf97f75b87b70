"""What both decoders of kubelet answers share: the error, numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime

from metricsapi.samples import Told

LARGEST = 2**64 - 1  # what a kubelet counts in

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DecodeError(ValueError):
    """The body is not what a kubelet says; the message tells where."""


def whole(value: object) -> int | None:
    """Give a number that a counter or gauge can have, or None: whole, from 0 to 2^64 - 1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return value
    return None


class Seconds(dict[Told, float | None]):
    """RFC 3339 text to seconds since the epoch; a time that is none, or before 1970, is None.

    One answer has few distinct times, so each is parsed once: make one of these per answer.
    """

    def __missing__(self, text: Told) -> float | None:
        value = self[text] = _seconds(text) if isinstance(text, str) else None
        return value


def _seconds(text: str) -> float | None:
    try:
        seconds = (datetime.fromisoformat(text) - _EPOCH).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without its zone
        return None
    return seconds if seconds > 0 else None
