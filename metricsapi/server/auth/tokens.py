"""Bearer tokens, which only the API server can judge: TokenReview, cached."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from metricsapi.kube.client import KubeClient
from metricsapi.server.auth.review_cache import Answers, Observer, unobserved
from metricsapi.server.auth.reviews import review
from metricsapi.server.auth.user import User, authenticated

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
TTL = 10.0  # seconds
TIMEOUT = 10.0  # seconds
_LONGEST = 32768  # characters of a token; real ones are below 4,000

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


class _Review(Struct):
    status: _Status


class _Verdict(Struct, frozen=True):
    user: User | None


class _Token:
    """A token as a question: equal by its digest, so that no cache and no log holds tokens."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha256(text.encode()).digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Token) and self.digest == other.digest


class TokenReviewer:
    """Tells whose a token is. `client` is where TokenReviews are created.

    With `audiences`, a token must be meant for one of them, and the API server must say so.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        audiences: Iterable[str] = (),
        ttl: float = TTL,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = unobserved,
    ) -> None:
        self._client = client
        self._audiences = list(audiences)
        self._timeout = timeout
        self.answers = Answers(
            self._ask,
            lambda verdict: verdict.user is not None,
            yes_ttl=ttl,
            no_ttl=ttl,
            clock=clock,
            observe=observe,
        )

    async def user_of(self, token: str) -> User | None:
        """Give the user, or None for a token that is not valid. Raises ReviewError."""
        return (await self.answers.get(_Token(token))).user

    async def _ask(self, token: _Token) -> _Verdict:
        spec: dict[str, object] = {"token": token.text}
        token.text = ""  # from here on it lives only in the request
        if self._audiences:
            spec["audiences"] = self._audiences
        answer = await review(self._client, PATH, "TokenReview", spec, _Review, self._timeout)
        status: _Status = answer.status
        info = status.user
        if not status.authenticated or info is None or not info.username:
            return _Verdict(None)
        if self._audiences and set(self._audiences).isdisjoint(status.audiences or ()):
            return _Verdict(None)
        extra = sorted((key, tuple(values)) for key, values in (info.extra or {}).items())
        user = User(info.username, info.uid, tuple(info.groups or ()), tuple(extra))
        return _Verdict(authenticated(user))


def bearer_token(headers: Headers) -> str | None:
    """Give the token of a request, None if it presents none.

    Raises BadCredential for any other Authorization header. Go overlooks other schemes and takes
    such a caller for anonymous; but who presents a credential wants to be someone.
    """
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        return None
    if len(found) > 1:
        raise BadCredential("two Authorization headers")
    scheme, _, token = found[0].strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token or b" " in token:
        raise BadCredential("the Authorization header holds no bearer token")
    if len(token) > _LONGEST or not token.isascii():
        raise BadCredential("the bearer token is too long or not ASCII")
    return token.decode()
