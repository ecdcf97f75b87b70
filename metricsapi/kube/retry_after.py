"""The header Retry-After: when a server takes requests again."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = re.compile("[0-9]+")


def retry_after_seconds(text: str, now: float) -> float:
    """Return the seconds from `now` (wall clock) that a Retry-After asks to wait for.

    It is a number of seconds or a date (RFC 9110, 10.2.3); 0 for anything else, and for a date that
    is past. It may be infinite.
    """
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text[:64])
        until = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return max(0.0, until - now)
