"""Archives that are the same bytes each time: sorted names, one owner, one time."""

from __future__ import annotations

import fnmatch
import gzip
import io
import tarfile
from pathlib import Path

import yaml


def write(path: Path, contents: dict[str, bytes], time: int) -> None:
    """Write a tar archive of files by name; compressed unless the path ends in .tar.

    `time` is every file's, in seconds since 1970.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(contents[name]), time, 0o644
            archive.addfile(entry, io.BytesIO(contents[name]))
    data = raw.getvalue()
    if path.suffix != ".tar":
        data = gzip.compress(data, compresslevel=9, mtime=time)
    path.write_bytes(data)


def chart(folder: Path) -> dict[str, bytes]:
    """Return the files of a Helm chart by their names in its package.

    What .helmignore names is left out.
    """
    name = yaml.safe_load((folder / "Chart.yaml").read_text())["name"]
    ignored = [line for line in (folder / ".helmignore").read_text().split() if line]
    return {
        f"{name}/{path.relative_to(folder)}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != ".helmignore"
        and not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
    }
