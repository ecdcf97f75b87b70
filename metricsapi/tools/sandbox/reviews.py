"""TokenReview and the access reviews, as kube-apiserver serves them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metricsapi.tools.sandbox.bodies import body
from metricsapi.tools.sandbox.rbac import Attributes, User, allowed, rules_for
from metricsapi.tools.sandbox.record import Object
from metricsapi.tools.sandbox.responses import json_response, status
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.users import AUDIENCE, Users

_AUTHENTICATION = "/apis/authentication.k8s.io/v1"
_AUTHORIZATION = "/apis/authorization.k8s.io/v1"


class Reviews:
    """The handlers of reviews, by the cluster's own users and rules.

    The user of the request is in `request.state.user`.
    """

    def __init__(self, cluster: Cluster, users: Users) -> None:
        self._cluster = cluster
        self._users = users

    def routes(self) -> list[Route]:
        handlers = {
            f"{_AUTHENTICATION}/tokenreviews": self._token,
            f"{_AUTHENTICATION}/selfsubjectreviews": self._self,
            f"{_AUTHORIZATION}/subjectaccessreviews": self._access,
            f"{_AUTHORIZATION}/selfsubjectaccessreviews": self._self_access,
            f"{_AUTHORIZATION}/selfsubjectrulesreviews": self._self_rules,
            _AUTHORIZATION + "/namespaces/{namespace}/localsubjectaccessreviews": self._access,
        }
        return [
            Route(path, _reading(handle), methods=["POST"]) for path, handle in handlers.items()
        ]

    def _token(self, _: Request, review: Object) -> Object | Response:
        """Return the user of a token, and the requested audiences for which it is valid."""
        spec = review["spec"]
        if not spec.get("token"):
            return _invalid("TokenReview", "spec.token: Required value")
        user = self._users.tokens.get(spec["token"])
        requested = spec.get("audiences") or [AUDIENCE]
        own = self._users.audiences.get(spec["token"], (AUDIENCE,))
        good = [audience for audience in requested if audience in own]
        if user is None:
            outcome: Object = {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        elif not good:
            error = f"token audiences are not among the requested ones: {requested}"
            outcome = {"authenticated": False, "user": {}, "error": error}
        else:
            outcome = {"authenticated": True, "user": _user_info(user), "audiences": good}
        return {"status": outcome}

    def _self(self, request: Request, _: Object) -> Object:
        return {"status": {"userInfo": _user_info(request.state.user)}}

    def _access(self, request: Request, review: Object) -> Object | Response:
        spec = review["spec"]
        if not spec.get("user") and not spec.get("groups"):
            return _invalid(
                review.get("kind", ""),
                'spec.user: Invalid value: "": at least one of user or group must be specified',
            )
        user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""))
        return self._decision(request, review, user)

    def _self_access(self, request: Request, review: Object) -> Object | Response:
        return self._decision(request, review, request.state.user)

    def _decision(self, request: Request, review: Object, user: User) -> Object | Response:
        spec, kind = review["spec"], review.get("kind", "")
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if bool(resource) == bool(path):
            rule = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            return _invalid(kind, f"spec.resourceAttributes: Invalid value: {rule}")
        if resource:
            names = ("verb", "group", "resource", "subresource", "namespace", "name")
            attributes = Attributes(**{name: resource.get(name) or "" for name in names})
            local = request.path_params.get("namespace")
            if local and attributes.namespace != local:
                rule = "Invalid value: must match metadata.namespace"
                return _invalid(kind, f"spec.resourceAttributes.namespace: {rule}")
        else:
            attributes = Attributes(path.get("verb", ""), path=path.get("path", ""))
        if allowed(self._cluster, user, attributes):
            return {"status": {"allowed": True, "reason": "RBAC: allowed"}}
        return {"status": {"allowed": False}}

    def _self_rules(self, request: Request, review: Object) -> Object:
        user: User = request.state.user
        namespace = review["spec"].get("namespace", "")
        rules = rules_for(self._cluster, user, namespace)
        return {
            "status": {
                "resourceRules": [rule for rule in rules if rule.get("resources")],
                "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
                "incomplete": False,
            }
        }


def _reading(handle: Any) -> Any:
    """Return a route's handler around a function from a review to what is added to it."""

    async def handler(request: Request) -> Response:
        review = await body(request)
        if isinstance(review, Response):
            return review
        review.setdefault("spec", {})
        added = handle(request, review)
        if isinstance(added, Response):
            return added
        metadata = {"creationTimestamp": None, **review.get("metadata", {})}
        return json_response({**review, "metadata": metadata, **added}, 201)

    return handler


def _user_info(user: User) -> Object:
    return {
        "username": user.name,
        **({"uid": user.uid} if user.uid else {}),
        "groups": list(user.groups),
        **({"extra": {key: [value] for key, value in user.extra}} if user.extra else {}),
    }


def _invalid(kind: str, problem: str) -> Response:
    return status(422, f'{kind} "" is invalid: {problem}')
