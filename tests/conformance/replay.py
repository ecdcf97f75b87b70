"""A recorded exchange sent again, to the real server, over TLS."""

from __future__ import annotations

import asyncio
import base64
import gzip
import http.client
import json
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.pki import Certificate, load_pair
from metricsapi.tools.sandbox.serverprocess import ServerProcess
from metricsapi.tools.sandbox.size import Size
from tests.conformance.recorded_cluster import NODES, PODS
from tests.support.paths import RECORDED

EXCHANGES = RECORDED / "metrics-server-0.8.1.json"
DISCOVERY = "/apis/metrics.k8s.io/v1beta1"


@dataclass(frozen=True)
class Exchange:
    """A request and its answer. Header names are in lower case."""

    name: str
    method: str
    path: str
    certificate: str | None
    headers: dict[str, str]
    status: int
    answered: dict[str, str]
    body: bytes


def recorded() -> list[Exchange]:
    return [
        Exchange(
            exchange["name"],
            exchange["method"],
            exchange["path"],
            exchange["client_cert"],
            exchange["headers"],
            exchange["status"],
            {name.lower(): value for name, value in exchange["response_headers"].items()},
            base64.b64decode(exchange["body_base64"])
            if "body_base64" in exchange
            else exchange["body"].encode("utf-8", "surrogateescape"),
        )
        for exchange in json.loads(EXCHANGES.read_text())
    ]


@dataclass
class Server:
    """The server in a cluster of the recorded size; `async with` it."""

    directory: Path
    flags: tuple[str, ...] = ()
    _certificates: dict[str, ssl.SSLContext] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Server:  # noqa: PYI034
        size = Size(NODES, PODS, 2, host=False)
        self._embedded = await Embedded(size, self.directory, port=0).__aenter__()
        self._process = ServerProcess(self.directory, self.flags)
        await self._process.start()
        api = self._embedded.api
        front_proxy = api.front_proxy_ca.issue("front-proxy-client")
        admin = api.ca.issue("admin", groups=("system:masters",))
        self._certificates = {
            "front-proxy-client": _context(front_proxy),
            "admin": _context(admin),
            "": _context(None),
        }
        self._grant()
        deadline = time.monotonic() + 60
        while not await asyncio.to_thread(self._served):
            assert time.monotonic() < deadline, "no usage of every node and pod"
            await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._process.stop()
        await self._embedded.__aexit__(None, None, None)

    def _grant(self) -> None:
        """Make the two accounts of the recording: one with a permission, one without."""
        cluster = self._embedded.cluster
        account = "system:serviceaccount:default"
        self._tokens = {
            "@SA": self._embedded.api.add_user(f"{account}:plain"),
            "@SAG": self._embedded.api.add_user(f"{account}:granted"),
        }
        rule = {"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": ["get"]}
        cluster.apply("clusterroles", {"metadata": {"name": "read"}, "rules": [rule]})
        subject = {"kind": "ServiceAccount", "namespace": "default", "name": "granted"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "read"}
        cluster.apply(
            "clusterrolebindings",
            {"metadata": {"name": "read"}, "subjects": [subject], "roleRef": role},
        )

    def _served(self) -> bool:
        headers = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
        counts = []
        for resource in ("nodes", "pods"):
            path = f"{DISCOVERY}/{resource}"
            try:
                answer = self.send("GET", path, "front-proxy-client", headers)
            except OSError:
                return False
            if answer[0] != 200:
                return False
            counts.append(len(json.loads(answer[2])["items"]))
        return counts == [NODES, NODES * PODS]

    def send(
        self, method: str, path: str, certificate: str | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer."""
        headers = dict(headers)
        if "Authorization" in headers:
            scheme, token = headers["Authorization"].split(" ", 1)
            headers["Authorization"] = f"{scheme} {self._tokens.get(token, token)}"
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._process.port, context=self._certificates[certificate or ""]
        )
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        if found.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return answer.status, found, body

    async def replay(self, exchange: Exchange) -> Exchange:
        """Send it again, from a thread: the cluster that reviews it runs in this loop."""
        status, answered, body = await asyncio.to_thread(
            self.send, exchange.method, exchange.path, exchange.certificate, exchange.headers
        )
        return Exchange(
            exchange.name,
            exchange.method,
            exchange.path,
            exchange.certificate,
            exchange.headers,
            status,
            answered,
            body,
        )


def _context(issued: Certificate | None) -> ssl.SSLContext:
    context: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if issued is not None:
        load_pair(context, issued)
    return context  # type: ignore[no-any-return]
