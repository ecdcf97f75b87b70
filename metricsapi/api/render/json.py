"""JSON items as the Go API server writes them: its field order, no spaces.

An item is what stands in a list: no kind, no version, so it is the same in every version of the
API. `single` makes a whole object of it.
"""

from __future__ import annotations

import msgspec

from metricsapi.api.render.quantity import bytes_text, cpu_text
from metricsapi.api.render.times import duration_text, milliseconds, rfc3339
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import ContainerUsage, NodeUsage, PodUsage

_encoder = msgspec.json.Encoder(order="deterministic")  # Go sorts the keys of maps
text = msgspec.json.encode


def metadata(node_or_pod: Node | Pod, timestamp: float) -> str:
    """Return `metadata`: name, namespace, `creationTimestamp` (the sample's time) and labels."""
    labels = node_or_pod.labels
    namespace = f'","namespace":"{node_or_pod.namespace}' if isinstance(node_or_pod, Pod) else ""
    tail = f',"labels":{_encoder.encode(labels).decode()}' if labels else ""
    return (
        f'{{"name":"{node_or_pod.name}{namespace}",'
        f'"creationTimestamp":"{rfc3339(int(timestamp))}"{tail}}}'
    )


def node_item(node: Node, usage: NodeUsage) -> bytes:
    """Return a `NodeMetrics` item of a node."""
    return f'{_head(node, usage)}"usage":{_usage(usage)}}}'.encode()


def pod_item(pod: Pod, usage: PodUsage) -> bytes:
    """Return a `PodMetrics` item of a pod."""
    containers = ",".join(
        [f'{{"name":"{each.name}","usage":{_usage(each)}}}' for each in usage.containers]
    )
    return f'{_head(pod, usage)}"containers":[{containers}]}}'.encode()


def single(item: bytes, api_version: str, kind: str) -> bytes:
    """Make a whole object of an item."""
    return b'{"kind":"%b","apiVersion":"%b",%b' % (kind.encode(), api_version.encode(), item[1:])


def _head(node_or_pod: Node | Pod, usage: NodeUsage | PodUsage) -> str:
    stamp = rfc3339(int(usage.timestamp))
    window = duration_text(milliseconds(usage.window))
    return (
        f'{{"metadata":{metadata(node_or_pod, usage.timestamp)},'
        f'"timestamp":"{stamp}","window":"{window}",'
    )


def _usage(usage: NodeUsage | ContainerUsage) -> str:
    disk, swap = usage.ephemeral_storage, usage.swap
    return (
        f'{{"cpu":"{cpu_text(usage.cpu)}",'
        + (f'"ephemeral-storage":"{bytes_text(disk)}",' if disk is not None else "")
        + f'"memory":"{bytes_text(usage.memory)}"'
        + (f',"swap":"{bytes_text(swap)}"}}' if swap is not None else "}")
    )
