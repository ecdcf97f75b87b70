"""One list and watch, kept current: the objects of a resource as the API server has them.

`run` lists, watches from the version of the list, and goes on from the last version when a watch
simply ends. Whatever else happens, an expired version or a failure, it lists again after one
backoff, and the last known objects stay meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

from metricsapi.kube.backoff import Backoff
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import (
    ApiError,
    Gone,
    IdleTimeout,
    KubeError,
    Unreachable,
)
from metricsapi.kube.listing import list_all
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.kube.slices import one_by_one
from metricsapi.kube.subscription import Callback, Subscription
from metricsapi.kube.watch import Event, Resource, decode_event

T = TypeVar("T")

WATCH_SECONDS = 300  # asked of the server; between one and two of these (client-go)
SHORT_WATCH = 1.0  # seconds; a watch that lasts longer works, even if nothing changes
# Seconds. A watch is ended by us if the server, which was asked to, does not.
LONGEST_WATCH = 2 * WATCH_SECONDS + 60.0
# Seconds without a byte, then we list again. kube-apiserver sends a bookmark a minute, but of a
# resource that never changes only as often as etcd tells its progress: 10 minutes by default.
IDLE_TIMEOUT = 150.0

log = logging.getLogger(__name__)


class Informer(Generic[T]):
    """The current objects of one resource, by key.

    `objects` is read freely and never changed by readers. `synced` is set from the first whole
    list on. While the API server is away the last known objects stay, `error` says why, and
    `failing_since` since when, in monotonic seconds.
    """

    def __init__(
        self, client: KubeClient, resource: Resource[T], *, idle_timeout: float = IDLE_TIMEOUT
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.error: Exception | None = None
        self.failing_since: float | None = None
        self.restarts = 0  # lists after the first one
        # When something was last received or tried, in monotonic seconds.
        self.last_progress = time.monotonic()
        self._progress = unobserved
        self._client = client
        self._idle_timeout = idle_timeout
        self._objects: dict[Hashable, T] = {}
        self._subscriptions: list[Subscription[T]] = []
        self._backoff = Backoff()
        self._skipped = 0  # objects of the last list, and of events since, that cannot be used

    @property
    def objects(self) -> Mapping[Hashable, T]:
        return self._objects

    def subscribe(self, callback: Callback[T]) -> None:
        """Call back with (old, new) at each change, in the event loop: it must not block.

        Added is (None, new), deleted (old, None). What is there already is passed at once. If it
        raises, it gets the change again later: see `Subscription`.
        """
        subscription = Subscription(self.resource.name, callback, self._objects, Backoff())
        self._subscriptions.append(subscription)
        for key, item in self._objects.items():
            subscription.deliver(key, None, item)

    def failing(self) -> tuple[float, str] | None:
        """Return since when (monotonic seconds) and why this is not current; None while it is."""
        if self.failing_since is not None:
            return self.failing_since, str(self.error)
        for subscription in self._subscriptions:
            if subscription.failing_since is not None:
                return subscription.failing_since, subscription.error
        return None

    async def run(self, progress: Progress = unobserved) -> None:
        """Keep the objects current until cancelled; failures are logged when they change.

        `progress` is called at least each `idle_timeout`, or while it waits to list again.
        """
        self._progress = progress
        while True:
            self._note_progress()
            retry_after = 0.0
            try:
                await self._list_and_watch()
            except KubeError as error:
                self._failed(error)
                if isinstance(error, ApiError):
                    retry_after = error.retry_after
            self.restarts += 1
            await asyncio.sleep(self._backoff.delay(retry_after))

    async def _list_and_watch(self) -> None:
        """List, then watch for as long as versions can be resumed. Raises KubeError.

        A version that expires later, and a watch that falls silent, are no failures.
        """
        version = listed = await self._list()
        while True:
            self._note_progress()
            began = self.last_progress
            try:
                resumed = await self._watch(version)
            except (Gone, IdleTimeout) as error:
                if isinstance(error, Gone) and version == listed and self._is_short(began):
                    raise
                data = {"resource": self.resource.name, "reason": str(error)}
                log.debug("listing again", extra={"data": data})
                return
            if self._is_short(began):
                if resumed == version:
                    raise Unreachable(
                        f"the watch of {self.resource.name} ended as soon as it began"
                    )
                await asyncio.sleep(self._backoff.delay())
            version = resumed

    async def _list(self) -> str:
        """Replace the objects by those of a whole list; return its version."""
        page = await list_all(self._client, self.resource, progress=self._note_progress)
        self._note_skipped(page.skipped)
        await self._replace(page.items)
        self.synced.set()
        return page.resource_version

    async def _watch(self, version: str) -> str:
        """Follow one watch to its end; return the version to resume from."""
        lines = self._client.stream_lines(
            self.resource.path,
            params={
                **self.resource.params,
                "watch": "true",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": int(WATCH_SECONDS * random.uniform(1.0, 2.0)),  # noqa: S311
            },
            accept=self.resource.accept_watch,
            idle_timeout=self._idle_timeout,
        )
        columns: Sequence[str] = ()
        working = asyncio.get_running_loop().call_later(SHORT_WATCH, self._recovered)
        try:
            async with asyncio.timeout(LONGEST_WATCH), aclosing(lines):
                async for line in lines:
                    self._note_progress()
                    event = decode_event(self.resource, line, columns)
                    columns = event.columns
                    self._apply(event)
                    version = event.resource_version or version
                    self._recovered()
        except TimeoutError:
            log.debug("ending a watch", extra={"data": {"resource": self.resource.name}})
        finally:
            working.cancel()
        return version

    async def _replace(self, items: list[T]) -> None:
        """Store a whole list, in slices between which the loop runs other tasks.

        Each item leaves the list when it is stored: of 150,000 that have not changed, to free all
        at once would take longer than a slice.
        """
        gone = set(self._objects)
        async for new in one_by_one(_popped(items)):
            key = self.resource.key(new)
            gone.discard(key)
            old = self._objects.get(key)
            self._set(key, new if old is None else self.resource.completed(new, old))
        async for key in one_by_one(gone):
            self._set(key, None)

    def _apply(self, event: Event[T]) -> None:
        if event.object is not None:
            new = None if event.type == "DELETED" else event.object
            self._set(self.resource.key(event.object), new)
        elif event.type != "BOOKMARK":
            self._note_skipped(self._skipped + 1)

    def _set(self, key: Hashable, new: T | None) -> None:
        old = self._objects.get(key)
        if old == new:
            return  # a heartbeat, or a field that we do not keep
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        for subscription in self._subscriptions:
            subscription.deliver(key, old, new)

    @staticmethod
    def _is_short(began: float) -> bool:
        """Return whether a watch that began then, and is over, was too short to have worked."""
        return time.monotonic() - began < SHORT_WATCH

    def _note_progress(self) -> None:
        self.last_progress = time.monotonic()
        self._progress()

    def _note_skipped(self, count: int) -> None:
        if count and not self._skipped:
            log.warning(
                "objects without a valid name, or that cannot be decoded, are left out",
                extra={"data": {"resource": self.resource.name, "count": count}},
            )
        self._skipped = count

    def _failed(self, error: KubeError) -> None:
        if type(error) is not type(self.error):
            data = {"resource": self.resource.name, "error": str(error)}
            log.warning("cannot watch, keeping the last known objects", extra={"data": data})
        self.error = error
        if self.failing_since is None:
            self.failing_since = time.monotonic()

    def _recovered(self) -> None:
        if self.error is not None:
            log.info("watching again", extra={"data": {"resource": self.resource.name}})
        self.error = self.failing_since = None


def _popped(items: list[T]) -> Iterator[T]:
    """Yield the items of a list in order, and take each out of it."""
    items.reverse()
    while items:
        yield items.pop()
