"""Request framing: what two readers could understand differently is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metricsapi.server.http.refusal import body_too_large, malformed

Headers = Sequence[tuple[bytes, bytes]]


def check_framing(parser: Any, headers: Headers, body_bytes: int) -> None:
    """Refuse what does not say unambiguously where it ends and whom it is for (RFC 9112).

    Raises Refused.
    """
    if parser.should_upgrade():
        raise malformed("no other protocol is spoken here")
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise malformed("HTTP/1.1 is spoken here")
    hosts = _values(headers, b"host")
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise malformed("one Host header is needed")
    codings = _values(headers, b"transfer-encoding")
    lengths = _values(headers, b"content-length")
    if codings:
        if lengths or version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]:
            raise malformed("the length of the body is not clear")
    elif lengths:
        _check_length(lengths, body_bytes)


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip() for key, value in headers if key == name]


def _check_length(lengths: Sequence[bytes], body_bytes: int) -> None:
    length = lengths[0]
    if len(lengths) > 1 or not length.isdigit():
        raise malformed("the length of the body is not clear")
    if len(length) > 18 or int(length) > body_bytes:
        raise body_too_large()
