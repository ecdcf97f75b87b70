"""One list and watch, kept current: the objects of a resource as the API server has them.

Three nested layers, each absorbing one kind of failure: `run` backs off and begins again when the
API server is away; `_list_and_watch` lists again when a version has expired; `_watch` goes on from
the last version when a watch simply ends.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import aclosing
from typing import Generic, TypeVar

import msgspec

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError, Gone, KubeError, Silent, Unreachable
from metricsapi.kube.watch import Event, Resource, decode_event, decode_page

T = TypeVar("T")
Callback = Callable[[T | None, T | None], None]

PAGE = 500  # objects a list request
SLICE = 500  # objects of a whole list that are taken in one go
WATCH_SECONDS = 300  # asked of the server; between one and two of these (client-go)
# Seconds without a word, then we list again. kube-apiserver sends a bookmark a minute, but of a
# resource that never changes only as often as etcd tells its progress: 10 minutes by default.
SILENCE = 150.0
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0

log = logging.getLogger(__name__)


class Informer(Generic[T]):
    """The current objects of one resource, by key.

    `objects` is read freely and never changed by readers. `synced` is set from the first whole
    list on. While the API server is away the last known objects stay, and `error` says why.
    """

    def __init__(
        self, client: KubeClient, resource: Resource[T], *, silence: float = SILENCE
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.error: Exception | None = None
        self.restarts = 0  # lists after the first one
        self._client = client
        self._silence = silence
        self._objects: dict[Hashable, T] = {}
        self._callbacks: list[Callback[T]] = []
        self._backoff = FIRST_BACKOFF

    @property
    def objects(self) -> Mapping[Hashable, T]:
        return self._objects

    def subscribe(self, callback: Callback[T]) -> None:
        """Call back with (old, new) at each change, in the event loop: it must not block.

        Added is (None, new), deleted (old, None). What is there already is given at once.
        """
        self._callbacks.append(callback)
        for item in self._objects.values():
            callback(None, item)

    async def run(self) -> None:
        """Keep the objects current until cancelled; failures are logged when they change."""
        while True:
            try:
                await self._list_and_watch()
            except (KubeError, msgspec.DecodeError) as error:
                self._failed(error)
                least = error.retry_after if isinstance(error, ApiError) else 0.0
                # Half of the wait is chance, so that replicas do not come back together.
                wait = max(least, self._backoff * random.uniform(0.5, 1.0))  # noqa: S311
                self._backoff = min(self._backoff * 2, LONGEST_BACKOFF)
                await asyncio.sleep(wait)

    async def _list_and_watch(self) -> None:
        version = listed = await self._list()
        wait = FIRST_BACKOFF
        while True:
            try:
                version = await self._watch(version)
                wait = FIRST_BACKOFF
            except Gone:
                self._relisting("its version has expired")
                self.restarts += 1
                if version == listed:  # perhaps at once: whole lists must not follow without end
                    await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311
                    wait = min(wait * 2, LONGEST_BACKOFF)
                version = listed = await self._list()
            except Silent as error:
                self._relisting(str(error))
                self.restarts += 1
                version = listed = await self._list()

    def _relisting(self, why: str) -> None:
        log.debug("listing again", extra={"data": {"resource": self.resource.name, "why": why}})

    async def _list(self) -> str:
        """Replace the objects by those of a whole list; give its version."""
        found: dict[Hashable, T] = {}
        token = ""
        while True:
            page = decode_page(
                self.resource,
                await self._client.request(
                    "GET",
                    self.resource.path,
                    params={
                        **self.resource.params,
                        "limit": PAGE,
                        **({"continue": token} if token else {}),
                    },
                    accept=self.resource.accept_list,
                    timeout=60.0,
                ),
            )
            found.update((self.resource.key(item), item) for item in page.items)
            if not page.next:
                break
            token = page.next
        await self._replace(found)
        self._recovered()
        self.synced.set()
        return page.resource_version

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; give the version to go on from.

        A watch that ends before its first line is a failure, lest we ask again and again.
        """
        told = False
        began = time.monotonic()
        params: dict[str, str | int] = {
            **self.resource.params,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": int(WATCH_SECONDS * random.uniform(1.0, 2.0)),  # noqa: S311
        }
        lines = self._client.stream_lines(
            self.resource.path,
            params=params,
            accept=self.resource.accept_watch,
            idle_timeout=self._silence,
        )
        async with aclosing(lines):
            async for line in lines:
                event = decode_event(self.resource, line)
                self._apply(event)
                told = True
                version = event.resource_version or version
                self._recovered()
        if not told and time.monotonic() - began < 1.0:
            raise Unreachable(f"the watch of {self.resource.name} ended as soon as it began")
        return version

    async def _replace(self, found: dict[Hashable, T]) -> None:
        """Take a whole list, in slices that let the loop run other tasks between them."""
        for keys in _slices(list(self._objects)):
            for key in keys:
                if key not in found:
                    self._set(key, None)
            await asyncio.sleep(0)
        for keys in _slices(list(found)):
            for key in keys:
                self._set(key, found[key])
            await asyncio.sleep(0)

    def _apply(self, event: Event[T]) -> None:
        if event.object is None:
            return
        gone = event.type == "DELETED"
        self._set(self.resource.key(event.object), None if gone else event.object)

    def _set(self, key: Hashable, new: T | None) -> None:
        old = self._objects.get(key)
        if old == new:
            return  # a heartbeat or a field that we do not keep
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        for callback in self._callbacks:
            callback(old, new)

    def _failed(self, error: Exception) -> None:
        if type(error) is not type(self.error):
            data = {"resource": self.resource.name, "error": str(error)}
            log.warning("cannot watch, keeping what is known", extra={"data": data})
        self.error = error
        self.restarts += 1

    def _recovered(self) -> None:
        if self.error is not None:
            log.info("watching again", extra={"data": {"resource": self.resource.name}})
        self.error = None
        self._backoff = FIRST_BACKOFF


def _slices(keys: list[Hashable]) -> Iterator[list[Hashable]]:
    for at in range(0, len(keys), SLICE):
        yield keys[at : at + SLICE]
