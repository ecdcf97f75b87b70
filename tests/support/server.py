"""A server of its own process beside the sandbox's cluster, and a client of it."""

import contextlib

import httpx

from metricsapi.tools.sandbox.serverprocess import ServerProcess
from metricsapi.tools.sandbox.users import ADMIN
from tests.support.conditions import until


@contextlib.asynccontextmanager
async def serving(embedded, *flags):
    """Run a server in an embedded cluster; return its process once it listens.

    `flags` win over the sandbox's.
    """
    server = ServerProcess(embedded.directory, flags)
    await server.start()
    log = embedded.directory / "server.log"
    try:
        await until(lambda: listens(server, log), seconds=30, what=f"listening: {log}")
        yield server
    finally:
        await server.stop()


def listens(server, log):
    """Return whether the log says that the server listens; an ended server fails the test."""
    assert server.is_running, server.exit_report()
    return '"listening' in log.read_text()


@contextlib.asynccontextmanager
async def administrator(embedded, server, **options):
    """Return an HTTP client of the server that may do everything."""
    token = embedded.api.add_user(ADMIN, ("system:masters",))
    async with httpx.AsyncClient(
        base_url=f"https://127.0.0.1:{server.port}",
        verify=False,  # noqa: S501  the server of this test
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        **options,
    ) as client:
        yield client


async def becomes_ready(server, client, *, seconds=30):
    """Wait until `/readyz` succeeds. A server that has ended fails the test."""

    async def ready():
        assert server.is_running, server.exit_report()
        return (await client.get("/readyz")).text == "ok"

    await until(ready, seconds=seconds, what="ready")
