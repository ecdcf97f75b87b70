"""Kubernetes' protobuf, written by hand: few messages, and items that are joined as they are.

Messages are proto2 as gogo-protobuf writes them for Go: scalar fields are always present, even
when empty, so that our bytes are those of the reference. An item here is the whole field
`items` of a list, tag and length included: a list is its items one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from metricsapi.kube.objects import Node, Pod
from metricsapi.samples import ContainerUsage, NodeUsage, PodUsage
from metricsapi.serve.render.quantity import bytes_text, cpu_text
from metricsapi.serve.render.times import milliseconds

MAGIC = b"k8s\x00"
_ENCODING_AND_TYPE = b"\x1a\x00\x22\x00"  # of runtime.Unknown; both empty


def varint(value: int) -> bytes:
    """Encode a number of -2⁶³ to 2⁶⁴-1; negative ones in two's complement."""
    if 0 <= value < 128:
        return bytes((value,))
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Encode a field of type int32, int64 or bool."""
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    """Encode a field that holds a message, a string or bytes."""
    size = len(content)
    if size < 128 and field < 16:
        return bytes((field << 3 | 2, size)) + content
    return varint(field << 3 | 2) + varint(size) + content


def string(field: int, content: str) -> bytes:
    """Encode a field of type string."""
    return message(field, content.encode())


def strings(field: int, contents: Iterable[str]) -> bytes:
    """Encode a repeated field of type string."""
    return b"".join([string(field, one) for one in contents])


def unknown(api_version: str, kind: str) -> tuple[bytes, bytes]:
    """Give what stands before and after the raw object's length in a `runtime.Unknown`."""
    kinds = message(1, string(1, api_version) + string(2, kind))
    return MAGIC + kinds + b"\x12", _ENCODING_AND_TYPE


def whole(api_version: str, kind: str, raw: bytes) -> bytes:
    """Give an object as it is sent."""
    head, tail = unknown(api_version, kind)
    return b"".join((head, varint(len(raw)), raw, tail))


def string_map(field: int, entries: Mapping[str, str]) -> bytes:
    """Encode a map from string to string, sorted by key as gogo-protobuf does."""
    return b"".join(
        [message(field, string(1, k) + string(2, v)) for k, v in sorted(entries.items())]
    )


def object_meta(
    name: str, namespace: str = "", created: int = 0, labels: Mapping[str, str] | None = None
) -> bytes:
    """Encode an `ObjectMeta`; `created` in seconds since the epoch, 0 for none."""
    return b"".join((
        string(1, name),
        b"\x12\x00",  # generateName
        string(3, namespace),
        b"\x22\x00\x2a\x00\x32\x00\x38\x00",  # selfLink, uid, resourceVersion, generation
        message(8, _time(created) if created else b""),
        string_map(11, labels or {}),
    ))  # fmt: skip


def list_meta(token: str = "", remaining: int | None = None) -> bytes:
    """Encode a `ListMeta`, whose continue token may be empty."""
    rest = b"" if remaining is None else number(4, remaining)
    return b"\x0a\x00\x12\x00" + string(3, token) + rest


def metadata(node_or_pod: Node | Pod, timestamp: float) -> bytes:
    """Encode the `ObjectMeta` of an item."""
    namespace = node_or_pod.namespace if isinstance(node_or_pod, Pod) else ""
    return object_meta(node_or_pod.name, namespace, int(timestamp), node_or_pod.labels)


def node_item(node: Node, usage: NodeUsage) -> bytes:
    """Give a `NodeMetrics` item of a node."""
    return message(2, _head(node, usage) + _usage(4, usage))


def pod_item(pod: Pod, usage: PodUsage) -> bytes:
    """Give a `PodMetrics` item of a pod."""
    containers = [message(4, string(1, one.name) + _usage(2, one)) for one in usage.containers]
    return message(2, _head(pod, usage) + b"".join(containers))


def raw(item: bytes) -> bytes:
    """Give the message inside an item."""
    at = 1
    while item[at] & 128:
        at += 1
    return item[at + 1 :]


def _time(seconds: int) -> bytes:
    """Encode a `Time`: apimachinery's writes nanos of 0 and ignores others, so that JSON and
    protobuf say the same.
    """
    return b"\x08" + varint(seconds) + b"\x10\x00"


def _head(node_or_pod: Node | Pod, usage: NodeUsage | PodUsage) -> bytes:
    stamp = _time(int(usage.timestamp))
    window = b"\x08" + varint(milliseconds(usage.window) * 1_000_000)
    return b"".join((
        message(1, metadata(node_or_pod, usage.timestamp)),
        message(2, stamp),
        message(3, window),
    ))  # fmt: skip


def _usage(field: int, usage: NodeUsage | ContainerUsage) -> bytes:
    entries = [_quantity(field, b"cpu", cpu_text(usage.cpu))]
    if usage.ephemeral_storage is not None:
        entries.append(_quantity(field, b"ephemeral-storage", bytes_text(usage.ephemeral_storage)))
    entries.append(_quantity(field, b"memory", bytes_text(usage.memory)))
    if usage.swap is not None:
        entries.append(_quantity(field, b"swap", bytes_text(usage.swap)))
    return b"".join(entries)


def _quantity(field: int, key: bytes, text: str) -> bytes:
    """Encode an entry of a map from string to Quantity; all of it is far below 128 bytes."""
    size, length = len(text), len(key)
    return (
        bytes((field << 3 | 2, length + size + 6, 0x0A, length))
        + key
        + bytes((0x12, size + 2, 0x0A, size))
        + text.encode()
    )
