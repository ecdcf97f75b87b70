"""Writes of one iteration of the event loop are sent together, and nothing is lost."""

from __future__ import annotations

import asyncio

from metricsapi.api.streaming import PIECE
from metricsapi.server.http.write_coalescing import JOINED, CoalescingTransport


class Recorded:
    """A transport that notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def writelines(self, data: list[bytes]) -> None:
        self.sent.append(list(data))

    def write(self, data: bytes) -> None:
        self.sent.append([data])


async def test_head_and_body_are_one_write():
    recorded = Recorded()
    transport = CoalescingTransport(recorded, asyncio.get_running_loop())
    transport.write(b"head")
    transport.write(b"body")
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)
    assert recorded.sent == [[b"head", b"body"], [b"next"]]


async def test_pieces_of_a_large_answer_are_not_joined():
    recorded = Recorded()
    transport = CoalescingTransport(recorded, asyncio.get_running_loop())
    pieces = [bytes([number]) * PIECE for number in range(3)]
    for piece in pieces:
        transport.write(piece)
    await asyncio.sleep(0)
    assert recorded.sent == [[piece] for piece in pieces]


async def test_no_more_is_buffered_than_is_joined():
    """The transport tells a writer to pause, even one that never yields to the loop."""
    recorded = Recorded()
    transport = CoalescingTransport(recorded, asyncio.get_running_loop())
    for _ in range(2 + JOINED // 1000):
        transport.write(bytes(1000))
    assert sum(len(data) for sent in recorded.sent for data in sent) > JOINED


async def test_what_was_written_before_closing_arrives():
    class Parting(asyncio.Protocol):
        def connection_made(self, transport):
            together = CoalescingTransport(transport, asyncio.get_running_loop())
            together.write(b"last ")
            together.write(b"words")
            together.close()
            assert together.is_closing()

    server = await asyncio.get_running_loop().create_server(Parting, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await asyncio.wait_for(reader.read(), 5) == b"last words"
        writer.close()
