"""`metricsapi statusz`: the server's status page on loopback, read with your own credentials.

A browser has neither our token nor our client certificate, and the API server's service proxy
passes neither on. So this connects through `kubectl port-forward` (or `--connect`) as the user
of the kubeconfig, and serves the page under an address that nobody can guess.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from metricsapi.config.command_line import parse, usage, wants_help
from metricsapi.config.files import file_problems
from metricsapi.config.flags import Group, flags_of, with_values
from metricsapi.config.validation import range_problems
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import Credentials, default_kubeconfigs, load_credentials
from metricsapi.kube.errors import ApiError, CredentialsError, KubeError
from metricsapi.kube.files import is_pipe
from metricsapi.kube.identity import Identity
from metricsapi.kube.pem import parse_authorities
from metricsapi.kube.tls import ClientTLS
from metricsapi.telemetry.printable import printable
from metricsapi.tools.port_forward import PortForward, PortForwardError

PAGES = frozenset({"statusz", "flagz", "healthz", "livez", "readyz", "metrics"})
_APISERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
_PASSED_ON = ("Content-Type", "Content-Security-Policy", "Referrer-Policy", "Cache-Control")


STATUSZ = Group("Statusz")


@dataclass(frozen=True, kw_only=True)
class StatuszSettings:
    """The flags of this command."""

    kubeconfig: Path | None = STATUSZ.kubeconfig(
        "kubeconfig",
        "The kubeconfig of the user to ask as (default: $KUBECONFIG or ~/.kube/config).",
    )
    namespace: str = STATUSZ.string("namespace", "kube-system", "The namespace of the Service.")
    service: str = STATUSZ.string("service", "metrics-server", "The Service to forward to.")
    connect: str = STATUSZ.string(
        "connect", "", "Connect to this host:port instead of running kubectl port-forward."
    )
    port: int = STATUSZ.integer(
        "port", 0, "The loopback port to show the page on; 0 is a free one.", maximum=65535
    )
    once: bool = STATUSZ.boolean("once", False, "Print the status as text, and end.")


class StatuszError(Exception):
    """The page cannot be shown; the message says why and what to do."""


def main(args: Sequence[str]) -> int:
    """Show the page until Ctrl-C; return the exit status."""
    flags = flags_of(StatuszSettings)
    if wants_help(args):
        print("Usage: metricsapi statusz [flags]\n" + usage(flags.values()), end="")
        return 0
    parsed = parse(args, {}, flags, {})
    options = with_values(StatuszSettings, parsed.values)
    if faults := [*parsed.problems, *range_problems(options), *file_problems(options).values()]:
        for text in faults:
            print(f"metricsapi statusz: {printable(text)}", file=sys.stderr)
        return 2
    try:
        _show(options)
    except (StatuszError, PortForwardError, CredentialsError, OSError) as error:
        print(f"metricsapi statusz: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


def _show(options: StatuszSettings) -> None:
    if options.kubeconfig and is_pipe(options.kubeconfig) and not options.connect:
        raise StatuszError(
            f"{options.kubeconfig} can be read only once, and kubectl reads it, too: "
            "name a file, or use --connect"
        )
    credentials = load_credentials(options.kubeconfig or default_kubeconfigs())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that kubectl is ended, too
    with contextlib.ExitStack() as stack:
        forward = (
            None
            if options.connect
            else PortForward(options.kubeconfig, options.namespace, options.service)
        )
        where = stack.enter_context(forward) if forward else options.connect
        http = stack.enter_context(client(credentials, where, options))
        if options.once:
            print(_request(http, "/statusz", "text/plain").text, end="")
            return
        _request(http, "/statusz", "text/plain")  # a refusal is printed here, not in the browser
        token = secrets.token_urlsafe(16)
        revive = forward.restart_if_ended if forward else _nothing
        server = stack.enter_context(page_server(http, token, options.port, revive))
        print(f"http://127.0.0.1:{server.server_port}/{token}/statusz\nCtrl-C ends it.", flush=True)
        server.serve_forever()


def client(credentials: Credentials, where: str, options: StatuszSettings) -> httpx.Client:
    """Return a client of the server at `where`, as the user of the kubeconfig.

    The server is verified against the APIService's caBundle and the Service's name. Without a
    bundle nothing can be verified: then only a forwarded connection, for which the API server
    vouches, or one on loopback gets our credentials.
    """
    bundle = asyncio.run(_ca_bundle(credentials))
    if bundle is None and options.connect and not _is_loopback(where):
        raise StatuszError(
            "the APIService has no caBundle, so the server cannot be verified: leave out --connect"
        )
    tls = ClientTLS(
        lambda: bundle,
        credentials.identity.certificate,
        server_name=f"{options.service}.{options.namespace}.svc",
        insecure=bundle is None,
    )
    return httpx.Client(
        base_url=f"https://{where}",
        verify=tls.context(),
        trust_env=False,
        auth=_BearerAuth(credentials.identity),
        timeout=30.0,
    )


class _BearerAuth(httpx.Auth):
    """Sends the current token: those of exec plugins expire."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._identity.refresh_now()
        if token := self._identity.token():
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


