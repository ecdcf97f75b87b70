"""All objects of the embedded cluster, by resource, and everyone who watches them."""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Events = list[tuple[int, str, Object]]
HISTORY = 5000  # events kept for watches that resume


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where it is in the API. `group` is empty for the core API."""

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


_RBAC = "rbac.authorization.k8s.io"
KINDS = (
    Kind("Namespace", "namespaces", namespaced=False, short=("ns",)),
    Kind("Node", "nodes", namespaced=False, short=("no",)),
    Kind("Pod", "pods", short=("po",)),
    Kind("Service", "services", short=("svc",)),
    Kind("ConfigMap", "configmaps", short=("cm",)),
    Kind("Secret", "secrets"),
    Kind("ServiceAccount", "serviceaccounts", short=("sa",)),
    Kind("Deployment", "deployments", "apps", short=("deploy",)),
    Kind("APIService", "apiservices", "apiregistration.k8s.io", namespaced=False),
    Kind("ClusterRole", "clusterroles", _RBAC, namespaced=False),
    Kind("ClusterRoleBinding", "clusterrolebindings", _RBAC, namespaced=False),
    Kind("Role", "roles", _RBAC),
    Kind("RoleBinding", "rolebindings", _RBAC),
    Kind("EndpointSlice", "endpointslices", "discovery.k8s.io"),
    Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy", short=("pdb",)),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io", short=("netpol",)),
    Kind("ServiceMonitor", "servicemonitors", "monitoring.coreos.com"),
)
BY_KIND = {kind.kind: kind for kind in KINDS}
BY_PLURAL = {kind.plural: kind for kind in KINDS}


class Conflict(Exception):
    """The object was changed by someone else, or is there already."""


class Cluster:
    """The objects, by kind and by (namespace, name). Every change has a version of its own."""

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[str, dict[tuple[str, str], Object]] = {k.plural: {} for k in KINDS}
        self._events: deque[tuple[int, str, str, Object]] = deque(maxlen=HISTORY)
        self._changed = asyncio.Event()

    def list(self, plural: str, namespace: str | None = None) -> list[Object]:
        """Give the objects of a kind, sorted by namespace and name."""
        found = sorted(self._objects[plural].items())
        return [item for (ns, _), item in found if namespace in (None, ns)]

    def get(self, plural: str, name: str, namespace: str = "") -> Object | None:
        return self._objects[plural].get((namespace, name))

    def apply(self, plural: str, item: Object) -> Object:
        """Create or replace an object. Raises Conflict when its version is not the current one."""
        item = copy.deepcopy(item)
        metadata = item.setdefault("metadata", {})
        key = (metadata.get("namespace", ""), metadata["name"])
        old = self._objects[plural].get(key)
        wanted = metadata.get("resourceVersion")
        if old is not None and wanted and wanted != old["metadata"]["resourceVersion"]:
            raise Conflict(f"{plural} {metadata['name']!r} has been modified")
        kind = BY_PLURAL[plural]
        item.update(kind=kind.kind, apiVersion=kind.api_version)
        before = old["metadata"] if old else {}
        metadata["uid"] = before.get("uid") or str(uuid.uuid4())
        metadata["creationTimestamp"] = before.get("creationTimestamp") or timestamp(time.time())
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self._objects[plural][key] = item
        self._tell("MODIFIED" if old else "ADDED", plural, item)
        return item

    def delete(self, plural: str, name: str, namespace: str = "") -> Object | None:
        item = self._objects[plural].pop((namespace, name), None)
        if item is not None:
            self.version += 1
            item = copy.deepcopy(item)
            item["metadata"]["resourceVersion"] = str(self.version)
            self._tell("DELETED", plural, item)
        return item

    def events_since(self, version: int, plural: str) -> Events | None:
        """Give later events of a kind as (version, type, object); None when some are forgotten."""
        if self._events and version + 1 < self._events[0][0] and len(self._events) == HISTORY:
            return None
        return [(v, kind, o) for v, kind, p, o in self._events if v > version and p == plural]

    async def wait_change(self, seconds: float) -> None:
        """Wait until something changes, or the time is over."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return

    def _tell(self, kind: str, plural: str, item: Object) -> None:
        self._events.append((self.version, kind, plural, item))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def timestamp(seconds: float) -> str:
    """Give epoch seconds as the API writes times: RFC 3339, whole seconds, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
