"""Asking the API server for a review: of a token, or of what someone may do."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import KubeError


class ReviewError(Exception):
    """The API server did not answer a review, or not in a way that can be understood."""


async def review(
    client: KubeClient, path: str, kind: str, spec: dict[str, Any], answer: Any, timeout: float
) -> Any:
    """Create a review object and decode what the API server says. Raises ReviewError.

    The whole takes at most `timeout` seconds: httpx's own bounds are for each step.
    """
    group_version = path.removeprefix("/apis/").rpartition("/")[0]
    body = {"apiVersion": group_version, "kind": kind, "metadata": {}, "spec": spec}
    try:
        async with asyncio.timeout(timeout):
            text = await client.request("POST", path, body=body, timeout=timeout)
        return msgspec.json.decode(text, type=answer)
    except TimeoutError:
        raise ReviewError(f"{kind}: no answer within {timeout:g} s") from None
    except (KubeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"{kind}: {error}") from error
