"""Routes served to a client without sockets."""

import httpx
from fastapi import FastAPI


def app_of(*routes):
    """Return an app with these lists of routes."""
    app = FastAPI(openapi_url=None)
    app.router.routes.extend(route for some in routes for route in some)
    return app


def serving(*routes):
    """Return a client of an app with these lists of routes."""
    transport = httpx.ASGITransport(app=app_of(*routes))
    return httpx.AsyncClient(transport=transport, base_url="http://test")
