"""Copies the sandbox's objects to a real API server, and keeps them up to date there.

Nothing is copied back. Objects are written by server-side apply, so that fields written by others,
such as an APIService's caBundle, stay; objects that the sandbox no longer has are deleted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Any

import httpx

from metricsapi.tools.sandbox.background import forever
from metricsapi.tools.sandbox.kinds import BY_PLURAL, KINDS
from metricsapi.tools.sandbox.record import Key, Object
from metricsapi.tools.sandbox.state import Cluster, timestamp

ServiceKey = tuple[str, str]  # namespace and name
_OWN = ("uid", "resourceVersion", "creationTimestamp")  # metadata that the real one decides
_WITH_STATUS = ("nodes", "pods")
_IMAGE = "sandbox"


class MirrorError(Exception):
    """The API server refused an object; the message has its response."""


class Mirror:
    """Copies each change. `client` is an administrator's, of the real API server."""

    def __init__(self, cluster: Cluster) -> None:
        self.client: httpx.AsyncClient | None = None
        self._cluster = cluster
        self._applied: dict[str, dict[Key, int]] = {kind.plural: {} for kind in KINDS}
        self._ports: dict[ServiceKey, int] = {}
        self._following: asyncio.Task[None] | None = None
        self._copying = asyncio.Lock()

    async def start(self) -> None:
        """Copy everything, then follow. Raises MirrorError for what is refused."""
        await self._copy()
        following = forever("copying objects to the API server", self._follow)
        self._following = asyncio.create_task(following)

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def connect(self, namespace: str, service: str, port: int) -> None:
        """Make a port of this machine the endpoint of a Service and of its APIServices."""
        self._ports[namespace, service] = port
        await self._copy(anew=("services", "apiservices"))

    async def _follow(self) -> None:
        while True:
            version = self._cluster.version
            await self._copy()
            while self._cluster.version == version:
                await self._cluster.wait_change(60.0)

    async def _copy(self, anew: Iterable[str] = ()) -> None:
        """Copy what has changed since it was copied, and all objects of the kinds `anew`."""
        async with self._copying:
            for plural in anew:
                self._applied[plural].clear()
            for kind in KINDS:
                await self._copy_kind(kind.plural)

    async def _copy_kind(self, plural: str) -> None:
        records = self._cluster.collections[plural].records
        applied = self._applied[plural]
        for key in applied.keys() - records.keys():
            await self._delete(plural, key)
            del applied[key]
        for key, record in list(records.items()):
            if applied.get(key) != record.version:
                await self._apply(plural, key, record.object())
                applied[key] = record.version

    async def _apply(self, plural: str, key: Key, item: Object) -> None:
        metadata = {k: v for k, v in item["metadata"].items() if k not in _OWN}
        uid = item["metadata"].get("uid", "")
        item = self._translated(plural, {**item, "metadata": metadata}, uid)
        status = item.pop("status", None)
        await self._send("PATCH", _path(plural, key), item)
        if status and plural in _WITH_STATUS:
            named = {k: item[k] for k in ("apiVersion", "kind", "metadata")}
            await self._send("PATCH", _path(plural, key) + "/status", {**named, "status": status})

    def _translated(self, plural: str, item: Object, uid: str) -> Object:
        """Adapt an object to this machine, where no address of a pod or Service is reachable.

        The API server takes no loopback address for an endpoint, but any name for an ExternalName
        Service; the port to connect to is then the APIService's.
        """
        spec = item.get("spec") or {}
        if plural == "services":
            where = {"type": "ExternalName", "externalName": "localhost"}
            return {**item, "spec": {"ports": spec["ports"], **where}}
        if plural == "apiservices" and (service := spec.get("service")):
            port = self._ports.get(
                (service["namespace"], service["name"]), service.get("port", 443)
            )
            return {**item, "spec": {**spec, "service": {**service, "port": port}}}
        if plural == "pods":
            containers = [{"image": _IMAGE, **container} for container in spec["containers"]]
            status = {**_ready(containers), **item["status"]}
            spec = {**spec, "containers": containers}
            metadata = {**item["metadata"], "annotations": _static(uid)}
            return {**item, "metadata": metadata, "spec": spec, "status": status}
        return item

    async def _delete(self, plural: str, key: Key) -> None:
        path = _path(plural, key)
        await self._send("DELETE", f"{path}?gracePeriodSeconds=0", None, missing=True)

    async def _send(
        self, method: str, path: str, item: Object | None, *, missing: bool = False
    ) -> None:
        assert self.client is not None, "the API server was not started"  # noqa: S101
        options: dict[str, Any] = {}
        if item is not None:
            path += "?fieldManager=metricsapi-sandbox&force=true"
            headers = {"Content-Type": "application/apply-patch+yaml"}  # JSON is YAML
            options = {"content": json.dumps(item), "headers": headers}
        response = await self.client.request(method, path, **options)
        if response.is_error and not (missing and response.status_code == 404):
            raise MirrorError(f"{method} {path}: {response.text}")


def _static(uid: str) -> dict[str, str]:
    """Return the annotations of a static pod of this uid: the API server sets the object's own.

    So a pod is known to be the one that its kubelet lists.
    """
    return {"kubernetes.io/config.mirror": uid, "kubernetes.io/config.hash": uid}


def _ready(containers: list[Object]) -> Object:
    """Return the status of a pod whose containers run; an autoscaler counts no other."""
    return {
        "startTime": timestamp(time.time()),
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": _IMAGE,
                "imageID": _IMAGE,
                "ready": True,
                "restartCount": 0,
            }
            for container in containers
        ],
    }


def _path(plural: str, key: Key) -> str:
    kind = BY_PLURAL[plural]
    namespace, name = key
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{kind.prefix}{where}/{plural}/{name}"
