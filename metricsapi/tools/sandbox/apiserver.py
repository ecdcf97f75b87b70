"""The stand-in API server: real TLS, the resources kubectl asks for, and the aggregation layer."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from metricsapi.tools.sandbox import control
from metricsapi.tools.sandbox.aggregator import Aggregator
from metricsapi.tools.sandbox.authorities import Authorities
from metricsapi.tools.sandbox.background import forever
from metricsapi.tools.sandbox.builtin import apply_builtin_roles, apply_local_services
from metricsapi.tools.sandbox.credentials import kubeconfig
from metricsapi.tools.sandbox.discovery import Discovery
from metricsapi.tools.sandbox.documents import Documents
from metricsapi.tools.sandbox.listener import Listener
from metricsapi.tools.sandbox.nodeproxy import USER as KUBELET_CLIENT
from metricsapi.tools.sandbox.nodeproxy import NodeProxy
from metricsapi.tools.sandbox.openapi import OpenApi
from metricsapi.tools.sandbox.outages import Outage, Outages
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.rbac import (
    MASTERS,
    Attributes,
    User,
    allowed,
    attributes_of,
    forbidden_message,
)
from metricsapi.tools.sandbox.responses import status
from metricsapi.tools.sandbox.reviews import Reviews
from metricsapi.tools.sandbox.routes import Resources
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.subresources import Subresources
from metricsapi.tools.sandbox.users import AUDIENCE, Users, impersonated


class ApiServer:
    """One API server over one cluster. `tokens` maps bearer tokens to users and their groups."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.authorities = Authorities(cluster)
        self.users = Users()
        self.outages = Outages(cluster.wake)
        self.aggregator = Aggregator(cluster, self.authorities)
        self.resources = Resources(cluster, self.outages)
        self.subresources = Subresources(cluster, self.aggregator.addresses)
        self.url = ""
        self._host = ""
        self._port = 0
        self._listener: Listener | None = None
        self._probing: asyncio.Task[None] | None = None
        self._control = control.OutageControl(self.outages, self.set_outage)
        apply_builtin_roles(cluster)
        apply_local_services(cluster)
        self.node_proxy = NodeProxy(
            cluster,
            lambda: self.authorities.clients[0].issue(KUBELET_CLIENT, groups=(MASTERS,)),
            self.users.add(KUBELET_CLIENT, (MASTERS,), (AUDIENCE,)),
        )

    @property
    def ca(self) -> Authority:
        """What signs this server's own certificate."""
        return self.authorities.own

    @property
    def ca_for_clients(self) -> Authority:
        return self.authorities.clients[0]

    @property
    def front_proxy_ca(self) -> Authority:
        return self.authorities.front_proxies[0]

    @property
    def tokens(self) -> dict[str, User]:
        return self.users.tokens

    @property
    def outage(self) -> Outage:
        """The outage at present."""
        return self.outages.now

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 is any free one. Raises OSError when the port is taken."""
        listener = Listener(self._app(), self.authorities.serving(host), host)
        await listener.start(port)
        self._listener = listener
        self._host, self._port = host, listener.port
        self.url = f"https://{host}:{listener.port}"
        self._probing = asyncio.create_task(forever("probing APIServices", self.aggregator.run))

    async def stop(self) -> None:
        """Close the port and reset every connection at once."""
        running = [task for task in (self._probing, self._control.task) if task is not None]
        for task in running:
            task.cancel()
        if self._listener is not None:
            await self._listener.stop()
        await asyncio.gather(*running, return_exceptions=True)
        await self.aggregator.close()
        await self.node_proxy.close()

    async def publish(self) -> None:
        """Do nothing: objects of the cluster are served at once."""

    async def connect(self, namespace: str, service: str, port: int) -> None:
        """Make a port of this machine the only endpoint of a Service."""
        self.aggregator.endpoints[namespace, service] = [("127.0.0.1", port)]

    def show_log(self, namespace: str, pod: str, path: Path) -> None:
        """Serve a file as the log of a pod, for `kubectl logs`."""
        self.subresources.logs[namespace, pod] = path

    async def set_outage(self, outage: Outage) -> None:
        """Begin an outage, or end it with `Outage.NONE`."""
        if self._listener is None:
            raise RuntimeError("the API server was not started")
        before = self.outages.now
        self.outages.set(outage)
        if outage is Outage.EXPIRED_WATCHES:
            self.resources.lists.expire()
        if outage is Outage.DOWN:
            await self._listener.stop()
        elif before is Outage.DOWN:
            await self._listener.start(self._port)

    def break_connections(self) -> None:
        """Reset every connection; the port stays open."""
        if self._listener is not None:
            self._listener.abort()

    async def restart(self, seconds_away: float = 0.0) -> None:
        """Reset every connection, be away for a while and come back on the same port."""
        await self.set_outage(Outage.DOWN)
        await asyncio.sleep(seconds_away)
        await self.set_outage(Outage.NONE)

    def add_user(
        self, name: str, groups: tuple[str, ...] = (), audiences: tuple[str, ...] = (AUDIENCE,)
    ) -> str:
        """Make a user, or an account by `system:serviceaccount:NS:NAME`; return its token."""
        return self.users.add(name, groups, audiences)

    def kubeconfig(
        self, name: str, groups: tuple[str, ...] = (), *, certificate: bool = False
    ) -> str:
        """Make a user with a token of its own, or a certificate; return the kubeconfig."""
        credential = self._credential(name, groups, certificate)
        return kubeconfig(self.url, self.ca.pem, name, credential)

    def _credential(self, name: str, groups: tuple[str, ...], certificate: bool) -> dict[str, str]:
        if not certificate:
            return {"token": self.add_user(name, groups)}
        issued = self.ca_for_clients.issue(name, groups=groups)
        pairs = (("certificate", issued.pem), ("key", issued.key))
        return {f"client-{name}-data": base64.b64encode(pem).decode() for name, pem in pairs}

    def _app(self) -> ASGIApp:
        documents = Documents(self.aggregator)
        inner = Starlette(
            routes=[
                *(Route(path, _ok) for path in ("/readyz", "/livez", "/healthz")),
                *self._control.routes(),
                *OpenApi(self.aggregator, documents).routes(),
                *Reviews(self.cluster, self.users).routes(),
                *self.node_proxy.routes(),
                *self.resources.routes(),
                *self.subresources.routes(),
                *Discovery(self.cluster, documents).routes(),
            ],
            exception_handlers={404: _refused, 405: _refused},
        )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive)
            response: ASGIApp = await self._refusal(request) or inner
            item = self.aggregator.service_for(request.url.path)
            if response is inner and item is not None:
                response = await self.aggregator.proxy(request, item, request.state.user)
            await response(scope, receive, send)

        return app

    async def _refusal(self, request: Request) -> Response | None:
        """Authenticate and authorize; set `request.state.user`, or return the refusal."""
        path = request.url.path
        if path != control.PATH and (wrong := await self.outages.before()):
            return wrong
        peer = request.scope["state"].get("peer")
        user = self.users.authenticate(request.headers, peer, self.authorities.clients)
        if user is None:
            return status(401, "Unauthorized")
        wanted, needed = impersonated(request.headers, user)
        attributes = attributes_of(request.method, path, dict(request.query_params))
        request.state.user = wanted
        for who, what in (*((user, each) for each in needed), (wanted, attributes)):
            if not allowed(self.cluster, who, what):
                return _forbidden(who, what)
        return None


def _forbidden(user: User, attributes: Attributes) -> Response:
    what = {"name": attributes.name, "group": attributes.group, "kind": attributes.resource}
    return status(
        403, forbidden_message(user, attributes), details=None if attributes.path else what
    )


async def _ok(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _refused(_: Request, error: Exception) -> Response:
    """Return 404 for an unknown path, 405 for a method that it does not have."""
    if getattr(error, "status_code", 404) == 405:
        return status(405, "the server does not allow this method on the requested resource")
    return status(404, "the server could not find the requested resource")
