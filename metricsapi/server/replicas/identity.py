"""How replicas know each other: what a follower shows to the leader, and what the leader accepts.

By certificates of the CA of `--manage-ca-bundle` (`certificate_identity`), else by projected tokens
(`token_identity`). Either way the follower verifies the leader first.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class NoIdentityError(Exception):
    """This replica has nothing to show; the message says why, and what to do."""


class Shown(NamedTuple):
    """What a follower shows: with the TLS context, which verifies the leader, and in headers."""

    context: ssl.SSLContext
    headers: Mapping[str, str]


class ReplicaIdentity(Protocol):
    """Who this replica is to others, and who else is a replica."""

    @property
    def pem(self) -> str:
        """The authorities of replicas' client certificates; empty without any."""

    def shown(self) -> Shown:
        """Return what to show to the leader now. Raises NoIdentityError."""

    async def refusal(self, scope: Any) -> str | None:
        """Return why the client of an ASGI request is no replica; None if it is.

        Raises ReviewError while the API server, which has to be called, does not respond.
        """
