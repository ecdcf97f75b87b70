"""The Lease of a leader election: reads its holder leniently, and writes it whole."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from metricsapi.kube.addresses import host_port
from metricsapi.kube.decoding import json_object

Lease = dict[str, Any]

ADDRESS_ANNOTATION = "metricsapi/replica-address"
_LONGEST = 512  # characters of a text: other clients may write the Lease, and texts are logged
_MOST_TRANSITIONS = 2**31 - 1  # an int32 in the API


@dataclass(frozen=True)
class Record:
    """What a Lease says of its holder.

    `holder` is empty while nobody holds the Lease. `address` is host:port as the holder wrote it:
    any client that may write Leases can set it. `renewed` tells one renewal from the next, and is
    compared with no clock. `version` is the resource version, empty without a Lease; two records
    are equal whatever their versions, since another client's label is no renewal.
    """

    holder: str = ""
    address: str = ""
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    version: str = field(default="", compare=False)


def record_of(lease: Mapping[str, Any]) -> Record:
    """Return the record of a Lease; what has a wrong type counts as missing, whoever wrote it."""
    spec, metadata = json_object(lease.get("spec")), json_object(lease.get("metadata"))
    transitions = spec.get("leaseTransitions")
    if not isinstance(transitions, int) or not 0 <= transitions < _MOST_TRANSITIONS:
        transitions = 0
    return Record(
        holder=_text(spec.get("holderIdentity")),
        address=_text(json_object(metadata.get("annotations")).get(ADDRESS_ANNOTATION)),
        transitions=int(transitions),
        acquired=_text(spec.get("acquireTime")),
        renewed=_text(spec.get("renewTime")),
        version=_text(metadata.get("resourceVersion")),
    )


def lease_of(record: Record, before: Mapping[str, Any], *, duration: float, now: float) -> Lease:
    """Return the Lease of a record, renewed at `now` (epoch seconds), for `duration` seconds.

    Labels and annotations of the Lease `before` are kept.
    """
    metadata = dict(json_object(before.get("metadata")))
    annotations = dict(json_object(metadata.get("annotations")))
    annotations[ADDRESS_ANNOTATION] = record.address
    metadata["annotations"] = annotations
    metadata.pop("managedFields", None)
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": record.holder,
            # A released Lease is free at once, also for those who look at its duration.
            "leaseDurationSeconds": max(1, round(duration)) if record.holder else 1,
            "acquireTime": record.acquired,
            "renewTime": micro_time(now),
            "leaseTransitions": record.transitions,
        },
    }


def replica_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IP address at which a replica can be reached. Raises ValueError.

    A zone means something else on each machine, and may be any text.
    """
    ip = ipaddress.ip_address(text)
    if "%" in text or ip.is_unspecified or ip.is_multicast:
        raise ValueError(f"other machines cannot connect to {text!r}")
    return ip


def replica_address(text: str) -> str:
    """Return the address of a Lease's holder as the host:port of a URL. Raises ValueError.

    Only IP addresses are taken: a name would let the writer of a Lease choose who resolves it.
    """
    host, _, port = text.rpartition(":")
    try:
        ip = replica_ip(host.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise ValueError(f"the Lease has no usable address of its holder: {text!r}") from error
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16):
        raise ValueError(f"the Lease has no usable port of its holder: {text!r}")
    return host_port(str(ip), port)


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def micro_time(seconds: float) -> str:
    """Write a time as Kubernetes' MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