def _is_loopback(where: str) -> bool:
    return where.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


async def _ca_bundle(credentials: Credentials) -> str | None:
    """Return the APIService's caBundle; None without one, or without the right to read it."""
    try:
        async with KubeClient(credentials, "metricsapi-statusz") as kube:
            service: dict[str, Any] = await kube.request_json("GET", _APISERVICE, dict[str, Any])
        bundle = service.get("spec", {}).get("caBundle")
        return parse_authorities(base64.b64decode(bundle), "its caBundle").pem if bundle else None
    except ApiError:
        return None
    except (KubeError, ValueError, TypeError, AttributeError) as error:
        raise StatuszError(f"the APIService v1beta1.metrics.k8s.io: {error}") from error


def _request(http: httpx.Client, path: str, accept: str) -> httpx.Response:
    try:
        response = http.get(path, headers={"Accept": accept})
    except (httpx.HTTPError, OSError, CredentialsError) as error:
        raise StatuszError(f"{http.base_url}: {error}") from error
    if response.status_code in (401, 403):
        raise StatuszError(
            f"{response.status_code}: {response.text.strip()}\nYou need get on the path {path}: "
            "kubectl create clusterrole statusz --verb=get --non-resource-url=/statusz,/flagz, "
            "and a binding"
        )
    return response


def _nothing() -> None:
    pass


def page_server(
    http: httpx.Client, token: str, port: int, revive: Callable[[], None] = _nothing
) -> ThreadingHTTPServer:
    """Return a server on loopback that shows the pages below `/TOKEN/` and nothing else.

    `revive` is called when the server behind it does not answer.
    """
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Page, http, token, revive))


class _Page(BaseHTTPRequestHandler):
    """Passes GETs of a few pages on. Host is checked, against pages that rebind names."""

    def __init__(
        self, http: httpx.Client, token: str, revive: Callable[[], None], *args: Any
    ) -> None:
        self._http = http
        self._token = token
        self._revive = revive
        super().__init__(*args)

    def do_GET(self) -> None:
        """Serve one request."""
        path, _, query = self.path.partition("?")
        _, token, page, *_ = [*path.split("/", 2), "", ""]
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        known = secrets.compare_digest(token.encode(), self._token.encode())
        if host not in ("127.0.0.1", "localhost") or not known or page not in PAGES:
            self._respond(404, b"not found\n", {})
            return
        try:
            response = self._http.get(
                f"/{page}?{query}" if query else f"/{page}",
                headers={"Accept": self.headers.get("Accept", "*/*")},
            )
        except (httpx.HTTPError, OSError, CredentialsError) as error:
            self._respond(502, f"the server does not answer: {error}\n".encode(), {})
            self._revive()
            return
        headers = {name: response.headers[name] for name in _PASSED_ON if name in response.headers}
        self._respond(response.status_code, response.content, headers)

    def _respond(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: addresses hold the token."""
