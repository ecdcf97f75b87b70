"""The wall clock of a process that jumps: libfaketime (Debian's package faketime), if it is there.

The monotonic clock runs on, as it does when a machine's clock is set.
"""

from pathlib import Path

LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
NAME = "faketime/libfaketimeMT.so.1"


def library():
    """Return the path of libfaketime for programs with threads; None if it is not installed."""
    paths = (path for root in LIBRARIES for path in sorted(Path(root).glob(f"**/{NAME}")))
    return next(paths, None)


class WallClock:
    """The clock of a process that is started with `environment`; `directory` holds its offset."""

    def __init__(self, directory):
        self._library = library()
        self._file = directory / "clock"
        self.jump(0.0)

    @property
    def can_jump(self):
        return self._library is not None

    @property
    def environment(self):
        """Variables for the process; none where its clock cannot jump."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds):
        """Set the clock to the machine's, plus so many seconds."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+.3f}\n")
        part.replace(self._file)
