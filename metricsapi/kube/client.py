"""One API server over httpx: requests that end in bytes or in an error of `kube.errors`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self

import httpx
import msgspec

from metricsapi.kube.credentials import Credentials, TokenFile
from metricsapi.kube.errors import Silent, Unauthorized, Unreachable, error_from_answer

Params = Mapping[str, str | int]


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
        """Give the body of a successful answer. `body` is sent as JSON; `timeout` in seconds.

        Raises ApiError for any answer from 400 on, Unreachable when there is none.
        """
        headers = self._headers(accept)
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._http.request(
                method,
                path,
                params=params,
                content=content,
                headers=headers,
                timeout=timeout,
                extensions=self._extensions,
            )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if answer.status_code >= 400:
            raise self._refused(answer, answer.content)
        return answer.content

    async def stream_lines(
        self, path: str, *, params: Params, accept: str, idle_timeout: float
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an endless answer, as a watch gives them, until the server ends it.

        Raises as `request` does, and Silent after `idle_timeout` seconds without a line, as a
        half-open connection is.
        """
        timeout = httpx.Timeout(10.0, read=idle_timeout)
        headers = self._headers(accept)
        try:
            async with self._http.stream(
                "GET",
                path,
                params=params,
                headers=headers,
                timeout=timeout,
                extensions=self._extensions,
            ) as answer:
                if answer.status_code >= 400:
                    raise self._refused(answer, await answer.aread())
                async with aclosing(_lines(answer)) as lines:
                    async for line in lines:
                        yield line
        except httpx.ReadTimeout as error:
            raise Silent(f"nothing from {path} for {idle_timeout:g} s") from error
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        try:
            token = self.credentials.token()
        except OSError as error:
            raise Unreachable(f"cannot read the bearer token: {error}") from error
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        return Unreachable(f"{self.credentials.server}: {str(error) or type(error).__name__}")

    def _refused(self, answer: httpx.Response, body: bytes) -> Exception:
        refusal = error_from_answer(answer.status_code, body, answer.headers.get("Retry-After"))
        if isinstance(refusal, Unauthorized) and isinstance(self.credentials.token, TokenFile):
            self.credentials.token.forget()
        return refusal


async def _lines(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Split by newlines alone; httpx's own `aiter_lines` also splits at U+2028 inside strings."""
    rest = bytearray()
    async for chunk in answer.aiter_bytes():
        rest += chunk
        if b"\n" not in chunk:
            continue
        *lines, tail = bytes(rest).split(b"\n")
        rest = bytearray(tail)
        for line in lines:
            if line:
                yield line
