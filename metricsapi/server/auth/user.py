"""The user of a request."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


class User(Struct, frozen=True, gc=False):
    """A user as Kubernetes describes it. `extra` is sorted by key; keys are lower case."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def review(self) -> dict[str, Any]:
        """Return the part of a SubjectAccessReview's spec that describes the user."""
        spec: dict[str, Any] = {"user": self.name, "groups": list(self.groups)}
        if self.uid:
            spec["uid"] = self.uid
        if self.extra:
            spec["extra"] = {key: list(values) for key, values in self.extra}
        return spec


ANONYMOUS = User("system:anonymous", groups=(UNAUTHENTICATED,))


def authenticated(user: User) -> User:
    """Add `system:authenticated`, as k8s.io/apiserver does for every user but the anonymous one."""
    if user.name == ANONYMOUS.name or not {AUTHENTICATED, UNAUTHENTICATED}.isdisjoint(user.groups):
        return user
    return User(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra)
