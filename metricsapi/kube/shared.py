"""One object for equal names that are there thousands of times, as those of namespaces are."""

from __future__ import annotations

from functools import lru_cache

LONGEST = 253  # characters of a name


def shared(name: str) -> str:
    """Return the same object for equal names, if they were used recently.

    `sys.intern` keeps names for good in Python 3.12, and a kubelet may list other names in each
    response.
    """
    return _shared(name) if len(name) <= LONGEST else name


@lru_cache(maxsize=4096)
def _shared(name: str) -> str:
    return name
