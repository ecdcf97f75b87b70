"""`metricsapi statusz`: the server's status page on loopback, read with one's own credentials.

A browser has neither our token nor our client certificate, and the API server's service proxy
passes neither on. So this asks through `kubectl port-forward` (or `--connect`) as the user of
the kubeconfig, and shows the answer under an address that nobody can guess.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from metricsapi.config.command_line import parse, usage, wants_help
from metricsapi.config.flags import Group, flags_of, with_values
from metricsapi.config.validation import range_problems
from metricsapi.kube.credentials import Credentials, load_credentials
from metricsapi.kube.errors import CredentialsError

PAGES = frozenset({"statusz", "flagz", "healthz", "livez", "readyz", "metrics"})
_APISERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_PASSED_ON = ("Content-Type", "Content-Security-Policy", "Referrer-Policy", "Cache-Control")


STATUSZ = Group("Statusz")


@dataclass(frozen=True, kw_only=True)
class StatuszSettings:
    """The flags of this command."""

    kubeconfig: Path | None = STATUSZ.file(
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
    """Show the page until Ctrl-C; give the exit status."""
    flags = flags_of(StatuszSettings)
    if wants_help(args):
        print("Usage: metricsapi statusz [flags]\n" + usage(flags.values()), end="")
        return 0
    parsed = parse(args, {}, flags, {})
    options = with_values(StatuszSettings, parsed.values)
    if faults := parsed.problems + range_problems(options):
        print("\n".join(f"metricsapi statusz: {text}" for text in faults), file=sys.stderr)
        return 2
    try:
        _show(options)
    except (StatuszError, CredentialsError, OSError) as error:
        print(f"metricsapi statusz: {error}", file=sys.stderr)
        return 1
    return 0


def _show(options: StatuszSettings) -> None:
    environment = os.environ.get("KUBECONFIG", "").partition(":")[0]
    kubeconfig = options.kubeconfig or Path(environment or Path.home() / ".kube" / "config")
    with contextlib.ExitStack() as stack:
        where = options.connect or stack.enter_context(_forwarded(options, kubeconfig))
        http = stack.enter_context(client(kubeconfig, where, options))
        if options.once:
            print(_ask(http, "/statusz", "text/plain").text, end="")
            return
        _ask(http, "/statusz", "text/plain")  # a refusal is told here, not in the browser
        token = secrets.token_urlsafe(16)
        server = stack.enter_context(page_server(http, token, options.port))
        print(f"http://127.0.0.1:{server.server_port}/{token}/statusz\nCtrl-C ends it.", flush=True)
        server.serve_forever()


def client(kubeconfig: Path, where: str, options: StatuszSettings) -> httpx.Client:
    """Give a client of the server at `where`, as the user of the kubeconfig.

    The server is verified against the APIService's caBundle and the Service's name. Without a
    bundle nothing can be verified: then only a forwarded connection, for which the API server
    vouches, or one on loopback gets our credentials.
    """
    bundle = _ca_bundle(load_credentials(kubeconfig))
    credentials = load_credentials(kubeconfig)  # its context has the client certificate
    context = credentials.ssl_context
    if bundle is not None:
        context.load_verify_locations(cadata=bundle)
    elif options.connect and not _is_loopback(where):
        raise StatuszError(
            "the APIService has no caBundle, so the server cannot be verified: leave out --connect"
        )
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    token = credentials.token()
    name = f"{options.service}.{options.namespace}.svc"
    return httpx.Client(
        base_url=f"https://{where}",
        verify=context,
        trust_env=False,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        event_hooks={"request": [partial(_named, name)]},
        timeout=30.0,
    )


def _named(name: str, request: httpx.Request) -> None:
    request.extensions["sni_hostname"] = name


def _is_loopback(where: str) -> bool:
    return where.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


def _ca_bundle(credentials: Credentials) -> str | None:
    extensions = {"sni_hostname": credentials.server_name} if credentials.server_name else {}
    token = credentials.token()
    try:
        with httpx.Client(verify=credentials.ssl_context, trust_env=False) as http:
            answer = http.get(
                credentials.server + _APISERVICE,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                extensions=extensions,
            )
        bundle = answer.json().get("spec", {}).get("caBundle") if answer.is_success else None
    except (httpx.TransportError, ValueError) as error:
        raise StatuszError(f"{credentials.server}: {error}") from error
    return base64.b64decode(bundle).decode() if bundle else None


@contextlib.contextmanager
def _forwarded(options: StatuszSettings, kubeconfig: Path) -> Iterator[str]:
    """Run `kubectl port-forward` meanwhile; gives host:port."""
    command = ["kubectl", f"--kubeconfig={kubeconfig}", f"--namespace={options.namespace}"]
    command += ["port-forward", "--address=127.0.0.1", f"service/{options.service}", ":443"]
    try:
        process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError as error:
        raise StatuszError("kubectl is not on PATH: install it, or use --connect") from error
    try:
        line = process.stdout.readline() if process.stdout else ""
        match = _FORWARDING.search(line)
        if match is None:
            said = process.stderr.read().strip() if process.stderr else ""
            raise StatuszError(f"kubectl port-forward failed: {said or line}")
        yield f"127.0.0.1:{match[1]}"
    finally:
        process.terminate()
        process.wait(10)


def _ask(http: httpx.Client, path: str, accept: str) -> httpx.Response:
    try:
        answer = http.get(path, headers={"Accept": accept})
    except httpx.TransportError as error:
        raise StatuszError(f"{http.base_url}: {error}") from error
    if answer.status_code in (401, 403):
        raise StatuszError(
            f"{answer.status_code}: {answer.text.strip()}\nYou need get on the path {path}: "
            "kubectl create clusterrole statusz --verb=get --non-resource-url=/statusz,/flagz, "
            "and a binding"
        )
    return answer


def page_server(http: httpx.Client, token: str, port: int) -> ThreadingHTTPServer:
    """Give a server on loopback that shows the pages below `/TOKEN/` and nothing else."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(_Page, http, token))


class _Page(BaseHTTPRequestHandler):
    """Passes GETs of a few pages on. Host is checked, against pages that rebind names."""

    def __init__(self, http: httpx.Client, token: str, *args: Any) -> None:
        self._http = http
        self._token = token
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer one request."""
        path, _, query = self.path.partition("?")
        _, token, page, *_ = [*path.split("/", 2), "", ""]
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        known = secrets.compare_digest(token.encode(), self._token.encode())
        if host not in ("127.0.0.1", "localhost") or not known or page not in PAGES:
            self._answer(404, b"not found\n", {})
            return
        try:
            answer = self._http.get(
                f"/{page}?{query}" if query else f"/{page}",
                headers={"Accept": self.headers.get("Accept", "*/*")},
            )
        except httpx.TransportError as error:
            self._answer(502, f"the server does not answer: {error}\n".encode(), {})
            return
        kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
        self._answer(answer.status_code, answer.content, kept)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: addresses hold the token."""
