"""Routes served to a client without sockets."""

import httpx
from fastapi import FastAPI


def serving(*routes):
    """Give a client of an app with these lists of routes."""
    app = FastAPI(openapi_url=None)
    app.router.routes.extend(route for some in routes for route in some)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")
