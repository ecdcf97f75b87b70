"""Kubernetes' protobuf, written by hand: few messages, and items that are joined as they are.

Messages are proto2 as gogo-protobuf writes them for Go: scalar fields are always present, even
when empty, so that our bytes are those of the reference. An item here is the whole field
`items` of a list, tag and length included: a list is its items one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from metricsapi.api.render.quantity import bytes_text, cpu_text
from metricsapi.api.render.times import milliseconds
from metricsapi.kube.resources import Node, Pod
from metricsapi.storage.types import ContainerUsage, NodeUsage, PodUsage

MAGIC = b"k8s\x00"
Labels = tuple[tuple[str, str], ...]
_ENCODING_AND_TYPE = b"\x1a\x00\x22\x00"  # of runtime.Unknown; both empty
# Bytes below 128 as text: put together and then encoded, ASCII text is twice as fast as bytes.
_BYTE = [chr(value) for value in range(128)]


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
        return b"%c%c%b" % (field << 3 | 2, size, content)
    if size < 128 * 128 and field < 16:  # a size of two bytes, as most items have
        return b"%c%c%c%b" % (field << 3 | 2, size & 127 | 128, size >> 7, content)
    return varint(field << 3 | 2) + varint(size) + content


def string(field: int, content: str) -> bytes:
    """Encode a field of type string."""
    size = len(content)
    if size < 128 and field < 16 and content.isascii():
        return f"{_BYTE[field << 3 | 2]}{_BYTE[size]}{content}".encode()
    return message(field, content.encode())


def strings(field: int, contents: Iterable[str]) -> bytes:
    """Encode a repeated field of type string."""
    return b"".join([string(field, content) for content in contents])


def unknown(api_version: str, kind: str) -> tuple[bytes, bytes]:
    """Return what stands before and after the raw object's length in a `runtime.Unknown`."""
    kinds = message(1, string(1, api_version) + string(2, kind))
    return MAGIC + kinds + b"\x12", _ENCODING_AND_TYPE


def whole(api_version: str, kind: str, raw: bytes) -> bytes:
    """Return an object as it is sent."""
    head, tail = unknown(api_version, kind)
    return b"".join((head, varint(len(raw)), raw, tail))


@lru_cache(maxsize=4096)
def _labels(entries: Labels) -> bytes:
    """Encode an `ObjectMeta`'s labels, sorted as gogo-protobuf does; pods share theirs."""
    return b"".join([message(11, string(1, k) + string(2, v)) for k, v in sorted(entries)])


def object_meta(name: str, namespace: str = "", created: int = 0, labels: Labels = ()) -> bytes:
    """Encode an `ObjectMeta`; `created` in seconds since the epoch, 0 for none."""
    return b"".join((
        string(1, name),
        b"\x12\x00",  # generateName
        string(3, namespace),
        b"\x22\x00\x2a\x00\x32\x00\x38\x00",  # selfLink, uid, resourceVersion, generation
        _time(8, created) if created else b"\x42\x00",
        _labels(labels),
    ))  # fmt: skip


def list_meta(token: str = "", remaining: int | None = None) -> bytes:
    """Encode a `ListMeta`, whose continue token may be empty."""
    rest = b"" if remaining is None else number(4, remaining)
    return b"\x0a\x00\x12\x00" + string(3, token) + rest


def metadata(node_or_pod: Node | Pod, timestamp: float) -> bytes:
    """Encode the `ObjectMeta` of an item."""
    namespace = node_or_pod.namespace if isinstance(node_or_pod, Pod) else ""
    labels = tuple(node_or_pod.labels.items())
    return object_meta(node_or_pod.name, namespace, int(timestamp), labels)


def node_item(node: Node, usage: NodeUsage) -> bytes:
    """Return a `NodeMetrics` item of a node."""
    return message(2, _head(node, usage) + _usage('"', usage))


def pod_item(pod: Pod, usage: PodUsage) -> bytes:
    """Return a `PodMetrics` item of a pod."""
    containers = [
        message(4, string(1, container.name) + _usage("\x12", container))
        for container in usage.containers
    ]
    return message(2, b"".join((_head(pod, usage), *containers)))


def raw(item: bytes) -> bytes:
    """Return the message inside an item."""
    at = 1
    while item[at] & 128:
        at += 1
    return item[at + 1 :]


@lru_cache(maxsize=1024)
def _time(field: int, seconds: int) -> bytes:
    """Encode a `Time`: apimachinery's writes nanos of 0 and ignores others, so that JSON and
    protobuf say the same.
    """
    return message(field, b"\x08" + varint(seconds) + b"\x10\x00")


@lru_cache(maxsize=2048)
def _window(milliseconds: int) -> bytes:
    return message(3, b"\x08" + varint(milliseconds * 1_000_000))


def _head(node_or_pod: Node | Pod, usage: NodeUsage | PodUsage) -> bytes:
    return b"".join((
        message(1, metadata(node_or_pod, usage.timestamp)),
        _time(2, int(usage.timestamp)),
        _window(milliseconds(usage.window)),
    ))  # fmt: skip


def _usage(tag: str, usage: NodeUsage | ContainerUsage) -> bytes:
    """Encode a `ResourceList` field with this tag: entries sorted by name, as Go sorts maps."""
    disk, swap = usage.ephemeral_storage, usage.swap
    entries = _quantity(tag, "cpu", cpu_text(usage.cpu))
    if disk is not None:
        entries += _quantity(tag, "ephemeral-storage", bytes_text(disk))
    entries += _quantity(tag, "memory", bytes_text(usage.memory))
    if swap is not None:
        entries += _quantity(tag, "swap", bytes_text(swap))
    return entries.encode()


def _quantity(tag: str, name: str, quantity: str) -> str:
    """Encode an entry of a map from string to Quantity; ASCII, and far less than 128 bytes."""
    value = f"\n{_BYTE[len(quantity)]}{quantity}"  # Quantity{string=1}
    entry = f"\n{_BYTE[len(name)]}{name}\x12{_BYTE[len(value)]}{value}"  # {key=1, value=2}
    return f"{tag}{_BYTE[len(entry)]}{entry}"
