"""Bearer tokens, which only the API server can verify: TokenReview, cached."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from metricsapi.config.authentication import AuthenticationSettings
from metricsapi.kube.client import KubeClient
from metricsapi.server.auth.review_cache import Observer, ReviewCache, unobserved
from metricsapi.server.auth.reviews import create_review
from metricsapi.server.auth.user import User, authenticated

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
TIMEOUT = 10.0  # seconds
LONGEST_TOKEN = 32768  # characters of a token; real ones are below 4,000

Headers = Sequence[tuple[bytes, bytes]]


class BadCredential(ValueError):
    """There is an Authorization header, and it holds no bearer token."""


class _UserInfo(Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] | None = None
    extra: dict[str, list[str]] | None = None


class _Status(Struct):
    authenticated: bool = False
    user: _UserInfo | None = None
    audiences: list[str] | None = None


class _Review(Struct, tag_field="kind", tag="TokenReview"):
    status: _Status


class _TokenUser(Struct, frozen=True):
    """The user of a token; None for a token that is not valid."""

    user: User | None


class _Token:
    """A token, equal to another by its digest, so that no cache and no log holds tokens."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha256(text.encode()).digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Token) and self.digest == other.digest


class TokenReviewer:
    """Finds the user of a token. `client` is where TokenReviews are created.

    With `audiences`, a token must be issued for one of them, and the API server must confirm that.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        audiences: Iterable[str] = (),
        ttl: float = AuthenticationSettings.token_cache_ttl,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = unobserved,
    ) -> None:
        self._client = client
        self._audiences = list(audiences)
        self._timeout = timeout
        self.cache = ReviewCache(
            self._review,
            lambda reviewed: reviewed.user is not None,
            allowed_ttl=ttl,
            denied_ttl=ttl,
            clock=clock,
            observe=observe,
        )

    async def user_of(self, token: str) -> User | None:
        """Return the user, or None for a token that is not valid. Raises ReviewError."""
        return (await self.cache.get(_Token(token))).user

    async def _review(self, token: _Token) -> _TokenUser:
        spec: dict[str, object] = {"token": token.text}
        token.text = ""  # from here on it lives only in the request
        if self._audiences:
            spec["audiences"] = self._audiences
        review: _Review = await create_review(
            self._client, PATH, "TokenReview", spec, _Review, self._timeout
        )
        status = review.status
        info = status.user
        if not status.authenticated or info is None or not info.username:
            return _TokenUser(None)
        if self._audiences and set(self._audiences).isdisjoint(status.audiences or ()):
            return _TokenUser(None)
        extra = sorted((key, tuple(values)) for key, values in (info.extra or {}).items())
        user = User(info.username, info.uid, tuple(info.groups or ()), tuple(extra))
        return _TokenUser(authenticated(user))


def bearer_token(headers: Headers) -> str | None:
    """Return the token of a request, None if it presents none.

    Raises BadCredential for any other Authorization header. Go ignores other schemes and takes
    such a caller for anonymous; but a caller who presents a credential does not mean to be that.
    """
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        raise BadCredential("two Authorization headers")
    scheme, _, token = values[0].strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token or b" " in token:
        raise BadCredential("the Authorization header holds no bearer token")
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise BadCredential("the bearer token is too long or not ASCII")
    return token.decode()
