"""Authorizes requests by SubjectAccessReview, cached. Only an allowed review allows anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from metricsapi.config.authentication import AuthorizationSettings
from metricsapi.kube.client import KubeClient
from metricsapi.server.auth.request_info import RequestInfo
from metricsapi.server.auth.review_cache import Observer, ReviewCache, unobserved
from metricsapi.server.auth.reviews import create_review
from metricsapi.server.auth.user import MASTERS, User

PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
TIMEOUT = 10.0  # seconds


class Decision(Struct, frozen=True, gc=False):
    """An authorizer's decision; `reason` is for people to read."""

    allowed: bool
    reason: str = ""


class _Status(Struct):
    allowed: bool = False
    denied: bool = False
    reason: str = ""


class _Review(Struct, tag_field="kind", tag="SubjectAccessReview"):
    status: _Status


Subject = tuple[User, RequestInfo]


class Authorizer:
    """Decides for each user and request. `client` is where SubjectAccessReviews are created."""

    def __init__(
        self,
        client: KubeClient,
        *,
        always_allow: Iterable[str] = (),
        allowed_ttl: float = AuthorizationSettings.authorized_ttl,
        denied_ttl: float = AuthorizationSettings.unauthorized_ttl,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = unobserved,
    ) -> None:
        """Allow everyone these paths, in which a final `*` is any rest. Times are in seconds."""
        self._client = client
        self._timeout = timeout
        always = [path.removeprefix("/") for path in always_allow]
        self._open = frozenset(path for path in always if not path.endswith("*"))
        self._open_prefixes = tuple(path[:-1] for path in always if path.endswith("*"))
        self.cache = ReviewCache(
            self._review,
            lambda decision: decision.allowed,
            allowed_ttl=allowed_ttl,
            denied_ttl=denied_ttl,
            clock=clock,
            observe=observe,
        )

    def is_open(self, info: RequestInfo) -> bool:
        """Return whether everyone may make this request, without a review."""
        if info.resource:
            return False
        path = info.path.removeprefix("/")
        return path in self._open or path.startswith(self._open_prefixes)

    def decide_locally(self, user: User, info: RequestInfo) -> Decision | None:
        """Decide by group, path or cache, without the API server; None where that is not enough."""
        if MASTERS in user.groups or self.is_open(info):
            return _ALLOWED
        return self.cache.cached((user, info))

    async def decide(self, user: User, info: RequestInfo) -> Decision:
        """Decide, by a review of the API server where needed. Raises ReviewError without one."""
        return self.decide_locally(user, info) or await self.cache.get((user, info))

    async def _review(self, subject: Subject) -> Decision:
        user, info = subject
        review: _Review = await create_review(
            self._client,
            PATH,
            "SubjectAccessReview",
            {**info.review(), **user.review()},
            _Review,
            self._timeout,
        )
        status = review.status
        return Decision(status.allowed and not status.denied, status.reason)


_ALLOWED = Decision(allowed=True)
