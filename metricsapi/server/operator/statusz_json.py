"""The JSON of `/statusz`: every node as an object, with what to do where it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from metricsapi.server.operator.status import NAME, Status, iso
from metricsapi.telemetry.node_status import TROUBLED, NodeStatus
from metricsapi.telemetry.replicas import ReplicaStatus
from metricsapi.telemetry.troubleshooting import remedy


def as_json(status: Status) -> Iterator[str]:
    """Yield the text in pieces, at most a node in each."""
    about = status.about
    head = {
        "kind": "Statusz",
        "component": NAME,
        "cluster": about.cluster,
        "version": about.version,
        "startTime": iso(about.started),
        "upSeconds": status.up_seconds,
        "ready": not status.unready,
        "unready": dict(status.unready),
        "remarks": list(status.remarks),
        "metricResolutionSeconds": about.resolution,
        "counts": status.counts,
        "replica": _replica(status.replica),
        "tasks": [
            {
                "name": task.name,
                "restarts": task.restarts,
                "failingSeconds": round(task.failing_seconds, 1),
                "error": task.error,
            }
            for task in status.tasks
        ],
        "paths": list(about.paths),
    }
    yield json.dumps(head).removesuffix("}") + ', "nodes": ['
    for number, node in enumerate(status.nodes):
        yield (", " if number else "") + json.dumps(_node(node))
    yield "]}\n"


def _replica(replica: ReplicaStatus | None) -> dict[str, Any] | None:
    if replica is None:
        return None
    return {
        "identity": replica.identity,
        "role": replica.role,
        "leader": replica.leader,
        "following_since": iso(replica.since),
        "lag_seconds": replica.lag,
        "followers": replica.followers,
        "problem": replica.problem,
    }


def _node(node: NodeStatus) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(node)
    for name in ("since", "last_attempt", "last_good", "next_scrape", "served_until"):
        row[name] = iso(row[name])
    if node.state in TROUBLED:
        row["what_to_do"] = remedy(node.cause).fix
    return row
