"""Decodes JSON of the API server; whatever is wrong with it raises InvalidResponse."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from metricsapi.kube.errors import UNDECODABLE, InvalidResponse

T = TypeVar("T")


class Metadata(Struct, gc=False):
    """The part of ObjectMeta that we read; see `decode_labels` for the labels."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: msgspec.Raw = msgspec.Raw(b"null")
    annotations: dict[str, str] | None = None


def decode_labels(labels: msgspec.Raw) -> Mapping[str, str]:
    """Decode an object's labels; raises one of UNDECODABLE.

    Those of the pods of one workload are equal, and listed in a row: one object serves them all.
    """
    return _labels(bytes(labels))


@lru_cache(maxsize=256)
def _labels(text: bytes) -> Mapping[str, str]:
    return msgspec.json.decode(text, type=dict[str, str] | None) or {}


def decode_json(body: bytes | msgspec.Raw, into: type[T] | Any, what: str) -> T:
    """Decode JSON as type `into`. Raises InvalidResponse, which says `what` it was to be."""
    try:
        decoded: T = msgspec.json.decode(body, type=into)
    except UNDECODABLE as error:
        begin = bytes(body)[:100].decode("utf-8", "replace").strip()
        raise InvalidResponse(f"{what}: {error}; the answer begins with {begin!r}") from error
    return decoded


def json_object(value: Any) -> dict[str, Any]:
    """Return a decoded JSON object; an empty dict for anything else."""
    return value if isinstance(value, dict) else {}
