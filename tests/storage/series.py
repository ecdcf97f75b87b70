"""A recorded series of a real kubelet's answers, as the decoders give it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from metricsapi.scrape.resource_metrics import decode_resource_metrics
from metricsapi.scrape.summary import decode_summary
from metricsapi.storage.types import ContainerSample, NodeSample, read_stats
from tests.support.paths import RECORDED

SERIES = RECORDED / "kubelet-1.36-series.jsonl"

Key = tuple[str, str, str]  # namespace, pod, container; ("", "", node) for a node


class Answer(NamedTuple):
    summary: NodeSample
    resource: NodeSample
    raw: dict


def read_series(path: Path = SERIES) -> Iterator[Answer]:
    """Give each answer of the series, decoded from the bytes a kubelet would send."""
    with path.open() as lines:
        for line in lines:
            raw = json.loads(line)
            times = {
                "requested_at": raw["requested_at"],
                "answered_at": raw["answered_at"],
                "wall_offset": 0.0,
            }
            node = raw["summary"]["node"]["nodeName"]
            yield Answer(
                decode_summary(node, json.dumps(raw["summary"], indent=1).encode(), **times),
                decode_resource_metrics(node, raw["resource"].encode(), **times),
                raw,
            )


def stats(sample: NodeSample) -> dict[Key, ContainerSample]:
    """Give every stat of a sample by its key."""
    found = {(pod.namespace, pod.name, one.name): one for pod, one in sample.containers()}
    if sample.stats is not None:
        found["", "", sample.node] = read_stats(sample.stats)
    return found
