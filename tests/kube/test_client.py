"""Every answer of an API server becomes bytes or one error that says what it was."""

import pytest

from metricsapi.kube import errors
from tests.support.apiserver import ScriptedApiServer


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (429, errors.TooManyRequests),
        (503, errors.ServerError),
        (418, errors.ApiError),
    ],
)
async def test_a_status_becomes_its_error(status, kind):
    body = {"kind": "Status", "message": "no, because", "reason": "Because", "code": status}
    async with ScriptedApiServer(lambda _: (status, body)) as server:
        with pytest.raises(kind, match="Because: no, because") as caught:
            await server.client.request("GET", "/x")
        assert caught.value.code == status


async def test_a_body_that_is_no_status_is_quoted():
    async with ScriptedApiServer(lambda _: (502, ["bad gateway"])) as server:
        with pytest.raises(errors.ServerError, match="bad gateway"):
            await server.client.request("GET", "/x")


async def test_nobody_listening_is_unreachable():
    async with ScriptedApiServer(lambda _: (200, {})) as server:
        server._server.close()
        with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1"):
            await server.client.request("GET", "/x")
