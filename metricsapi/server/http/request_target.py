"""What a request's target means, decided once, before authorization and routing look at it.

If two readers understood one target differently, a permission for one resource could open another.
So an ambiguous target is refused, and all others are normalized.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

# The usual: segments of plain characters that do not begin with a dot, then maybe a query.
_SIGNS = rb"A-Za-z0-9_~:@!$&'()*+,;="
_PLAIN = re.compile(rb"(?:/[%s-][%s.-]*)+(?:\?[!\"$-~]*)?" % (_SIGNS, _SIGNS))
_VISIBLE = re.compile(rb"[!-\"$-~]+")  # printable ASCII without `#`
_ABSOLUTE = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class BadTarget(ValueError):
    """The target is not well-formed, or could be read in more than one way."""


def resolve(target: bytes) -> bytes:
    """Return the origin form (path and query) that a target stands for.

    The absolute form (RFC 9112 3.2.2) loses its authority, and one slash at the end is dropped,
    as Kubernetes does. Raises BadTarget for what is no path, for escapes that are malformed,
    not UTF-8, or hide a slash, a backslash or a control character, and for segments that are
    empty, `.` or `..`.
    """
    if _PLAIN.fullmatch(target):
        return target
    if not _VISIBLE.fullmatch(target):
        raise BadTarget("a character that is not allowed in a request target")
    if absolute := _ABSOLUTE.match(target):
        rest = target[absolute.end() :]
        target = rest if rest.startswith(b"/") else b"/" + rest
    path, mark, query = target.partition(b"?")
    if not path.startswith(b"/"):
        raise BadTarget("a request target must be a path")
    return _path(path) + mark + query


def _path(path: bytes) -> bytes:
    if path == b"/":
        return path
    if _ESCAPE.search(path):
        raise BadTarget("a malformed percent-encoding in the path")
    path = path.removesuffix(b"/")
    for segment in path[1:].split(b"/"):
        meant = unquote_to_bytes(segment)
        if meant in (b"", b".", b".."):
            raise BadTarget("an empty, '.' or '..' segment in the path")
        if b"/" in meant or b"\\" in meant or _CONTROL.search(meant):
            raise BadTarget("an encoded slash, backslash or control character in the path")
        try:
            meant.decode()
        except UnicodeDecodeError:
            raise BadTarget("a path that is not UTF-8") from None
    return path
