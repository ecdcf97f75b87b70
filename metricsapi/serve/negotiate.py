"""Which of a few plain formats a caller of /statusz or /flagz wants."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request


def choose(request: Request, kinds: Mapping[str, str]) -> str | None:
    """Return the key of `kinds` (name to media type, the default first) that is wanted.

    `?format=` wins over `Accept`; None if nothing that is accepted is here.
    """
    named = request.query_params.get("format")
    if named is not None:
        return named if named in kinds else None
    best, best_rank = None, (0.0, 0)
    for part in (request.headers.get("accept") or "*/*").split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = _quality(parameters)
        for name, kind in kinds.items():
            exactness = _exactness(media.lower(), kind)
            # The caller's first choice among equals wins, and a name wins over a wildcard.
            if exactness and quality and (quality, exactness) > best_rank:
                best, best_rank = name, (quality, exactness)
    return best


def _exactness(media: str, kind: str) -> int:
    if media == kind:
        return 3
    if media == kind.partition("/")[0] + "/*":
        return 2
    return 1 if media == "*/*" else 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0
