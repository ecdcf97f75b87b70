"""One object for equal names that are there thousands of times, as those of namespaces are."""

from __future__ import annotations

from functools import lru_cache

LONGEST = 253  # characters of a name
MOST = 32_768  # names: those of 15,000 nodes with their namespaces and containers, 13 MiB at most


def shared(name: str) -> str:
    """Return the same object for equal names, if they were used recently.

    `sys.intern` keeps names for good in Python 3.12, and a kubelet may list other names in each
    response.
    """
    return _shared(name) if len(name) <= LONGEST else name


@lru_cache(maxsize=MOST)
def _shared(name: str) -> str:
    return name
