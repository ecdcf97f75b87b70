"""Where a request ends and whom it is for: refused is what two readers could take differently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metricsapi.api.status import StatusError

Headers = Sequence[tuple[bytes, bytes]]


class Refused(Exception):
    """Ends the parsing of a connection; with `status` None there is nothing to answer."""

    def __init__(self, status: StatusError | None) -> None:
        super().__init__()
        self.status = status


def bad(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def too_large(what: str) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"the {what} is too large")


HEADERS_TOO_LARGE = StatusError(
    431, "RequestHeaderFieldsTooLarge", "the request's headers are too large or too many"
)


def check_framing(parser: Any, headers: Headers, body_bytes: int) -> None:
    """Refuse what does not say in one way where it ends and whom it is for (RFC 9112)."""
    if parser.should_upgrade():
        raise Refused(bad("no other protocol is spoken here"))
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise Refused(bad("HTTP/1.1 is spoken here"))
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise Refused(bad("one Host header is needed"))
    codings = names.count(b"transfer-encoding")
    lengths = names.count(b"content-length")
    if codings:
        coding = dict(headers)[b"transfer-encoding"].strip().lower()
        if codings > 1 or lengths or coding != b"chunked" or version == "1.0":
            raise Refused(bad("the length of the body is not clear"))
    elif lengths:
        length = dict(headers)[b"content-length"].strip()
        if lengths > 1 or not length.isdigit():
            raise Refused(bad("the length of the body is not clear"))
        if len(length) > 18 or int(length) > body_bytes:
            raise Refused(too_large("body"))
