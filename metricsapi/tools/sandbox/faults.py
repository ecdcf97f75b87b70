"""The faults of a stand-in kubelet, which can be switched on and off while it runs."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

ANNOTATION = "sandbox/fault"  # of a node: the fault of its kubelet


class Fault(StrEnum):
    """A fault of a kubelet. Certificate faults concern new connections only."""

    NONE = "none"
    SLOW = "slow"  # responds after 3 s
    HANG = "hang"  # takes the request, never responds
    HANG_BODY = "hang-body"  # stops in the middle of the body
    REFUSE = "refuse"  # does not listen
    RESET = "reset"  # resets the connection on a request
    TRUNCATE = "truncate"  # closes in the middle of the body
    TRICKLE = "trickle"  # sends a byte every 0.2 s
    OVERSIZE = "oversize"  # declares a body of 100 MB
    ENDLESS = "endless"  # a chunked body without an end
    GARBAGE = "garbage"  # not JSON
    NOT_HTTP = "not-http"
    WRONG_NODE = "wrong-node"  # another node's Summary
    SKEW = "skew"  # its clock is two minutes ahead
    JUMP = "jump"  # its clock jumps back by an hour now and then
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    ERROR = "error"
    CHUNKED = "chunked"  # a valid response in odd chunks
    MISTYPED = "mistyped"  # one pod's CPU is a text
    MISSING = "missing"  # one container has no memory
    ABSURD = "absurd"  # one container's numbers are out of range
    NO_CONTAINERS = "no-containers"
    HUGE = "huge"  # the largest response that a server takes by default: 8 MiB
    CERT_EXPIRED = "cert-expired"
    CERT_SELF_SIGNED = "cert-self-signed"
    CERT_UNKNOWN_CA = "cert-unknown-ca"
    CERT_NO_ADDRESS = "cert-no-address"  # carries the node's name only
    CERT_OTHER_NAME = "cert-other-name"  # carries neither address nor name


def fault_named(text: str) -> Fault | None:
    return next((fault for fault in Fault if fault == text), None)


STATUS = {
    Fault.UNAUTHORIZED: ("401 Unauthorized", b"Unauthorized"),
    Fault.FORBIDDEN: (
        "403 Forbidden",
        b"Forbidden (user=someone, verb=get, resource=nodes, subresource(s)=[stats])\n",
    ),
    Fault.NOT_FOUND: ("404 Not Found", b"404 page not found\n"),
    Fault.ERROR: ("500 Internal Server Error", b"failed to get stats\n"),
}
SKEW_SECONDS = 120.0
JUMP_SECONDS = 3600.0
BODY_FAULTS = frozenset(
    {Fault.WRONG_NODE, Fault.MISTYPED, Fault.MISSING, Fault.ABSURD, Fault.NO_CONTAINERS}
)


HUGE_BYTES = 8 * 2**20 - 2**16  # of a response, a little less than is allowed
_FILLING = b'{"name": "abcdefgh", "value": 12345678, "more": [1, 2, 3]}, '
_BEFORE = b'"containers": ['


def clock(fault: Fault, now: float) -> float:
    """Return what the kubelet's own clock says at `now` (epoch seconds)."""
    if fault is Fault.SKEW:
        return now + SKEW_SECONDS
    if fault is Fault.JUMP and int(now / 7) % 2:
        return now - JUMP_SECONDS
    return now


def enlarge(body: bytes) -> bytes:
    """Return the Summary with unused fields in each pod, up to HUGE_BYTES."""
    pods = body.count(_BEFORE)
    count = (HUGE_BYTES - len(body)) // (len(_FILLING) * pods) if pods else 0
    filling = b'"filling": [' + max(0, count - 1) * _FILLING + b"0], "
    return body.replace(_BEFORE, filling + _BEFORE)


def spoil(fault: Fault, body: bytes) -> bytes:
    """Return the Summary with the fault in its content."""
    summary: dict[str, Any] = json.loads(body)
    # The same pod and container each time: a kubelet lists them in any order.
    pods = sorted(summary["pods"], key=lambda pod: str(pod["podRef"]["name"]))
    first = min(pods[0]["containers"], key=lambda container: str(container["name"])) if pods else {}
    if fault is Fault.WRONG_NODE:
        summary["node"]["nodeName"] = "another-node"
    elif fault is Fault.NO_CONTAINERS:
        for pod in pods:
            pod["containers"] = []
    elif fault is Fault.MISTYPED:
        first["cpu"]["usageCoreNanoSeconds"] = "a lot"
    elif fault is Fault.MISSING:
        del first["memory"]
    elif fault is Fault.ABSURD:
        first["memory"]["workingSetBytes"] = 2**70
        first["cpu"]["usageCoreNanoSeconds"] = 10**30
    return json.dumps(summary, indent=1).encode()
