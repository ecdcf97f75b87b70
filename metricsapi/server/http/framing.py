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
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise malformed("one Host header is needed")
    codings = names.count(b"transfer-encoding")
    lengths = names.count(b"content-length")
    if codings:
        coding = dict(headers)[b"transfer-encoding"].strip().lower()
        if codings > 1 or lengths or coding != b"chunked" or version == "1.0":
            raise malformed("the length of the body is not clear")
    elif lengths:
        length = dict(headers)[b"content-length"].strip()
        if lengths > 1 or not length.isdigit():
            raise malformed("the length of the body is not clear")
        if len(length) > 18 or int(length) > body_bytes:
            raise body_too_large()
