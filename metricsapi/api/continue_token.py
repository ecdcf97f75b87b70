"""`continue` tokens: where the next page of a list begins.

Each page shows what is current when it is requested: nothing is kept between pages, so a token
never expires. Since lists are sorted, an object that exists all the time is on exactly one page.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from metricsapi.api.status import bad_request

_VERSION = "metrics.k8s.io/1"


def make_token(resource: str, namespace: str | None, after: tuple[str, str]) -> str:
    """Return the token of the page after the key `after` in a list of one or all namespaces."""
    content = msgspec.json.encode([_VERSION, resource, namespace, *after])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def read_token(token: str, resource: str, namespace: str | None) -> tuple[str, str]:
    """Return the key after which a page begins; raises StatusError 400 for another list's token."""
    try:
        padded = token.encode() + b"=" * (-len(token) % 4)
        content: Any = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise bad_request("invalid continue token: it is not one of this server") from None
    match content:
        case [str(version), str(kind), str() | None as scope, str(in_namespace), str(name)]:
            if (version, kind, scope) != (_VERSION, resource, namespace):
                raise bad_request("invalid continue token: it belongs to another list")
            return in_namespace, name
    raise bad_request("invalid continue token: it is not one of this server")
