"""The `Status` of refused requests, 401, 403 and 500, in the words of k8s.io/apiserver."""

from __future__ import annotations

from metricsapi.api.status import StatusError
from metricsapi.kube.quoting import quoted
from metricsapi.server.auth.request_info import RequestInfo
from metricsapi.server.auth.user import User

UNAUTHORIZED = StatusError(401, "Unauthorized", "Unauthorized")
REVIEW_FAILED = StatusError(
    500,
    "InternalError",
    "Internal error occurred: the API server could not be asked for permission",
)


def forbidden(user: User, info: RequestInfo, reason: str) -> StatusError:
    """Return the 403 for a user and a request; `reason` is the authorizer's, "" for none."""
    who = f"User {quoted(user.name)} cannot {info.verb}"
    if not info.resource:
        text = f"{who} path {quoted(info.path)}"
        return StatusError(403, "Forbidden", f"forbidden: {_with_reason(text, reason)}", {})
    resource = "/".join(filter(None, (info.resource, info.subresource)))
    text = f"{who} resource {quoted(resource)} in API group {quoted(info.group)}"
    if info.namespace:
        text += f" in the namespace {quoted(info.namespace)}"
    else:
        text += " at the cluster scope"
    what = ".".join(filter(None, (info.resource, info.group)))
    named = f"{what} {quoted(info.name)}" if info.name else what
    details = {
        key: value
        for key, value in (
            ("name", info.name),
            ("group", info.group),
            ("kind", info.resource),
        )
        if value
    }
    return StatusError(
        403, "Forbidden", f"{named} is forbidden: {_with_reason(text, reason)}", details
    )


def _with_reason(text: str, reason: str) -> str:
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return f"{text}: {reason}" if reason else text
