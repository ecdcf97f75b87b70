"""A recorded series of a real kubelet's answers, as the decoders give it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from metricsapi.storage.types import ContainerStats, NodeSample, epoch_seconds
from tests.support.decoding import decode_resource_metrics, decode_summary
from tests.support.paths import RECORDED

SERIES = RECORDED / "kubelet-1.36-series.jsonl"

Key = tuple[str, str, str]  # namespace, pod, container; ("", "", node) for a node


class Answer(NamedTuple):
    summary: NodeSample
    resource: NodeSample
    raw: dict


def read_series(path: Path = SERIES) -> Iterator[Answer]:
    """Yield each answer of the series, decoded from the bytes a kubelet would send."""
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


def cpu_reading(of: ContainerStats) -> tuple[float, int] | None:
    """Return the time (seconds since the epoch) and counter of a stat's CPU, if it has both."""
    if of.cpu is None or of.cpu.usage_core_nano_seconds is None:
        return None
    time = epoch_seconds(of.cpu.time)
    return None if time is None else (time, of.cpu.usage_core_nano_seconds)


def stats(sample: NodeSample) -> dict[Key, ContainerStats]:
    """Return every stat of a sample by its key."""
    by_key = {
        (pod.pod_ref.namespace, pod.pod_ref.name, container.name): container
        for pod in sample.pods
        for container in pod.containers
    }
    if sample.stats is not None:
        by_key["", "", sample.node] = sample.stats
    return by_key
