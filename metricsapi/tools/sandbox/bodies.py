"""Reads the objects in bodies of requests."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from metricsapi.tools.sandbox.protobuf import TYPE, BadProtobuf, object_from
from metricsapi.tools.sandbox.responses import status


async def body(request: Request) -> Any:
    """Return the object of a request's body, or the response that refuses it."""
    content = await request.body()
    try:
        if request.headers.get("content-type", "").startswith(TYPE):
            return object_from(content)
        return msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        return status(400, f"the body of the request is no JSON: {error}")
    except BadProtobuf as error:
        return status(415, f"the body of the request cannot be read as protobuf: {error}")
