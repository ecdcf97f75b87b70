"""The process of the server in the embedded cluster."""

import socket

import pytest

from metricsapi.tools.sandbox.serverprocess import ServerProcess


async def test_nobody_else_gets_the_port_while_the_server_starts_and_anybody_afterwards(tmp_path):
    server = ServerProcess(tmp_path, ())
    await server.start()
    try:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", server.port))
    finally:
        await server.stop()
    with socket.socket() as other:
        other.bind(("127.0.0.1", server.port))
