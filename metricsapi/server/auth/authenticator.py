"""Authentication of each request, by its connection and its headers.

In this order: front proxy, client certificate, bearer token; a presented credential that is not
valid is an error unless another of the same request is; a request without any is anonymous.
"""

from __future__ import annotations

from collections.abc import Sequence

from metricsapi.server.auth.client_certificates import PeerCertificates
from metricsapi.server.auth.configuration import AuthConfiguration
from metricsapi.server.auth.front_proxy import BadIdentity, HeaderReader
from metricsapi.server.auth.reviews import ReviewError
from metricsapi.server.auth.tokens import BadCredential, TokenReviewer, bearer_token
from metricsapi.server.auth.user import ANONYMOUS, User, authenticated

Headers = Sequence[tuple[bytes, bytes]]
FRONT_PROXY = "front proxy"
CLIENT = "client certificate"
_CREDENTIAL = "authentication.kubernetes.io/credential-id"


class Unauthenticated(Exception):
    """Credentials were presented and none of them is valid; the text says why, for the log."""


class Authenticator:
    """Authenticates by the current configuration; `configure` replaces it at any time.

    Without `tokens` no bearer token is valid.
    """

    def __init__(self, tokens: TokenReviewer | None = None) -> None:
        self._tokens = tokens
        self.configure(AuthConfiguration())

    def configure(self, configuration: AuthConfiguration) -> None:
        """Use another configuration from the next request on, on open connections too."""
        self.configuration = configuration
        self._reader = HeaderReader(configuration.front_proxy)

    def by_certificate(
        self, peer: PeerCertificates | None, headers: Headers, now: float
    ) -> tuple[User | None, list[str]]:
        """Return the user of the connection's certificate, if any, and the certificate's faults.

        `now` is in epoch seconds.
        """
        faults: list[str] = []
        if peer is None:
            return None, faults
        user = self._by_front_proxy(peer, headers, now, faults)
        if user is None:
            user = self._by_client_certificate(peer, now, faults)
        return user, faults

    async def by_token(self, headers: Headers, faults: list[str]) -> User:
        """Return the user of the bearer token, or the anonymous one if nothing was presented.

        `faults` are those of the certificate. Raises Unauthenticated.
        """
        try:
            token = bearer_token(headers)
        except BadCredential as error:
            raise Unauthenticated("; ".join([*faults, str(error)])) from error
        if token is not None:
            try:
                user = await self._tokens.user_of(token) if self._tokens else None
            except ReviewError as error:
                raise Unauthenticated("; ".join([*faults, str(error)])) from error
            if user is not None:
                return user
            faults = [*faults, "bearer token: not valid"]
        if faults:
            raise Unauthenticated("; ".join(faults))
        return ANONYMOUS

    def _by_front_proxy(
        self, peer: PeerCertificates, headers: Headers, now: float, faults: list[str]
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

    def _by_client_certificate(
        self, peer: PeerCertificates, now: float, faults: list[str]
    ) -> User | None:
        fault = peer.fault(CLIENT, self.configuration.clients, now)
        if fault is None and not peer.common_name:
            fault = "it has no common name"
        if fault is not None:
            faults.append(f"{CLIENT}: {fault}")
            return None
        extra = ((_CREDENTIAL, (f"X509SHA256={peer.fingerprint}",)),)
        return authenticated(User(peer.common_name, "", peer.organizations, extra))
