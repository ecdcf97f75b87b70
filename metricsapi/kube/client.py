"""One API server over httpx: requests that end in bytes or in an error of `kube.errors`.

Nothing is retried here: whoever repeats a request (informers, controllers) has its own backoff.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from metricsapi.kube.credentials import Credentials, TokenFile
from metricsapi.kube.decoding import decode_json
from metricsapi.kube.errors import (
    ApiError,
    IdleTimeout,
    InvalidResponse,
    KubeError,
    Unauthorized,
    Unreachable,
    error_from_response,
)

Params = Mapping[str, str | int]
T = TypeVar("T")
CONNECT_TIMEOUT = 10.0  # seconds


class KubeClient:
    """One API server, one identity, one pool of kept-alive connections."""

    def __init__(self, credentials: Credentials, user_agent: str = "metricsapi") -> None:
        self.credentials = credentials
        self._http = httpx.AsyncClient(
            base_url=credentials.server,
            verify=credentials.ssl_context,
            trust_env=False,
            headers={"User-Agent": user_agent},
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
        )
        name = credentials.server_name
        self._extensions = {"sni_hostname": name} if name else {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object | None = None,
        accept: str = "application/json",
        timeout: float = 10.0,
    ) -> bytes:
        """Give the body of a success. `body` is sent as JSON; `timeout` in seconds.

        Raises ApiError for a status from 400 on, InvalidResponse for a redirect or a body that
        does not decompress, Unreachable when there is no response.
        """
        headers = self._headers(accept)
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        with self._mapped_errors():
            response = await self._http.request(
                method,
                path,
                params=params,
                content=content,
                headers=headers,
                timeout=timeout,
                extensions=self._extensions,
            )
        if not response.is_success:
            raise self._refused(response, response.content)
        return response.content

    async def request_json(self, method: str, path: str, into: type[T] | Any, **options: Any) -> T:
        """Give the body of a success, decoded as type `into`; `options` are those of `request`.

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
        headers = self._headers(accept)
        with self._mapped_errors(idle=f"nothing from {path} for {idle_timeout:g} s"):
            async with self._http.stream(
                "GET",
                path,
                params=params,
                headers=headers,
                timeout=httpx.Timeout(CONNECT_TIMEOUT, read=idle_timeout),
                extensions=self._extensions,
            ) as response:
                if not response.is_success:
                    raise self._refused(response, await response.aread())
                async with aclosing(_lines(response)) as lines:
                    async for line in lines:
                        yield line

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        try:
            token = self.credentials.token()
        except OSError as error:
            raise Unreachable(f"cannot read the bearer token: {error}") from error
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    @contextmanager
    def _mapped_errors(self, *, idle: str = "") -> Iterator[None]:
        """Raise whatever httpx and the layers below it raise as an error of `kube.errors`.

        httpx maps most errors of the layers below, but not all: those of `ssl` after the handshake
        (a record with a bad MAC, an alert that a certificate is required) are OSErrors, those of
        names that cannot be encoded UnicodeErrors.
        """
        try:
            yield
        except KubeError:
            raise
        except httpx.ReadTimeout as error:
            raise (IdleTimeout(idle) if idle else self._unreachable(error)) from error
        except httpx.DecodingError as error:
            raise InvalidResponse(f"{self.credentials.server}: {error}") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.credentials.server}: {str(error) or type(error).__name__}")

    def _refused(self, response: httpx.Response, body: bytes) -> KubeError:
        """Give the error for a response that is no success."""
        status = response.status_code
        if status < 400:
            where = response.headers.get("Location", "")
            return InvalidResponse(f"{self.credentials.server} redirects ({status}) to {where!r}")
        refusal: ApiError = error_from_response(
            status, body, response.headers.get("Retry-After", "")
        )
        if isinstance(refusal, Unauthorized) and isinstance(self.credentials.token, TokenFile):
            self.credentials.token.forget()
        return refusal


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Split at newlines alone; httpx's own `aiter_lines` also splits at U+2028 inside strings."""
    rest = bytearray()
    async for chunk in response.aiter_bytes():
        rest += chunk
        if b"\n" not in chunk:
            continue
        *lines, tail = bytes(rest).split(b"\n")
        rest = bytearray(tail)
        for line in lines:
            if line:
                yield line
