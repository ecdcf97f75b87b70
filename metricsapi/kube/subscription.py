"""A callback of an informer, which gets every change even if it sometimes raises."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from metricsapi.kube.backoff import Backoff

BATCH = 500  # changes that are delivered again without letting other tasks run

T = TypeVar("T")
Callback = Callable[[T | None, T | None], None]

log = logging.getLogger(__name__)


class Subscription(Generic[T]):
    """Calls back with (old, new) at each change of `objects`.

    A callback that raises ends neither the watch nor the delivery to others. The change that it did
    not take is delivered again after a backoff, together with whatever has changed since: `old` is
    always the object that the callback took last.
    """

    def __init__(
        self, name: str, callback: Callback[T], objects: Mapping[Hashable, T], backoff: Backoff
    ) -> None:
        """Take the name of the resource, for logs."""
        self.failing_since: float | None = None  # monotonic seconds
        self.error = ""
        self._name = name
        self._callback = callback
        self._objects = objects
        self._backoff = backoff
        self._missed: dict[Hashable, T | None] = {}  # the object that was taken last, by key
        self._timer: asyncio.TimerHandle | None = None
        self._logged: set[str] = set()  # kinds of errors, since the last recovery

    def deliver(self, key: Hashable, old: T | None, new: T | None) -> None:
        """Call back; never raises but to end the process."""
        if self._missed:
            old = self._missed.pop(key, old)
            if old == new:  # a change that was missed, and has been undone
                self._note_recovery()
                return
        try:
            self._callback(old, new)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  whatever nobody thought of
            self._has_failed(key, old, error)
        else:
            if self.failing_since is not None:
                self._note_recovery()

    def _has_failed(self, key: Hashable, old: T | None, error: BaseException) -> None:
        kind = type(error).__name__
        if kind not in self._logged:  # the text may name the object, of which there are many
            self._logged.add(kind)
            data = {"resource": self._name, "key": str(key)}
            log.error(
                "a change could not be applied, and will be tried again",
                exc_info=error,
                extra={"data": data},
            )
        if self.failing_since is None:
            self.failing_since = time.monotonic()
        self.error = f"a change of {self._name} could not be applied: {kind}: {error}"
        self._missed[key] = old
        self._deliver_later(self._backoff.delay())

    def _deliver_later(self, delay: float) -> None:
        if self._missed and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay, self._deliver_again)

    def _note_recovery(self) -> None:
        if not self._missed:
            self.failing_since, self.error = None, ""
            self._logged.clear()

    def _deliver_again(self) -> None:
        self._timer = None
        for key, old in list(islice(self._missed.items(), BATCH)):
            self.deliver(key, old, self._objects.get(key))
        self._deliver_later(0.0)  # the rest, unless one of these has failed again
