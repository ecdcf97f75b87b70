"""Queries of clients, and the interface of their observers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from metricsapi.api.entries import Entry


class Kind(StrEnum):
    """How a query names its objects; the value of the label `by` of metrics."""

    SELECTOR = "selector"  # by a label selector, as the HPA controller does
    LIST = "list"  # all of a namespace or of the cluster
    SINGLE = "single"  # by name, in the path or in a field selector, as `kubectl top pod NAME` does


class Query(NamedTuple):
    """A list or get of pods or nodes; equal for requests that match the same objects.

    `user` is the name of the authenticated user, "" where nothing authenticates. `namespace` is
    None for all of them and for nodes. `selector` is the canonical text of the label selector
    (`kube.selectors.selector_text`), "" for none. `name` is that of the one object, None for any.
    Conditions of field selectors on other fields are left out: what is sent may be less.
    """

    user: str
    namespace: str | None
    selector: str
    kind: Kind
    name: str | None = None


class QueryObserver(Protocol):
    """What is called for each query, on the hot path: both calls return at once, and raise nothing,
    since the request would fail with them.
    """

    def query_received(self, query: Query, /) -> None:
        """Note a list or get of pods before the response; later pages of a list are no query."""

    def entries_sent(self, query: Query, entries: Sequence[Entry], /) -> None:
        """Note entries with usage that are sent, of pods or nodes; long lists come in batches."""
