"""Creates a TokenReview or SubjectAccessReview at the API server."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import UNDECODABLE, KubeError

LARGEST = 4 * 2**20  # bytes of a review; kube-apiserver takes requests of 3 MiB
_TOKEN_BEGIN = 8  # characters by which a token is known in a text that may have cut it


class ReviewError(Exception):
    """The API server sent no review, or one that cannot be decoded; the text has no token."""


async def create_review(
    client: KubeClient, path: str, kind: str, spec: dict[str, Any], review: Any, timeout: float
) -> Any:
    """Create a review object; return the API server's version of it, decoded as type `review`.

    Raises ReviewError. The whole takes at most `timeout` seconds; httpx's bounds are for each step.
    """
    group_version = path.removeprefix("/apis/").rpartition("/")[0]
    body = {"apiVersion": group_version, "kind": kind, "metadata": {}, "spec": spec}
    try:
        async with asyncio.timeout(timeout):
            answer = await client.request("POST", path, body=body, timeout=timeout, largest=LARGEST)
        return msgspec.json.decode(answer, type=review)
    except TimeoutError:
        raise ReviewError(f"{kind}: no answer within {timeout:g} s") from None
    except KubeError as error:
        raise ReviewError(f"{kind}: {_without(spec.get('token', ''), str(error))}") from None
    except UNDECODABLE as error:
        raise ReviewError(f"{kind}: the answer is none: {error}") from error


def _without(token: str, text: str) -> str:
    """Return a text up to where a server repeats the token that it was sent."""
    begin, repeated, _ = text.partition(token[:_TOKEN_BEGIN]) if token else (text, "", "")
    return f"{begin}[token]" if repeated else begin
