"""The fields of a kubelet's Summary that we use, as they are named there.

Decoding checks types and bounds; the constructors, which the tolerant pass uses, do not.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# msgspec checks bounds up to 2^63 - 1; the tolerant pass takes the rare rest.
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Cpu(Struct, gc=False, rename="camel"):
    time: str | None = None
    usage_nano_cores: Whole | None = None
    usage_core_nano_seconds: Whole | None = None


class Memory(Struct, gc=False, rename="camel"):
    time: str | None = None
    working_set_bytes: Whole | None = None


class Swap(Struct, gc=False, rename="camel"):
    swap_available_bytes: Whole | None = None
    swap_usage_bytes: Whole | None = None


class Disk(Struct, gc=False, rename="camel"):
    used_bytes: Whole | None = None


class Container(Struct, gc=False, rename="camel"):
    name: str
    start_time: str | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    swap: Swap | None = None
    rootfs: Disk | None = None
    logs: Disk | None = None


class PodRef(Struct, gc=False):
    name: str
    namespace: str
    uid: str = ""


class Pod(Struct, gc=False, rename="camel"):
    pod_ref: PodRef
    containers: list[Container] | None = None


class Node(Struct, gc=False, rename="camel"):
    node_name: str
    start_time: str | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    swap: Swap | None = None
    fs: Disk | None = None


class Summary(Struct, gc=False):
    node: Node
    pods: list[Pod] | None = None
