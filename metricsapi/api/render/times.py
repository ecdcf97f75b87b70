"""Times and durations as Go's API machinery writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=512)
def rfc3339(seconds: int) -> str:
    """Return whole seconds since the epoch as RFC 3339 in UTC: `2026-11-23T09:04:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(seconds: float) -> int:
    """Round a window to whole milliseconds; never to 0, for no window is."""
    return max(1, round(seconds * 1000))


@lru_cache(maxsize=2048)
def duration_text(milliseconds: int) -> str:
    """Return Go's text of a duration of 0 or more: `14.968s`, `1m0s`, `1h0m0s`, `250ms`, `0s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    whole, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(whole, 60)
    text = f"{seconds}.{rest:03d}".rstrip("0") if rest else str(seconds)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{text}s"
    return f"{minutes}m{text}s" if minutes else f"{text}s"
