"""TokenReview and the access reviews, answered by the cluster's own users and rules."""

from __future__ import annotations

from typing import Any

from metricsapi.sandbox.rbac import Attributes, User, allowed
from metricsapi.sandbox.state import Cluster

Object = dict[str, Any]


def token_review(review: Object, users: dict[str, User]) -> Object:
    """Answer whose token it is. A token is good for the audience of the API server."""
    user = users.get(review.get("spec", {}).get("token", ""))
    if user is None:
        return {**review, "status": {"authenticated": False, "error": "invalid bearer token"}}
    asked = review["spec"].get("audiences") or ["https://kubernetes.default.svc"]
    told = {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: [value] for key, value in user.extra},
    }
    return {**review, "status": {"authenticated": True, "user": told, "audiences": asked}}


def access_review(review: Object, cluster: Cluster, user: User) -> Object:
    """Answer whether a user may do what the review's spec says."""
    spec = review.get("spec", {})
    if resource := spec.get("resourceAttributes"):
        asked = Attributes(
            resource.get("verb", ""),
            resource.get("group", ""),
            resource.get("resource", ""),
            resource.get("subresource", ""),
            resource.get("namespace", ""),
            resource.get("name", ""),
        )
    else:
        path = spec.get("nonResourceAttributes", {})
        asked = Attributes(path.get("verb", ""), path=path.get("path", "/"))
    return {**review, "status": {"allowed": allowed(cluster, user, asked)}}


def subject_of(review: Object) -> User:
    """Give the user that a SubjectAccessReview is about."""
    spec = review.get("spec", {})
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
