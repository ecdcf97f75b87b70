"""The identity of an `exec` user: runs its credential plugin when a credential is needed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.exec_plugin import Credential, ExecPlugin, run_plugin
from metricsapi.kube.identity import Identity
from metricsapi.kube.key_pair import KeyPair

RETRY_AFTER = 5.0  # seconds after a failure until the program is run again
REJECTED_AGAIN = 60.0  # seconds between two runs because of a 401


class ExecIdentity(Identity):
    """The last credential of a program, cached until it expires or a server responds with 401.

    `clock` gives epoch seconds. Only one run is under way at a time, none sooner than 5 s after
    one that failed, and one a minute because of a 401.
    """

    def __init__(self, plugin: ExecPlugin, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._plugin = plugin
        self._clock = clock
        self._credential: Credential | None = None
        self._error: CredentialsError | None = None
        self._failed_at = self._rejected_at = float("-inf")
        self._running = threading.Lock()
        self._task: asyncio.Future[None] | None = None

    def token(self) -> str | None:
        """Return the last token; `refresh` comes before."""
        return self._credential.token if self._credential else None

    def certificate(self) -> KeyPair | None:
        """Return the last client certificate; `refresh` comes before."""
        return self._credential.pair if self._credential else None

    async def refresh(self) -> None:
        """Run the program, in a thread, if nothing it gave is good any more.

        Concurrent callers wait for the same run. Raises CredentialsError.
        """
        if self._is_good():
            return
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(asyncio.to_thread(self.refresh_now))
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._task)

    def refresh_now(self) -> None:
        """Run the program if nothing it gave is good any more. Raises CredentialsError."""
        with self._running:
            if self._is_good():
                return
            if self._error is not None and time.monotonic() - self._failed_at < RETRY_AFTER:
                raise self._error
            try:
                self._credential = self._run()
            except CredentialsError as error:
                self._error, self._failed_at = error, time.monotonic()
                raise
            self._error = None

    def rejected(self) -> None:
        """Run the program again at the next use, but not more than once a minute.

        A thousand kubelets that take no token of this kind must not run it a thousand times.
        """
        now = time.monotonic()
        if self._credential is not None and now - self._rejected_at >= REJECTED_AGAIN:
            self._credential, self._rejected_at = None, now

    def _is_good(self) -> bool:
        return self._credential is not None and self._clock() < self._credential.expires

    def _run(self) -> Credential:
        credential = run_plugin(self._plugin)
        # One that has expired already is used, as in client-go: clocks differ. But not for each use
        # is the program run again.
        return replace(credential, expires=max(credential.expires, self._clock() + RETRY_AFTER))
