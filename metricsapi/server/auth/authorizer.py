"""What a caller may do: SubjectAccessReview, cached; only an answer allows anything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from metricsapi.kube.client import KubeClient
from metricsapi.server.auth.request_info import Attributes
from metricsapi.server.auth.review_cache import Answers, Observer, unobserved
from metricsapi.server.auth.reviews import review
from metricsapi.server.auth.user import MASTERS, User

PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
TTL = 10.0  # seconds, as in k8s.io/apiserver, for allowed and for denied
TIMEOUT = 10.0  # seconds


class Decision(Struct, frozen=True, gc=False):
    """An authorizer's answer; `reason` is what it tells people."""

    allowed: bool
    reason: str = ""


class _Status(Struct):
    allowed: bool = False
    denied: bool = False
    reason: str = ""


class _Review(Struct):
    status: _Status


Question = tuple[User, Attributes]


class Authorizer:
    """Decides for each user and request. `client` is where SubjectAccessReviews are created."""

    def __init__(
        self,
        client: KubeClient,
        *,
        always_allow: Iterable[str] = (),
        allowed_ttl: float = TTL,
        denied_ttl: float = TTL,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        observe: Observer = unobserved,
    ) -> None:
        """Take paths that anyone may read (`*` at the end stands for any rest), and seconds."""
        self._client = client
        self._timeout = timeout
        always = [path.removeprefix("/") for path in always_allow]
        self._open = frozenset(path for path in always if not path.endswith("*"))
        self._open_prefixes = tuple(path[:-1] for path in always if path.endswith("*"))
        self.answers = Answers(
            self._ask,
            lambda decision: decision.allowed,
            yes_ttl=allowed_ttl,
            no_ttl=denied_ttl,
            clock=clock,
            observe=observe,
        )

    def is_open(self, attributes: Attributes) -> bool:
        """Tell whether anyone may ask for this, without a review."""
        if attributes.resource:
            return False
        path = attributes.path.removeprefix("/")
        return path in self._open or path.startswith(self._open_prefixes)

    def known(self, user: User, attributes: Attributes) -> Decision | None:
        """Decide without asking anyone, or give None."""
        if MASTERS in user.groups or self.is_open(attributes):
            return _YES
        return self.answers.known((user, attributes))

    async def decide(self, user: User, attributes: Attributes) -> Decision:
        """Decide, asking the API server if need be. Raises ReviewError when it does not answer."""
        return self.known(user, attributes) or await self.answers.get((user, attributes))

    async def _ask(self, question: Question) -> Decision:
        user, attributes = question
        status = await review(
            self._client,
            PATH,
            "SubjectAccessReview",
            {**attributes.review(), **user.review()},
            _Review,
            self._timeout,
        )
        allowed = status.status.allowed and not status.status.denied
        return Decision(allowed, status.status.reason)


_YES = Decision(allowed=True)
