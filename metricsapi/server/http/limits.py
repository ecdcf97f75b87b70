"""What one connection, and all of them together, may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Times are in seconds."""

    connections: int = 1024
    header_bytes: int = 64 * 1024  # target, names and values together
    header_count: int = 1024  # the front proxy sends one for each group of the user
    target_bytes: int = 8 * 1024
    body_bytes: int = 64 * 1024
    header_timeout: float = 10.0  # from the first byte of a request to the end of its headers
    body_timeout: float = 30.0  # from there to the end of its body
    write_timeout: float = 30.0  # in which a peer must take a part of its answer
    idle_timeout: float = 120.0
    close_timeout: float = 0.5  # for a peer to take note that we have closed
