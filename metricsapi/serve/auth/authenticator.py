"""Who is calling, decided per connection and request.

In this order: front proxy, client certificate, bearer token; a presented credential that is not
valid is an error unless another of the same request is, and only who presents none is anonymous.
"""

from __future__ import annotations

from collections.abc import Sequence

from metricsapi.serve.auth.authorities import Peer
from metricsapi.serve.auth.configuration import AuthConfiguration
from metricsapi.serve.auth.front_proxy import BadIdentity, HeaderReader
from metricsapi.serve.auth.user import User

Headers = Sequence[tuple[bytes, bytes]]
FRONT_PROXY = "front proxy"


class Authenticator:
    """Decides by the current configuration; `configure` replaces it at any time."""

    def __init__(self, configuration: AuthConfiguration | None = None) -> None:
        self.configure(configuration or AuthConfiguration())

    def configure(self, configuration: AuthConfiguration) -> None:
        """Use another configuration from the next request on, on open connections too."""
        self.configuration = configuration
        self._reader = HeaderReader(configuration.front_proxy)

    def by_certificate(
        self, peer: Peer | None, headers: Headers, now: float
    ) -> tuple[User | None, list[str]]:
        """Give the user that the connection's certificate stands for, if any, and its faults.

        `now` is in epoch seconds.
        """
        if peer is None:
            return None, []
        faults: list[str] = []
        user = self._by_front_proxy(peer, headers, now, faults)
        return user, faults

    def _by_front_proxy(
        self, peer: Peer, headers: Headers, now: float, faults: list[str]
    ) -> User | None:
        rules = self.configuration.front_proxy
        fault = peer.fault(FRONT_PROXY, rules.authorities, now)
        if fault is None and rules.allowed_names and peer.common_name not in rules.allowed_names:
            fault = f"the name {peer.common_name!r} is not allowed"
        if fault is None:
            try:
                user = self._reader.read(headers)
            except BadIdentity as error:
                fault = str(error)
            else:
                if user is not None:
                    return user
                fault = "it names no user"
        faults.append(f"{FRONT_PROXY}: {fault}")
        return None
