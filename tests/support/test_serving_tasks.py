"""A scripted server that ends leaves no connection open, at whatever moment a client came."""

import asyncio
import contextlib
import gc
import warnings

import pytest

from tests.support.listener import Listener, http
from tests.support.relay import Relay
from tests.support.socks import SocksProxy


@pytest.mark.parametrize("make", [
    lambda: Listener(lambda _: http(b"{}")), lambda: Relay(("127.0.0.1", 1)), SocksProxy,
], ids=["listener", "relay", "socks"])  # fmt: skip
async def test_a_connection_that_is_just_being_accepted_is_closed_too(make):
    """Its task, cancelled before it began, had left the transport open."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for iterations in range(8):
            async with make() as server:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                for _ in range(iterations):
                    await asyncio.sleep(0)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5)
            writer.transport.abort()
        await asyncio.sleep(0.01)
        gc.collect()
    assert [str(warning.message) for warning in caught] == []
