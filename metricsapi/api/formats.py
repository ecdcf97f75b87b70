"""Which of a few plain formats a caller of /statusz or /flagz wants."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from metricsapi.api.render.negotiation import negotiate


def choose(request: Request, kinds: Mapping[str, str]) -> str | None:
    """Return the key of `kinds` (name to media type, the default first) that is wanted.

    `?format=` wins over `Accept`; None if nothing that is accepted is here.
    """
    named = request.query_params.get("format")
    if named is not None:
        return named if named in kinds else None
    found = negotiate(request.headers.get("accept", ""), available=tuple(kinds.values()))
    return next((name for name, kind in kinds.items() if found and kind == found.type), None)
