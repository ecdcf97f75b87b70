"""`/metrics`: our own metrics in Prometheus' exposition format."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice

from fastapi import APIRouter
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from metricsapi.api.asgi import accept_of
from metricsapi.server.operator.routes import READ, respond_in_slices
from metricsapi.telemetry.lazy import LazySamples

SAMPLES = 100  # that are encoded in one go: some 0.3 ms

Encode = Callable[[Collector], bytes]


def metrics_routes(
    families: Callable[[], Awaitable[Iterable[Metric]]], *, started: float
) -> list[BaseRoute]:
    """Return the route of `/metrics`.

    `families` gives what is to be shown; `started` is when the process started (epoch seconds).
    """
    router = APIRouter()

    @router.api_route("/metrics", methods=READ)
    async def metrics(request: Request) -> Response:
        encode, content_type = encoder_for(accept_of(request.scope))
        headers = {
            "Cache-Control": "no-cache, private",
            "Content-Type": content_type,
            "Process-Start-Time-Unix": str(int(started)),
        }
        return await respond_in_slices(exposition(await families(), encode), headers)

    return router.routes


def encoder_for(accept: str) -> tuple[Encode, str]:
    """Return the encoder that an `Accept` header asks for, and the content type of its text."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that prometheus_client cannot compare, as `1.x`
        return choose_encoder("")


def exposition(families: Iterable[Metric], encode: Encode) -> Iterator[bytes]:
    """Encode families, at most `SAMPLES` samples at a time.

    `encode` is one of prometheus_client's `generate_latest`.
    """
    end = encode(_Only())  # nothing, or the line that ends an OpenMetrics text
    for family in families:
        part = copy.copy(family)
        part.samples = []
        head = encode(_Only(part)).removesuffix(end)
        yield head
        if isinstance(family.samples, LazySamples):
            yield from map(str.encode, family.samples.lines())
            continue
        samples = iter(family.samples)
        while some := list(islice(samples, SAMPLES)):
            part.samples = some
            yield encode(_Only(part)).removesuffix(end).removeprefix(head)
    yield end


class _Only(Collector):
    """As much of a registry as encoders use."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
