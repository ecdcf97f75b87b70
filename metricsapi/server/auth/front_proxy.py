"""The user that the front proxy names in headers, once its certificate is verified."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from metricsapi.server.auth.configuration import FrontProxy
from metricsapi.server.auth.user import User, authenticated

Headers = Iterable[tuple[bytes, bytes]]
_CACHED = 1024  # users; a cluster has few, and the headers of each are the same every time


class BadIdentity(ValueError):
    """The headers do not name one user."""


class HeaderReader:
    """Read identity headers by the rules of one `FrontProxy`; names are compared in lower case."""

    def __init__(self, rules: FrontProxy) -> None:
        self._user = tuple(name.encode() for name in rules.username_headers)
        self._uid = tuple(name.encode() for name in rules.uid_headers)
        self._groups = tuple(name.encode() for name in rules.group_headers)
        self._extra = tuple(prefix.encode() for prefix in rules.extra_prefixes)
        self._names = frozenset((*self._user, *self._uid, *self._groups))
        self._user_of = lru_cache(_CACHED)(self._decode)

    def read(self, headers: Headers) -> User | None:
        """Return the user, or None when the headers name none. Raises BadIdentity."""
        names, prefixes = self._names, self._extra
        identity = [pair for pair in headers if pair[0] in names or pair[0].startswith(prefixes)]
        return self._user_of(tuple(identity))

    def _decode(self, identity: tuple[tuple[bytes, bytes], ...]) -> User | None:
        name = _single(identity, self._user)
        if not name:
            return None
        groups = [_text(v) for wanted in self._groups for n, v in identity if n == wanted and v]
        extra: dict[str, list[str]] = {}
        for prefix in self._extra:
            for header, value in identity:
                if header.startswith(prefix):
                    key = _unescape(header[len(prefix) :].lower())
                    extra.setdefault(key, []).append(_text(value))
        return authenticated(
            User(
                name,
                _single(identity, self._uid),
                tuple(groups),
                tuple(sorted((key, tuple(values)) for key, values in extra.items())),
            )
        )


def _single(identity: Headers, names: tuple[bytes, ...]) -> str:
    """Return the value of the first of these headers that has one.

    Go takes the first of several lines with one name. An honest proxy sends one, so several are
    refused.
    """
    for wanted in names:
        values = [value for name, value in identity if name == wanted]
        if len(values) > 1:
            raise BadIdentity(f"{len(values)} headers {wanted.decode()}")
        if values and values[0]:
            return _text(values[0])
    return ""


def _unescape(key: bytes) -> str:
    """Undo percent-encoding; a key that is not well encoded is taken as it is, as in Go."""
    escapes = key.split(b"%")[1:]
    hexadecimal = b"0123456789abcdefABCDEF"
    if all(len(e) >= 2 and e[0] in hexadecimal and e[1] in hexadecimal for e in escapes):
        key = unquote_to_bytes(key)
    return _text(key)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadIdentity("an identity header is not UTF-8") from error
