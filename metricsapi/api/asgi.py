"""What handlers and middleware read of an ASGI request: headers, and the query, parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

CACHEABLE = 512  # bytes of a query whose meaning may be cached: many long ones would fill memory
LONGEST_ACCEPT = 4096  # characters


class QueryString:
    """The parameters of a query string, parsed at the first use.

    Equal when their bytes are, so what a query means can be cached by the query itself.
    """

    def __init__(self, raw: bytes) -> None:
        """Take the bytes between `?` and the end of the target."""
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QueryString) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def cacheable(self) -> bool:
        """Whether a cache may keep this query: see `CACHEABLE`."""
        return len(self.raw) <= CACHEABLE

    @property
    def repeats(self) -> bool:
        """Whether a parameter is given twice: Go takes the first value, others the last."""
        return any(len(values) > 1 for values in self._values.values())

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter, as Go does."""
        values = self._values.get(name)
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter, in their order."""
        return self._values.get(name, [])

    @cached_property
    def _values(self) -> Mapping[str, list[str]]:
        values: dict[str, list[str]] = {}
        if self.raw:
            for name, value in parse_qsl(self.raw.decode("latin-1"), keep_blank_values=True):
                values.setdefault(name, []).append(value)
        return values


def query_of(scope: Any) -> QueryString:
    """Return the query of an ASGI request: the same object for all callers during the request."""
    state = scope.setdefault("state", {})
    query: QueryString | None = state.get("query")
    if query is None:
        query = state["query"] = QueryString(scope["query_string"])
    return query


def user_of(scope: Any) -> str:
    """Return the name of the authenticated user of an ASGI request; "" where nothing authenticates.

    The authentication middleware puts the user into the request's state.
    """
    user = scope["state"].get("user")
    return user.name if user is not None else ""


def header_of(scope: Any, name: bytes) -> str:
    """Return the first value of a header, as Go does; "" without one. `name` is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def accept_of(scope: Any) -> str:
    """Return the `Accept` header, cut to its first clauses if it is longer than `LONGEST_ACCEPT`.

    Parsing a header of 1 MiB, which any client may send, took two seconds.
    """
    accept = header_of(scope, b"accept")
    return accept if len(accept) <= LONGEST_ACCEPT else accept[:LONGEST_ACCEPT].rpartition(",")[0]
