"""An event loop with a clock of its own: minutes of timers pass at once, the same in every run."""

import asyncio
import selectors
from unittest import mock


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, it moves the clock on by the time that it was to wait."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen: no timer is set")
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._simulated = _Selector()
        super().__init__(self._simulated)

    def time(self):
        return self._simulated.now


def run_simulated(main):
    """Run a coroutine; its timers and `time.monotonic()` follow the simulated clock."""
    with (
        asyncio.Runner(loop_factory=_Loop) as runner,
        mock.patch("time.monotonic", runner.get_loop().time),
    ):
        return runner.run(main)
