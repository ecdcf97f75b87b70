"""Checks one node, from its address to its containers' numbers; each step needs the last."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

import httpx

from metricsapi.kube.addresses import host_port
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError, IdleTimeout, KubeError
from metricsapi.scrape.apiserver_proxy import UNREACHED
from metricsapi.scrape.errors import Cause
from metricsapi.scrape.targets import Target
from metricsapi.tools.doctor.handshake import Reader, Stop, connect, error_text, handshake
from metricsapi.tools.doctor.payload import check_payload
from metricsapi.tools.doctor.result import NOT_REACHED, Findings, Result, Status

CHECKS = (
    "address", "tcp", "tls", "authentication", "authorization", "endpoint", "payload", "clock",
    "containers",
)  # fmt: skip


class TooLarge(httpx.TransportError):
    """A response that is larger than --kubelet-max-response-bytes."""


async def check_node(target: Target, reader: Reader) -> list[Result]:
    """Check one node from this machine; every name in CHECKS has a result."""
    findings = Findings(target.node)
    with contextlib.suppress(Stop):
        host = await connect(target, reader, findings)
        name = await handshake(target, host, reader, findings)
        await _read(target, host, name, reader, findings)
    return _complete(findings)


def _complete(findings: Findings) -> list[Result]:
    done = {result.check for result in findings.results}
    for check in CHECKS:
        if check not in done:
            findings.skip(check, NOT_REACHED)
    return findings.results


async def check_proxied(target: Target, client: KubeClient, reader: Reader) -> list[Result]:
    """Check one node through the API server's proxy, which connects to the kubelet."""
    findings = Findings(target.node)
    for check in ("address", "tcp", "tls"):
        findings.skip(check, "the API server connects (--kubelet-transport=apiserver-proxy)")

    async def get(path: str) -> httpx.Response:
        where = f"/api/v1/nodes/{quote(target.node, safe='')}/proxy{path}"
        try:
            body = await client.request("GET", where, timeout=reader.timeout)
        except ApiError as error:
            if error.code in UNREACHED:
                raise
            return httpx.Response(error.code, text=error.message)
        except IdleTimeout as error:
            raise TimeoutError from error
        if len(body) > reader.max_bytes:
            raise TooLarge(f"more than {reader.max_bytes:,} bytes")
        return httpx.Response(200, content=body)

    with contextlib.suppress(Stop):
        await read_endpoints(target, reader.paths_of(target), get, findings)
    return _complete(findings)


async def _read(target: Target, host: str, name: str, reader: Reader, findings: Findings) -> None:
    token = reader.token() if reader.context else None
    base = f"{reader.scheme}://{host_port(host, target.port)}"
    async with httpx.AsyncClient(
        base_url=base,
        verify=reader.context or False,
        trust_env=False,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=reader.timeout,
    ) as http:

        async def get(path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
            request = http.build_request("GET", path, headers=headers)
            request.extensions["sni_hostname"] = name
            async with asyncio.timeout(reader.timeout):
                return await _bounded(await http.send(request, stream=True), reader.max_bytes)

        if reader.probe:
            await _token_authentication(get, reader.probe, findings)
        await read_endpoints(target, reader.paths_of(target), get, findings)


async def _bounded(response: httpx.Response, most: int) -> httpx.Response:
    """Read a response of at most `most` bytes. Raises httpx.TransportError for a larger one."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > most:
                raise TooLarge(f"more than {most:,} bytes")
    finally:
        await response.aclose()
    date = {"Date": response.headers["Date"]} if "Date" in response.headers else {}
    return httpx.Response(response.status_code, headers=date, content=bytes(body))


async def _token_authentication(
    get: Callable[..., Awaitable[httpx.Response]], token: str, findings: Findings
) -> None:
    """Try a service account's token, as the server will present one; our own user may differ.

    A kubelet that accepts the token responds with 200, or 403 and the name of its account. Others
    respond with 401, or treat us as anonymous.
    """
    check = "token authentication"
    try:
        response = await get("/healthz", {"Authorization": f"Bearer {token}"})
    except (TimeoutError, httpx.HTTPError) as error:
        findings.skip(check, f"/healthz: {error_text(error)}")
        return
    text = _status_text(response, "/healthz")
    if response.status_code == 401 or "system:anonymous" in text:
        findings.because(check, Cause.UNAUTHORIZED, text)
    else:
        findings.ok(check, "the kubelet takes tokens of service accounts")


async def read_endpoints(
    target: Target,
    paths: tuple[str, ...],
    get: Callable[[str], Awaitable[httpx.Response]],
    findings: Findings,
) -> None:
    """Read the first endpoint that may be read; add a finding for each that is refused."""
    forbidden: list[str] = []
    missing: list[str] = []
    for path in paths:
        started = time.monotonic()
        response = await _fetch(path, get, findings)
        text = _status_text(response, path)
        if not forbidden and not missing:
            _identity(response, text, findings)
        if response.status_code == 200:
            if forbidden:
                findings.because(
                    "authorization", Cause.FORBIDDEN, "; ".join(forbidden), Status.WARN
                )
            else:
                findings.ok("authorization", f"{_short(path)} may be read")
            findings.ok("endpoint", f"{_short(path)}: {len(response.content):,} bytes")
            timing = started, time.monotonic() - started
            check_payload(target, path, response, timing, findings)
            return
        if response.status_code >= 500:
            findings.because("endpoint", Cause.STATUS, text)
            raise Stop
        (forbidden if response.status_code == 403 else missing).append(text)
    if forbidden:
        findings.because("authorization", Cause.FORBIDDEN, "; ".join(forbidden + missing))
    else:
        findings.because("endpoint", Cause.NOT_FOUND, "; ".join(missing))
    raise Stop


async def _fetch(
    path: str, get: Callable[[str], Awaitable[httpx.Response]], findings: Findings
) -> httpx.Response:
    try:
        return await get(path)
    except TooLarge as error:
        findings.because("endpoint", Cause.TOO_LARGE, f"{_short(path)}: {error}")
        raise Stop from error
    except (TimeoutError, httpx.TimeoutException) as error:
        findings.because("endpoint", Cause.TIMEOUT, f"no answer to {_short(path)} in time")
        raise Stop from error
    except KubeError as error:
        findings.because("endpoint", Cause.API_SERVER, f"{_short(path)}: {error}")
        raise Stop from error
    except httpx.HTTPError as error:
        findings.because("endpoint", _protocol_cause(error), f"{_short(path)}: {error_text(error)}")
        raise Stop from error


def _protocol_cause(error: httpx.HTTPError) -> Cause:
    """Return the cause: not HTTP, a response that ended early, or a lost connection."""
    if isinstance(error, httpx.DecodingError):
        return Cause.DECODE
    if isinstance(error, httpx.RemoteProtocolError):
        if "illegal" in str(error):
            return Cause.NOT_HTTP
        if "incomplete" in str(error):
            return Cause.TRUNCATED
    return Cause.RESET


def _identity(response: httpx.Response, text: str, findings: Findings) -> None:
    if response.status_code == 401:
        findings.because("authentication", Cause.UNAUTHORIZED, text)
        raise Stop
    findings.ok("authentication", "the kubelet knows us")


def _short(path: str) -> str:
    return path.partition("?")[0]


def _status_text(response: httpx.Response, path: str) -> str:
    text = f"{response.status_code} for {_short(path)}"
    if response.status_code == 200:
        return text
    return f"{text}: {' '.join(response.text[:300].split())}"
