"""The aggregation layer: which APIServices are available, and the way of a request through one.

Headers are those of the recording `aggregator-requests.jsonl`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import time
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from metricsapi.sandbox.pki import Authority
from metricsapi.sandbox.rbac import User
from metricsapi.sandbox.routes import merged, status
from metricsapi.sandbox.state import Cluster, Conflict, timestamp

Object = dict[str, Any]
Address = tuple[str, int]
PROBE_EVERY = 0.5  # seconds while unavailable; less often while all is well
PROBE_WELL = 5.0
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "authorization"}


class Aggregator:
    """Sends what belongs to an APIService to a server behind its Service.

    `endpoints` says where the Services' servers are; tests and the sandbox change it.
    """

    def __init__(self, cluster: Cluster, front_proxy: Authority) -> None:
        self.cluster = cluster
        self.endpoints: dict[tuple[str, str], list[Address]] = {}
        self.use(front_proxy)
        self._clients: dict[tuple[Any, ...], httpx.AsyncClient] = {}
        self._turn = 0

    def use(self, front_proxy: Authority) -> None:
        """Present a certificate of this authority from the next new connection on."""
        self._certificate = front_proxy.issue("front-proxy-client", client=True)
        self._generation = getattr(self, "_generation", 0) + 1

    def service_for(self, path: str) -> Object | None:
        """Give the APIService that a path belongs to, if one is served by a Service."""
        parts = path.split("/")
        if len(parts) < 4 or parts[1] != "apis":
            return None
        item = self.cluster.get("apiservices", f"{parts[3]}.{parts[2]}")
        return item if item and item.get("spec", {}).get("service") else None

    async def run(self) -> None:
        """Probe every APIService with a Service, until cancelled."""
        while True:
            wait = PROBE_WELL
            for item in self.cluster.list("apiservices"):
                if item.get("spec", {}).get("service") and not await self.probe(item):
                    wait = PROBE_EVERY
            await self.cluster.wait_change(wait)
            await asyncio.sleep(0.05)

    async def probe(self, item: Object) -> bool:
        """Ask an APIService's server for its discovery; write the Available condition."""
        spec = item["spec"]
        path = f"/apis/{spec['group']}/{spec['version']}"
        headers = {
            "User-Agent": "Go-http-client/1.1",
            "X-Remote-Group": "system:masters",
            "X-Remote-User": "system:kube-aggregator",
            "Accept-Encoding": "gzip",
        }
        reason, message = "Passed", "all checks passed"
        try:
            client, url = self._backend(item)
            answer = await client.get(url + path, headers=headers, timeout=5.0)
            if not 200 <= answer.status_code < 300:
                reason = "FailedDiscoveryCheck"
                message = f"bad status from {url}{path}: {answer.status_code}"
        except (httpx.TransportError, ssl.SSLError, LookupError) as error:
            reason = (
                "MissingEndpoints" if isinstance(error, LookupError) else "FailedDiscoveryCheck"
            )
            message = str(error) or type(error).__name__
        self._write_condition(item, reason, message)
        return reason == "Passed"

    async def proxy(self, request: Request, item: Object, user: User) -> Response:
        """Pass a request on, as the front proxy, and its answer back."""
        conditions = item.get("status", {}).get("conditions", [])
        if not any(c["type"] == "Available" and c["status"] == "True" for c in conditions):
            return status(503, "ServiceUnavailable", "service unavailable")
        try:
            client, url = self._backend(item)
            outgoing = client.build_request(
                request.method,
                url + _target(request),
                headers=_headers(request, user),
                content=await request.body(),
                timeout=60.0,
            )
            answer = await client.send(outgoing, stream=True)
        except (httpx.TransportError, LookupError) as error:
            return status(503, "ServiceUnavailable", f"error trying to reach service: {error}")
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, headers, background=_closing(answer)
        )

    async def get_json(self, item: Object, path: str) -> Any:
        """Read a document of an APIService's server as the aggregator; None when it has none."""
        with contextlib.suppress(httpx.HTTPError, ValueError, LookupError):
            client, url = self._backend(item)
            headers = {"X-Remote-User": "system:aggregator", "Accept": "application/json"}
            answer = await client.get(url + path, headers=headers, timeout=5.0)
            if answer.status_code == 200:
                return answer.json()
        return None

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def _backend(self, item: Object) -> tuple[httpx.AsyncClient, str]:
        """Choose an endpoint in turn. Raises LookupError when there is none."""
        spec = item["spec"]
        service = (spec["service"]["namespace"], spec["service"]["name"])
        addresses = self.endpoints.get(service)
        if not addresses:
            raise LookupError(f"endpoints for service/{service[1]} in {service[0]!r} are missing")
        self._turn += 1
        host, port = addresses[self._turn % len(addresses)]
        skip = spec.get("insecureSkipTLSVerify")
        key = (host, port, spec.get("caBundle"), skip, service, self._generation)
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = httpx.AsyncClient(
                verify=self._context(spec),
                trust_env=False,
                limits=httpx.Limits(max_keepalive_connections=25, keepalive_expiry=90.0),
            )
            client.headers.clear()
            name = f"{service[1]}.{service[0]}.svc"
            client.event_hooks = {"request": [_with_server_name(name)]}
        return client, f"https://{host}:{port}"

    def _context(self, spec: Object) -> ssl.SSLContext:
        bundle = spec.get("caBundle")
        context = ssl.create_default_context(
            cadata=base64.b64decode(bundle).decode() if bundle else None
        )
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if spec.get("insecureSkipTLSVerify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        with _as_file(self._certificate.pem) as path:
            context.load_cert_chain(path)
        return context

    def _write_condition(self, item: Object, reason: str, message: str) -> None:
        ok = "True" if reason == "Passed" else "False"
        old: Object = next(iter(item.get("status", {}).get("conditions", [])), {})
        if (old.get("status"), old.get("reason"), old.get("message")) == (ok, reason, message):
            return
        condition = {
            "type": "Available",
            "status": ok,
            "reason": reason,
            "message": message,
            "lastTransitionTime": timestamp(time.time()),
        }
        with contextlib.suppress(Conflict):  # changed meanwhile: the next probe sees the new one
            self.cluster.apply("apiservices", merged(item, {"status": {"conditions": [condition]}}))


@contextlib.contextmanager
def _as_file(content: bytes) -> Any:
    import tempfile  # noqa: PLC0415

    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(content)
        file.flush()
        yield file.name


def _with_server_name(name: str) -> Any:
    async def hook(request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "sni_hostname": name}

    return hook


def _target(request: Request) -> str:
    path: str = request.scope["raw_path"].decode("ascii")
    query = request.scope["query_string"].decode("ascii")
    return f"{path}?{query}" if query else path


def _headers(request: Request, user: User) -> list[tuple[str, str]]:
    kept = [
        (name, value)
        for name, value in request.headers.items()
        if name not in _HOP and not name.startswith(("x-remote-", "x-forwarded-", "content-length"))
    ]
    client = request.client.host if request.client else "127.0.0.1"
    host = request.headers.get("host", "localhost")
    return [
        *kept,
        ("X-Forwarded-For", client),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", request.url.path),
        ("X-Remote-User", user.name),
        *((("X-Remote-Uid", user.uid),) if user.uid else ()),
        *(("X-Remote-Group", group) for group in user.groups),
        *((f"X-Remote-Extra-{_header_key(key)}", value) for key, value in user.extra),
    ]


def _header_key(key: str) -> str:
    """Escape an extra's key as Go's front proxy does: lower-case hexadecimal, first letter up."""
    escaped = "".join(c if c.isalnum() or c in "-._" else f"%{ord(c):02x}" for c in key)
    return "-".join(part[:1].upper() + part[1:] for part in escaped.split("-"))


def _closing(answer: httpx.Response) -> Any:
    async def close() -> None:
        await answer.aclose()

    return close
