"""`Table` responses: the columns of `kubectl get`."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from metricsapi.tools.sandbox.record import Object, Record

Column = tuple[str, int, Callable[[Object], Any]]  # name, priority (1: only with -o wide), cell
INCLUDED = (
    "Metadata",
    "Object",
    "None",
    "",
)  # values of `includeObject`: what a row has beside the cells


def included(requested: str) -> str:
    """Return what a row has beside its cells. Raises ValueError for what is none of `INCLUDED`."""
    if requested not in INCLUDED:
        raise ValueError(
            f"Unable to convert to Table as requested: includeObject: Invalid value: "
            f"\"{requested}\": must be 'Metadata', 'Object', 'None', or empty"
        )
    return requested or "Metadata"


def table(
    plural: str, records: Iterable[Record], metadata: Object, include: str, *, headers: bool = True
) -> bytes:
    """Return the Table of these objects as JSON; later events of a watch have no `headers`."""
    columns = COLUMNS.get(plural, DEFAULT)
    head = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(*column[:2]) for column in columns] if headers else None,
    }
    rows = b",".join([_row(columns, record, include) for record in records])
    return b'%b,"rows":[%b]}' % (msgspec.json.encode(head)[:-1], rows)


def _definition(name: str, priority: int) -> Object:
    return {
        "name": name,
        "type": "string",
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": priority,
    }


def _row(columns: tuple[Column, ...], record: Record, include: str) -> bytes:
    item = record.object()
    cells = msgspec.json.encode([cell(item) for _, _, cell in columns])
    shown = {"Metadata": record.partial, "Object": record.json}.get(include, b"null")
    return b'{"cells":%b,"object":%b}' % (cells, shown)


def age(item: Object) -> str:
    """Return the age of an object as kubectl shows it."""
    text = item["metadata"].get("creationTimestamp")
    if not text:  # as in a bookmark
        return "<unknown>"
    made = dt.datetime.fromisoformat(text)
    seconds = max(0, int(time.time() - made.timestamp()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _name(item: Object) -> str:
    return str(item["metadata"].get("name", ""))


def _address(kind: str) -> Callable[[Object], str]:
    def cell(item: Object) -> str:
        values = item.get("status", {}).get("addresses", [])
        return next((a["address"] for a in values if a["type"] == kind), "<none>")

    return cell


def _node_info(field: str) -> Callable[[Object], str]:
    return lambda item: str(item.get("status", {}).get("nodeInfo", {}).get(field, "<unknown>"))


def _node_status(item: Object) -> str:
    conditions = item.get("status", {}).get("conditions", [])
    ready = next((c["status"] for c in conditions if c["type"] == "Ready"), "Unknown")
    return {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")


def _roles(item: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    values = [k.removeprefix(prefix) for k in item["metadata"].get("labels", {}) if prefix in k]
    return ",".join(sorted(values)) or "<none>"


def _containers(item: Object) -> list[Object]:
    values: list[Object] = item.get("spec", {}).get("containers", [])
    return values


def _ready_containers(item: Object) -> str:
    total = len(_containers(item))
    statuses = item.get("status", {}).get("containerStatuses")
    ready = total if statuses is None else sum(1 for s in statuses if s.get("ready"))
    return f"{ready}/{total}"


def _readiness_gates(item: Object) -> str:
    gates = [each["conditionType"] for each in item.get("spec", {}).get("readinessGates", [])]
    conditions = item.get("status", {}).get("conditions", [])
    true = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return f"{len(true.intersection(gates))}/{len(gates)}" if gates else "<none>"


def _ports(item: Object) -> str:
    ports = item.get("spec", {}).get("ports", [])
    return ",".join(f"{p['port']}/{p.get('protocol', 'TCP')}" for p in ports) or "<none>"


def _service_of(item: Object) -> str:
    service = item.get("spec", {}).get("service")
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def _available(item: Object) -> str:
    conditions = item.get("status", {}).get("conditions", [])
    values = next((c for c in conditions if c["type"] == "Available"), None)
    if values is None:
        return "Unknown"
    status = str(values["status"])
    return status if status == "True" else f"{status} ({values['reason']})"


def _data(item: Object) -> str:
    return str(len(item.get("data") or ()))


DEFAULT: tuple[Column, ...] = (("Name", 0, _name), ("Age", 0, age))
COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": (
        ("Name", 0, _name),
        ("Status", 0, lambda item: item.get("status", {}).get("phase", "Active")),
        ("Age", 0, age),
    ),
    "nodes": (
        ("Name", 0, _name),
        ("Status", 0, _node_status),
        ("Roles", 0, _roles),
        ("Age", 0, age),
        ("Version", 0, _node_info("kubeletVersion")),
        ("Internal-IP", 1, _address("InternalIP")),
        ("External-IP", 1, _address("ExternalIP")),
        ("OS-Image", 1, _node_info("osImage")),
        ("Kernel-Version", 1, _node_info("kernelVersion")),
        ("Container-Runtime", 1, _node_info("containerRuntimeVersion")),
    ),
    "pods": (
        ("Name", 0, _name),
        ("Ready", 0, _ready_containers),
        ("Status", 0, lambda item: item.get("status", {}).get("phase", "Unknown")),
        ("Restarts", 0, lambda _: "0"),
        ("Age", 0, age),
        ("IP", 1, lambda item: item.get("status", {}).get("podIP", "<none>")),
        ("Node", 1, lambda item: item.get("spec", {}).get("nodeName", "<none>")),
        ("Nominated Node", 1, lambda _: "<none>"),
        ("Readiness Gates", 1, _readiness_gates),
    ),
    "services": (
        ("Name", 0, _name),
        ("Type", 0, lambda item: item.get("spec", {}).get("type", "ClusterIP")),
        ("Cluster-IP", 0, lambda item: item.get("spec", {}).get("clusterIP", "None")),
        ("External-IP", 0, lambda _: "<none>"),
        ("Port(s)", 0, _ports),
        ("Age", 0, age),
    ),
    "configmaps": (("Name", 0, _name), ("Data", 0, _data), ("Age", 0, age)),
    "secrets": (
        ("Name", 0, _name),
        ("Type", 0, lambda item: item.get("type", "Opaque")),
        ("Data", 0, _data),
        ("Age", 0, age),
    ),
    "deployments": (
        ("Name", 0, _name),
        ("Ready", 0, lambda item: "{0}/{0}".format(item.get("spec", {}).get("replicas", 1))),
        ("Up-to-date", 0, lambda item: str(item.get("spec", {}).get("replicas", 1))),
        ("Available", 0, lambda item: str(item.get("spec", {}).get("replicas", 1))),
        ("Age", 0, age),
    ),
    "apiservices": (
        ("Name", 0, _name),
        ("Service", 0, _service_of),
        ("Available", 0, _available),
        ("Age", 0, age),
    ),
}
