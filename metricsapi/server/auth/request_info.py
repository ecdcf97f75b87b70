"""Parses a request into the terms of RBAC, as k8s.io/apiserver's RequestInfo.

kube-apiserver's parsing of a path decides what an administrator can grant, so ours is the
same, rule by rule; the one exception is the singular `namespace/NS/pods/NAME`, which is the pod.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from metricsapi.api.asgi import QueryString
from metricsapi.api.status import StatusError

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_EXACT_NAME = re.compile(r"(?:^|,)metadata\.name==?([A-Za-z0-9.-]+)(?=,|$)")


class RequestInfo(Struct, frozen=True, gc=False):
    """What is to be authorized. A request for no resource has a `path` and nothing after it."""

    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def review(self) -> dict[str, Any]:
        """Return the part of a SubjectAccessReview's spec that describes the request."""
        if not self.resource:
            return {"nonResourceAttributes": {"path": self.path, "verb": self.verb}}
        fields = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
        given = {field: value for field in fields if (value := getattr(self, field))}
        return {"resourceAttributes": given}


def request_info(method: str, path: str, query: QueryString) -> RequestInfo:
    """Return what a request asks for; `path` is decoded and has passed `request_target.resolve`.

    Raises StatusError (400) for what is ambiguous.
    """
    parts = [part for part in path.split("/") if part]
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return RequestInfo(method.lower(), path)
    group = ""
    rest = parts[1:]
    if parts[0] == "apis":
        if len(parts) < 4:
            return RequestInfo(method.lower(), path)
        group, rest = parts[1], parts[2:]
    version, rest = rest[0], rest[1:]
    return _resource(group, version, rest, method, query)


def _resource(
    group: str, version: str, parts: list[str], method: str, query: QueryString
) -> RequestInfo:
    """Return the info of a path below a version; `parts` are its segments, at least one."""
    verb, parts = _verb(method, parts)
    namespace, parts = _namespace(group, parts)
    subresource = parts[2] if len(parts) > 2 and verb != "proxy" else ""
    name = parts[1] if len(parts) > 1 else ""
    if not name and verb == "get":
        verb, name = _list_or_watch(query)
    elif not name and verb == "delete":
        verb = "deletecollection"
    return RequestInfo(verb, "", group, version, parts[0], subresource, namespace, name)


def _verb(method: str, parts: list[str]) -> tuple[str, list[str]]:
    """Return the verb, of the method or of a path with `proxy` or `watch`, and the rest."""
    if parts[0] not in ("proxy", "watch"):
        return _VERBS.get(method, ""), parts
    if len(parts) < 2:
        raise StatusError(400, "BadRequest", "unable to determine kind and namespace from url")
    return parts[0], parts[1:]


def _namespace(group: str, parts: list[str]) -> tuple[str, list[str]]:
    """Return the namespace, if there is one, and the segments from the resource on."""
    if parts[0] == "namespaces" and len(parts) > 1:
        of_the_namespace = len(parts) == 2 or parts[2] in ("status", "finalize")
        return parts[1], parts if of_the_namespace else parts[2:]
    if group == "metrics.k8s.io" and parts[0] == "namespace" and len(parts) > 2:
        return parts[1], parts[2:]
    return "", parts


def _list_or_watch(query: QueryString) -> tuple[str, str]:
    """Return the verb of a request without a name, and the name that its field selector fixes."""
    if query.repeats:
        raise StatusError(400, "BadRequest", "a query parameter is given twice")
    verb = "list" if query.get("watch", "0").lower() in ("false", "0") else "watch"
    # An escape in a selector could be read in two ways: then no name is known, and the
    # permission for the whole list is asked for.
    exact = _EXACT_NAME.search(query.get("fieldSelector"))
    return verb, exact[1] if exact and exact[1] not in (".", "..") else ""
