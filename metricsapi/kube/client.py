"""One API server: requests that end in bytes or in an error of `kube.errors`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from metricsapi.kube.connections import CONNECT_TIMEOUT, Connections, Params
from metricsapi.kube.credentials import Credentials
from metricsapi.kube.decoding import decode_json
from metricsapi.kube.errors import InvalidResponse, KubeError, Unreachable, error_from_response
from metricsapi.kube.retry_after import retry_after_seconds

LONGEST_LINE = 16 * 2**20  # bytes of a watch event; etcd takes objects of 1.5 MiB by default
# Bytes of a response, without which an endless one would take all memory; a page of 500 nodes with
# many images has some 20 MiB.
LARGEST = 128 * 2**20
LARGEST_REFUSAL = 64 * 1024  # bytes that are read of what is no success
REFUSAL_TIMEOUT = 10.0  # seconds for them
T = TypeVar("T")


class KubeClient:
    """One API server, one identity, one pool of kept-alive connections."""

    def __init__(self, credentials: Credentials, user_agent: str = "metricsapi") -> None:
        self.credentials = credentials
        self._connections = Connections(credentials, user_agent)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connections.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object | None = None,
        accept: str = "application/json",
        timeout: float = 10.0,
        largest: int = LARGEST,
    ) -> bytes:
        """Return the body of a success, of at most `largest` bytes. `body` is sent as JSON.

        `timeout` in seconds is for each step, such as to connect or to read some bytes, and twice
        that for all of them: a response that trickles in must end, too.

        Raises ApiError for a status from 400 on, InvalidResponse for a redirect or a body that
        does not decompress or is too large, Unreachable when there is no response,
        CredentialsError when there is no token to send.
        """
        headers = {"Accept": accept}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = msgspec.json.encode(body)
        try:
            async with (
                asyncio.timeout(2 * timeout),
                self._connections.stream(
                    method, path, params=params, content=content, headers=headers, timeout=timeout
                ) as response,
            ):
                if not response.is_success:
                    raise await self._refused(response)
                return await _whole(response, path, largest)
        except TimeoutError as error:
            server = self.credentials.server
            text = f"{server}: no whole response to {path} in {2 * timeout:g} s"
            raise Unreachable(text) from error

    async def request_json(self, method: str, path: str, into: type[T] | Any, **options: Any) -> T:
        """Return the body of a success, decoded as type `into`; `options` are those of `request`.

        Raises as `request` does, and InvalidResponse for a body of another form.
        """
        body = await self.request(method, path, **options)
        decoded: T = decode_json(body, into, f"{method} {path}")
        return decoded

    async def stream_lines(
        self, path: str, *, params: Params, accept: str, idle_timeout: float
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an endless response, as a watch sends them, until the server ends it.

        A line that is not ended by a newline is dropped. Raises as `request` does, and IdleTimeout
        after `idle_timeout` seconds without a byte, as on a half-open connection.
        """
        async with self._connections.stream(
            "GET",
            path,
            params=params,
            headers={"Accept": accept},
            timeout=httpx.Timeout(CONNECT_TIMEOUT, read=idle_timeout),
        ) as response:
            if not response.is_success:
                raise await self._refused(response)
            async with aclosing(_lines(response)) as lines:
                async for line in lines:
                    yield line

    async def _refused(self, response: httpx.Response) -> KubeError:
        """Return the error for a response that is no success, by the beginning of its body."""
        body = await _beginning(response)
        status, headers = response.status_code, response.headers
        if status < 400:
            server, where = self.credentials.server, headers.get("Location", "")
            return InvalidResponse(f"{server} redirects ({status}) to {where!r}")
        retry_after = retry_after_seconds(headers.get("Retry-After", ""), time.time())
        return error_from_response(status, body, retry_after)


async def _whole(response: httpx.Response, path: str, largest: int) -> bytes:
    """Read a body to its end. Raises InvalidResponse if it has more than `largest` bytes."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > largest:
            raise InvalidResponse(f"the response to {path} has more than {largest >> 20} MiB")
    return b"".join(parts)


async def _beginning(response: httpx.Response) -> bytes:
    """Read the beginning of an error's body, bounded in size and time."""
    body = bytearray()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REFUSAL_TIMEOUT):
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_REFUSAL:
                    break
    return bytes(body[:LARGEST_REFUSAL])


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Split at newlines alone; httpx's own `aiter_lines` also splits at U+2028 inside strings."""
    rest = bytearray()
    async for chunk in response.aiter_bytes():
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > LONGEST_LINE:
                raise InvalidResponse(f"a line of more than {LONGEST_LINE >> 20} MiB")
            continue
        *lines, tail = bytes(rest).split(b"\n")
        rest = bytearray(tail)
        for line in lines:
            if line.strip():
                yield line
