"""Whole lists of one resource, page after page."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import InvalidResponse
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.kube.watch import Page, Resource, decode_page

T = TypeVar("T")

PAGE = 500  # objects a list request
LIST_TIMEOUT = 60.0  # seconds for one page
# Bytes of a page from which on it is decoded in a thread, since it may take a second: some API
# servers ignore `limit`.
LARGE = 4 * 2**20
MOST_PAGES = 10_000  # of a list, which ends before that or never


async def list_all(
    client: KubeClient, resource: Resource[T], *, progress: Progress = unobserved
) -> Page[T]:
    """Return a whole list as one page; `progress` is called for each page that came.

    Raises as `KubeClient.request` does, and InvalidResponse for a list without an end or a version.
    """
    whole: Page[T] = Page([], "", "")
    tokens: set[str] = set()
    token = ""
    while True:
        params: dict[str, str | int] = {**resource.params, "limit": PAGE}
        if token:
            params["continue"] = token
        body = await client.request(
            "GET",
            resource.path,
            params=params,
            accept=resource.accept_list,
            timeout=LIST_TIMEOUT,
        )
        progress()
        page = await _decoded(resource, body)
        whole.items.extend(page.items)
        whole = replace(page, items=whole.items, skipped=whole.skipped + page.skipped)
        if not page.next:
            break
        if page.next in tokens or len(tokens) == MOST_PAGES:
            raise InvalidResponse(f"the list of {resource.name} does not end")
        token = page.next
        tokens.add(token)
    if not whole.resource_version:  # such as a Status, or another service's JSON
        raise InvalidResponse(f"the list of {resource.name} has no resourceVersion")
    return whole


async def _decoded(resource: Resource[T], body: bytes) -> Page[T]:
    if len(body) < LARGE:
        return decode_page(resource, body)
    return await asyncio.to_thread(decode_page, resource, body, one_by_one=True)
