"""Text from elsewhere, made safe for one line of a terminal."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"\s*[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")


def printable(text: str) -> str:
    """Return `text` on one line, with escapes for what a terminal would obey or cannot show."""
    line = _BREAKS.sub(" ", text)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in line
    )
