"""Creates a TokenReview or SubjectAccessReview at the API server."""

from __future__ import annotations

import asyncio
from typing import Any

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import KubeError


class ReviewError(Exception):
    """The API server sent no review, or one that cannot be decoded."""


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
            return await client.request_json("POST", path, review, body=body, timeout=timeout)
    except TimeoutError:
        raise ReviewError(f"{kind}: no answer within {timeout:g} s") from None
    except KubeError as error:
        raise ReviewError(f"{kind}: {error}") from error
