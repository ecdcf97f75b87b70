"""The stand-in API server: real TLS, the resources kubectl asks for, and the aggregation layer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import ssl
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from metricsapi.sandbox.aggregator import Aggregator
from metricsapi.sandbox.builtin import apply_builtin_roles
from metricsapi.sandbox.pki import Authority
from metricsapi.sandbox.rbac import User, allowed, attributes_of, forbidden_message
from metricsapi.sandbox.reviews import access_review, subject_of, token_review
from metricsapi.sandbox.routes import Resources, status
from metricsapi.sandbox.state import KINDS, Cluster

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
ADMIN = "kubernetes-admin"
_REVIEWS = "/apis/authorization.k8s.io/v1"


class ApiServer:
    """One API server over one cluster. `tokens` maps bearer tokens to users and their groups."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ca = Authority.create("kubernetes")
        self.ca_for_clients = self.ca
        self.front_proxy_ca = Authority.create("front-proxy-ca")
        self.aggregator = Aggregator(cluster, self.front_proxy_ca)
        self.tokens: dict[str, User] = {}
        self.url = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._server: uvicorn.Server | None = None
        apply_builtin_roles(cluster)
        self._publish([self.ca], [self.front_proxy_ca])

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 is any free one. Raises OSError when the port is taken."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError:
            listening.close()
            raise
        self.url = f"https://{host}:{listening.getsockname()[1]}"
        self._server = server = _Quiet(
            uvicorn.Config(
                self._app,
                http=_PeerProtocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=120,
                ssl_context_factory=lambda *_: self._context(host),
            )
        )
        self._tasks = [
            asyncio.create_task(server.serve(sockets=[listening])),
            asyncio.create_task(self.aggregator.run()),
        ]
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Close every connection and the port."""
        if self._server:
            self._server.should_exit = True
            self._server.force_exit = True
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.aggregator.close()

    def add_user(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """Make a user or, by the name `system:serviceaccount:NS:NAME`, an account; give its token."""
        if name.startswith("system:serviceaccount:"):
            namespace = name.split(":")[2]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", *groups)
        token = secrets.token_urlsafe(24)
        identifier = str(uuid.uuid4())
        extra = (("authentication.kubernetes.io/credential-id", f"JTI={identifier}"),)
        groups = (*groups, "system:authenticated")
        uid = identifier if name.startswith("system:serviceaccount:") else ""
        self.tokens[token] = User(name, groups, uid, extra)
        return token

    def kubeconfig(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """Make a user with a token of its own; give the kubeconfig's text."""
        token = self.add_user(name, groups)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "sandbox",
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": name}}],
            "clusters": [
                {
                    "name": "sandbox",
                    "cluster": {
                        "server": self.url,
                        "certificate-authority-data": base64.b64encode(self.ca.pem).decode(),
                    },
                }
            ],
            "users": [{"name": name, "user": {"token": token}}],
        }
        return yaml.safe_dump(config)

    def _context(self, host: str) -> ssl.SSLContext:
        issued = self.ca.issue("kube-apiserver", dns=("localhost",), ips=(host,), server=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "pair.pem")
            path.write_bytes(issued.pem)
            context.load_cert_chain(path)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=self.ca_for_clients.pem.decode())
        return context

    def rotate_client_ca(self, *, keep_old: bool = True) -> None:
        """Sign clients with a new authority; the old one is believed on, or no longer."""
        old, self.ca_for_clients = self.ca_for_clients, Authority.create("kubernetes-next")
        self._publish([self.ca_for_clients, *[old] * keep_old], self._front_proxies)

    def rotate_front_proxy_ca(self, *, keep_old: bool = True) -> None:
        """Use another front-proxy authority; the old one is believed on, or no longer."""
        old, self.front_proxy_ca = self.front_proxy_ca, Authority.create("front-proxy-next")
        self._publish(self._clients, [self.front_proxy_ca, *[old] * keep_old])
        self.aggregator.use(self.front_proxy_ca)

    def _publish(self, clients: list[Authority], front_proxies: list[Authority]) -> None:
        """Write the authorities to the ConfigMap that aggregated servers read."""
        self._clients, self._front_proxies = clients, front_proxies
        item = self._authentication()
        item["data"]["client-ca-file"] = b"".join(a.pem for a in clients).decode()
        item["data"]["requestheader-client-ca-file"] = b"".join(
            a.pem for a in front_proxies
        ).decode()
        self.cluster.apply("configmaps", item)

    def _authentication(self) -> dict[str, Any]:
        return {
            "metadata": {
                "name": "extension-apiserver-authentication",
                "namespace": "kube-system",
            },
            "data": {
                "requestheader-allowed-names": json.dumps(["front-proxy-client"]),
                "requestheader-username-headers": json.dumps(["X-Remote-User"]),
                "requestheader-uid-headers": json.dumps(["X-Remote-Uid"]),
                "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
                "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
            },
        }

    @property
    def _app(self) -> Any:
        inner = Starlette(
            routes=[
                Route("/version", _version),
                Route("/readyz", _ok),
                Route("/livez", _ok),
                Route("/healthz", _ok),
                Route("/api", self._core),
                Route("/api/v1", self._group_version),
                Route("/apis", self._groups),
                Route("/openapi/v2", self._openapi_v2),
                Route("/openapi/v3", self._openapi_v3),
                Route("/apis/authentication.k8s.io/v1/tokenreviews", self._token, methods=["POST"]),
                Route(f"{_REVIEWS}/subjectaccessreviews", self._access, methods=["POST"]),
                Route(f"{_REVIEWS}/selfsubjectaccessreviews", self._self_access, methods=["POST"]),
                *Resources(self.cluster).routes(),
                Route("/apis/{group}/{version}", self._group_version),
            ]
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            request = Request(scope, receive)
            user = self._user(request)
            item = self.aggregator.service_for(request.url.path)
            asked = attributes_of(request.method, request.url.path, dict(request.query_params))
            if user is None:
                await status(401, "Unauthorized", "Unauthorized")(scope, receive, send)
            elif not allowed(self.cluster, user, asked):
                message = forbidden_message(user, asked)
                await status(403, "Forbidden", message)(scope, receive, send)
            elif item is not None:
                await (await self.aggregator.proxy(request, item, user))(scope, receive, send)
            elif path := self._openapi_of(request.url.path):
                service = self.aggregator.service_for(path)
                document = await self.aggregator.get_json(service or {}, request.url.path)
                await JSONResponse(document)(scope, receive, send)
            else:
                await inner(scope, receive, send)

        return app

    def _user(self, request: Request) -> User | None:
        """Give who asks, by token or by client certificate; None for a token that is unknown."""
        authorization = request.headers.get("authorization")
        if authorization:
            return self.tokens.get(authorization.removeprefix("Bearer "))
        peer = request.scope.get("state", {}).get("peer")
        if peer is None:
            return User("system:anonymous", ("system:unauthenticated",))
        subject = x509.load_der_x509_certificate(peer).subject
        name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        organizations = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return User(name, (*(str(o.value) for o in organizations), "system:authenticated"))

    async def _core(self, _: Request) -> Response:
        return JSONResponse({"kind": "APIVersions", "versions": ["v1"]})

    async def _groups(self, _: Request) -> Response:
        versions: dict[str, list[str]] = {}
        for kind in KINDS:
            if kind.group:
                versions.setdefault(kind.group, [kind.version])
        for item in self.cluster.list("apiservices"):
            if item["spec"].get("service"):
                versions.setdefault(item["spec"]["group"], []).append(item["spec"]["version"])
        groups = []
        for group, found in versions.items():
            entries = [{"groupVersion": f"{group}/{v}", "version": v} for v in found]
            groups.append({"name": group, "versions": entries, "preferredVersion": entries[0]})
        return JSONResponse({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    async def _group_version(self, request: Request) -> Response:
        group = request.path_params.get("group", "")
        found = [kind for kind in KINDS if kind.group == group]
        if not found:
            return status(404, "NotFound", "the server could not find the requested resource")
        return JSONResponse(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": found[0].api_version,
                "resources": [
                    {
                        "name": kind.plural,
                        "singularName": kind.kind.lower(),
                        "namespaced": kind.namespaced,
                        "kind": kind.kind,
                        "verbs": VERBS,
                        "shortNames": list(kind.short),
                    }
                    for kind in found
                ],
            }
        )

    async def _openapi_v2(self, _: Request) -> Response:
        merged: dict[str, Any] = {"swagger": "2.0", "info": {}, "paths": {}, "definitions": {}}
        for item in self._aggregated():
            document = await self.aggregator.get_json(item, "/openapi/v2")
            for part in ("paths", "definitions"):
                merged[part].update((document or {}).get(part, {}))
        return JSONResponse(merged)

    async def _openapi_v3(self, _: Request) -> Response:
        paths: dict[str, Any] = {}
        for item in self._aggregated():
            paths |= (await self.aggregator.get_json(item, "/openapi/v3") or {}).get("paths", {})
        return JSONResponse({"paths": paths})

    def _openapi_of(self, path: str) -> str | None:
        prefix = "/openapi/v3"
        return path.removeprefix(prefix) if path.startswith(f"{prefix}/apis/") else None

    def _aggregated(self) -> list[dict[str, Any]]:
        return [i for i in self.cluster.list("apiservices") if i["spec"].get("service")]

    async def _token(self, request: Request) -> Response:
        return JSONResponse(token_review(await request.json(), self.tokens), 201)

    async def _access(self, request: Request) -> Response:
        review = await request.json()
        return JSONResponse(access_review(review, self.cluster, subject_of(review)), 201)

    async def _self_access(self, request: Request) -> Response:
        user = self._user(request) or User("")
        return JSONResponse(access_review(await request.json(), self.cluster, user), 201)


class _PeerProtocol(HttpToolsProtocol):
    """Tells the application the client's certificate, which uvicorn does not."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, "peer": connection.getpeercert(True)}


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _version(_: Request) -> Response:
    return JSONResponse({"major": "1", "minor": "36", "gitVersion": "v1.36.0+metricsapi-sandbox"})


async def _ok(_: Request) -> Response:
    return PlainTextResponse("ok")
