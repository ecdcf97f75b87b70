"""Kubernetes `Status`: the only place that turns errors into HTTP responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from metricsapi.api.asgi import accept_of, header_of, query_of
from metricsapi.api.render.negotiation import (
    AVAILABLE,
    JSON,
    PROTOBUF,
    negotiate,
    pretty_option,
    wants_pretty,
)
from metricsapi.api.render.protobuf import list_meta, message, number, string, whole
from metricsapi.api.render.yaml import yaml_text

CACHE_CONTROL = (b"cache-control", b"no-cache, private")
Headers = list[tuple[bytes, bytes]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class StatusError(Exception):
    """A request that ends in a Kubernetes `Status` other than success.

    `code` is the HTTP status, `reason` a machine-readable CamelCase word of the API conventions,
    `message` what a person reads, `details` the `Status.details` object or None to leave it out.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return the `Status` object in the field order of the Go API server."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    def json(self) -> bytes:
        """Return the `Status` as a JSON line, as the Go API server writes it."""
        return msgspec.json.encode(self.body()) + b"\n"

    def protobuf(self) -> bytes:
        """Return the `Status` as it is sent in protobuf."""
        fields = [
            message(1, list_meta()),
            string(2, "Failure"),
            string(3, self.message),
            string(4, self.reason),
        ]
        if self.details is not None:
            fields.append(message(5, _details(self.details)))
        fields.append(number(6, self.code))
        return whole("v1", "Status", b"".join(fields))


def bad_request(text: str) -> StatusError:
    """Return the 400 of a request that cannot be read."""
    return StatusError(400, "BadRequest", text)


def no_such_resource() -> StatusError:
    """Return the 404 of an unknown path below our group."""
    text = "the server could not find the requested resource"
    return StatusError(404, "NotFound", text, {})


def no_such_method(headers: Mapping[str, str] | None = None) -> StatusError:
    """Return the 405 of a path that has no such method."""
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text, {}, headers)


def not_acceptable() -> StatusError:
    """Return the 406 of a request that accepts none of our representations."""
    text = "406: Not Acceptable\n\nAvailable representations: " + ", ".join(AVAILABLE)
    return StatusError(406, "NotAcceptable", text, {})


def status_answer(
    error: StatusError, accept: str = "", *, pretty: bool = False
) -> tuple[Headers, bytes]:
    """Return headers and body of a `Status` in the representation that `accept` asks for.

    Where none of ours is accepted, it is indented JSON, as the Go API server does; only a 403
    carries `nosniff`, as recorded.
    """
    content_type, body = _represent(error, accept, pretty=pretty)
    headers: Headers = [
        CACHE_CONTROL,
        (b"content-type", content_type.encode()),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in error.headers.items()),
    ]
    if error.code == 403:
        headers.append((b"x-content-type-options", b"nosniff"))
    return headers, body


def answer_to(scope: Any, error: StatusError) -> tuple[Headers, bytes]:
    """Return headers and body of a `Status` for an ASGI request, as the request asks for it."""
    pretty = wants_pretty(pretty_option(query_of(scope)), header_of(scope, b"user-agent"))
    return status_answer(error, accept_of(scope), pretty=pretty)


async def send_status(scope: Any, send: Send, error: StatusError) -> None:
    """Respond to an ASGI request with a `Status`."""
    headers, body = answer_to(scope, error)
    await send({"type": "http.response.start", "status": error.code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _represent(error: StatusError, accept: str, *, pretty: bool) -> tuple[str, bytes]:
    media = negotiate(accept)
    if media is not None and media.type == PROTOBUF:
        return PROTOBUF, error.protobuf()
    text = error.json()
    if media is None or (media.type == JSON and (pretty or media.pretty)):
        return JSON, msgspec.json.format(text, indent=2).rstrip()
    if media.type == JSON:
        return JSON, text
    return media.type, yaml_text(error.body())


def _details(details: dict[str, Any]) -> bytes:
    """Encode `StatusDetails`; `details` has its JSON names."""
    causes = [
        message(
            4, string(1, cause["reason"]) + string(2, cause["message"]) + string(3, cause["field"])
        )
        for cause in details.get("causes", ())
    ]
    return b"".join((
        string(1, details.get("name", "")),
        string(2, details.get("group", "")),
        string(3, details.get("kind", "")),
        *causes,
        number(5, details.get("retryAfterSeconds", 0)),
        string(6, details.get("uid", "")),
    ))  # fmt: skip
