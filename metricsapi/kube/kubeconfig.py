"""Kubeconfigs: one file, or several merged, as client-go loads them.

Of each named cluster, context and user, and of `current-context`, the first file that has it
wins. Relative paths are relative to the file that they stand in.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.files import FileError, MissingFile, read_file

_QUOTED = re.compile("'.{2,}'")  # by PyYAML, of a file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A named cluster, context or user, and the file that it stands in."""

    kind: str
    name: str
    values: Mapping[str, Any]
    file: Path

    def text(self, key: str) -> str:
        """Return a string; empty when it is absent. Raises CredentialsError for another type."""
        return self.string(key, self.values.get(key)).strip()

    def texts(self, key: str) -> list[str]:
        """Return a list of strings; empty when it is absent. Raises CredentialsError for others."""
        values = self.values.get(key) or []
        if not isinstance(values, list):
            raise self.error(f"{key} must be a list of strings")
        return [self.string(f"each of {key}", value) for value in values]

    def string(self, what: str, value: object) -> str:
        """Return a string, empty for null. Raises CredentialsError for another type.

        Nothing is converted, as in client-go: YAML reads 0123 as 83, and `no` as false.
        """
        if not isinstance(value, str | None):
            raise self.error(f"{what} must be a string, in quotes if YAML reads something else")
        return value or ""

    def flag(self, key: str) -> bool:
        """Return a boolean; false when it is absent. Raises CredentialsError for another type."""
        value = self.values.get(key)
        if not isinstance(value, bool | None):
            raise self.error(f"{key} must be true or false")
        return bool(value)

    def path(self, key: str) -> Path | None:
        """Return a path, relative to the file; None when it is absent."""
        return self.file.parent / text if (text := self.text(key)) else None

    def data(self, key: str) -> bytes | None:
        """Return what is base64-encoded under KEY-data; None when it is absent."""
        text = self.text(f"{key}-data")
        if not text:
            return None
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.error(f"{key}-data is not base64") from error

    def content(self, key: str) -> bytes | None:
        """Return what KEY-data holds, or the file that KEY names; None when both are absent."""
        if (data := self.data(key)) is not None:
            return data
        path = self.path(key)
        try:
            return read_file(path) if path else None
        except FileError as error:
            raise self.error(f"cannot read {key} {self.text(key)}: {error}") from error

    def error(self, text: str) -> CredentialsError:
        """Return an error that names the file and this entry."""
        return CredentialsError(f"kubeconfig {self.file}: {self.kind} {self.name!r}: {text}")


@dataclass
class Kubeconfig:
    """Merged kubeconfigs."""

    files: tuple[Path, ...]
    current_context: str = ""
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def selected(self) -> tuple[Entry, Entry]:
        """Return cluster and user of the current context. Raises CredentialsError."""
        if not self.current_context:
            raise CredentialsError(
                f"kubeconfig {self._names()} has no current-context: choose one with "
                "`kubectl config use-context NAME`"
            )
        context = self._named("context", self.current_context)
        user = context.text("user")
        cluster = self._named("cluster", context.text("cluster"))
        return cluster, self._named("user", user) if user else _anonymous(context)

    def _named(self, kind: str, name: str) -> Entry:
        entry = self.entries.get((kind, name))
        if entry is None:
            raise CredentialsError(f"kubeconfig {self._names()} has no {kind} named {name!r}")
        return entry

    def _names(self) -> str:
        return ":".join(map(str, self.files))


def _anonymous(context: Entry) -> Entry:
    return Entry("user", "", {}, context.file)


def load_kubeconfig(paths: Sequence[Path]) -> Kubeconfig:
    """Load one file, which must be there, or merge several, of which some may be missing.

    Raises CredentialsError with the file and what is wrong with it.
    """
    contents: list[tuple[Path, dict[str, Any]]] = []
    missing = []
    for path in paths:
        try:
            contents.append((path, _read(path, required=len(paths) == 1)))
        except MissingFile as error:
            if len(paths) == 1:
                raise CredentialsError(f"kubeconfig: {error}") from error
            missing.append(str(path))
    if not contents:
        raise CredentialsError(f"no such kubeconfig: {', '.join(missing) or 'no file is named'}")
    if missing:
        log.debug("kubeconfigs that are missing are skipped", extra={"data": {"files": missing}})
    merged = Kubeconfig(tuple(path for path, _ in contents))
    for path, config in contents:
        merged.current_context = merged.current_context or _current_context(config, path)
        for kind in ("cluster", "context", "user"):
            for name, entry in _entries(config, kind, path).items():
                merged.entries.setdefault((kind, name), entry)
    return merged


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  a megabyte that no server in a cluster needs

    try:
        content = read_file(path, once=True)
    except MissingFile:
        raise
    except FileError as error:
        raise CredentialsError(f"kubeconfig: {error}") from error
    if not content.strip(b" \t\r\n\0\xef\xbb\xbf"):
        if required:
            raise CredentialsError(f"kubeconfig {path} is empty")
        return {}
    try:
        # Documents after the first one are ignored, as in client-go.
        config = next(iter(yaml.safe_load_all(content)), None)
    except yaml.YAMLError as error:
        raise CredentialsError(f"kubeconfig {path} is not YAML: {_problem(error)}") from None
    except RecursionError as error:
        raise CredentialsError(f"kubeconfig {path} is nested too deep") from error
    # What PyYAML raises for values that their tags do not allow, such as a date of month 13.
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise CredentialsError(f"kubeconfig {path} is not YAML: {_problem(error)}") from None
    if not isinstance(config, dict):
        kind = "text" if isinstance(config, str) else "no mapping"
        raise CredentialsError(f"kubeconfig {path} holds no configuration: it is {kind}")
    return config


def _problem(error: Exception) -> str:
    """Return where YAML is wrong, and nothing of it: it has tokens and keys, or is one."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return type(error).__name__
    problem = _QUOTED.sub("...", getattr(error, "problem", None) or type(error).__name__)
    return f"{problem} in line {mark.line + 1}, column {mark.column + 1}"


def _current_context(config: dict[str, Any], path: Path) -> str:
    value = config.get("current-context")
    if not isinstance(value, str | None):
        raise CredentialsError(f"kubeconfig {path}: current-context must be a string, in quotes")
    return (value or "").strip()


def _entries(config: dict[str, Any], kind: str, path: Path) -> dict[str, Entry]:
    section = config.get(f"{kind}s")
    if section is None:
        return {}
    if not isinstance(section, list):
        raise CredentialsError(f"kubeconfig {path}: {kind}s must be a list")
    entries: dict[str, Entry] = {}
    for item in section:
        if not isinstance(item, dict):
            raise CredentialsError(f"kubeconfig {path}: each of {kind}s must have a name")
        name, values = item.get("name"), item.get(kind)
        if not isinstance(name, str) or not isinstance(values, dict | None):
            raise CredentialsError(
                f"kubeconfig {path}: each of {kind}s must have a name and a {kind}; names are "
                "strings, in quotes if YAML reads something else"
            )
        if name in entries:
            raise CredentialsError(f"kubeconfig {path} has two {kind}s named {name!r}: remove one")
        entries[name] = Entry(kind, name, values or {}, path)
    return entries
