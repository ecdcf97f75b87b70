"""What a caller is told who may not: the very words of k8s.io/apiserver, as recorded."""

from __future__ import annotations

from metricsapi.api.status import StatusError
from metricsapi.server.auth.request_info import Attributes
from metricsapi.server.auth.user import User

UNAUTHORIZED = StatusError(401, "Unauthorized", "Unauthorized")
UNANSWERED = StatusError(
    500,
    "InternalError",
    "Internal error occurred: the API server could not be asked for permission",
)


def forbidden(user: User, attributes: Attributes, reason: str) -> StatusError:
    """Give the refusal, in the words of k8s.io/apiserver (recorded)."""
    who = f"User {quote(user.name)} cannot {attributes.verb}"
    if not attributes.resource:
        text = f"{who} path {quote(attributes.path)}"
        return StatusError(403, "Forbidden", f"forbidden: {_told(text, reason)}", {})
    resource = "/".join(filter(None, (attributes.resource, attributes.subresource)))
    text = f"{who} resource {quote(resource)} in API group {quote(attributes.group)}"
    if attributes.namespace:
        text += f" in the namespace {quote(attributes.namespace)}"
    else:
        text += " at the cluster scope"
    what = ".".join(filter(None, (attributes.resource, attributes.group)))
    named = f"{what} {quote(attributes.name)}" if attributes.name else what
    details = {
        key: value
        for key, value in (
            ("name", attributes.name),
            ("group", attributes.group),
            ("kind", attributes.resource),
        )
        if value
    }
    return StatusError(403, "Forbidden", f"{named} is forbidden: {_told(text, reason)}", details)


def _told(text: str, reason: str) -> str:
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return f"{text}: {reason}" if reason else text


def quote(text: str) -> str:
    """Quote as Go's `%q`: what cannot be printed is escaped."""
    return '"' + "".join(_QUOTED.get(sign) or _printable(sign) for sign in text) + '"'


def _printable(sign: str) -> str:
    if sign.isprintable():
        return sign
    code = ord(sign)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_QUOTED = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
