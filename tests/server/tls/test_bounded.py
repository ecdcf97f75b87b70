"""TLS records that carry nothing end their connection; small ones that carry something do not."""

import asyncio
import contextlib
import ssl

import pytest
import uvloop

from metricsapi.kube.bounded_tls import MOST_EMPTY
from metricsapi.server.http.refusal_log import RefusalLog
from tests.server.serving import PATHS, serving
from tests.support.https_client import connect
from tests.support.key_updates import client_context, key_updates

RUNNERS = [asyncio.run, uvloop.run]
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2000 + b"\r\n\r\n"
CHANGE_CIPHER_SPEC = b"\x14\x03\x03\x00\x01\x01"  # ignored while a TLS 1.3 handshake is under way


class Client:
    """A client whose TLS records the test sees."""

    def __init__(self, reader, writer, key_log):
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client_context(key_log)
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def flush(self):
        self.writer.write(self.outgoing.read())

    async def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(await self.reader.read(65536))
            else:
                self.flush()
                return

    async def is_closed_after(self, records):
        """Send records; return whether the server ends the connection, which it may reset."""
        self.writer.write(records)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                while await self.reader.read(65536):
                    pass
        return True


@contextlib.asynccontextmanager
async def client_of(running, tmp_path):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    yield Client(reader, writer, tmp_path / "keys")
    writer.transport.abort()


async def _others_are_served(running):
    async with connect(running.port) as connection:
        assert (await connection.request(PATHS[0])).status == 200


async def key_updates_end_their_connection(tmp_path):
    reasons = []
    async with (
        serving(refusals=RefusalLog(reasons.append)) as running,
        client_of(running, tmp_path) as client,
    ):
        await client.handshake()
        assert await client.is_closed_after(key_updates(tmp_path / "keys", MOST_EMPTY // 27 + 99))
        assert reasons == ["empty_tls_records"]
        await _others_are_served(running)


async def a_handshake_without_end_is_ended(tmp_path):
    reasons = []
    async with (
        serving(refusals=RefusalLog(reasons.append)) as running,
        client_of(running, tmp_path) as client,
    ):
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.flush()
        assert await client.is_closed_after(CHANGE_CIPHER_SPEC * 30_000)
        assert reasons in (["empty_tls_records"], [])  # OpenSSL may be the one that has enough
        await _others_are_served(running)


async def requests_of_single_bytes_are_served(tmp_path):
    async with serving() as running, client_of(running, tmp_path) as client:
        await client.handshake()
        for _ in range(4):  # together they are more than may be empty
            for byte in REQUEST:
                client.tls.write(bytes([byte]))
            client.flush()
            plain = b""
            async with asyncio.timeout(10):
                while not plain.endswith(b"}"):
                    client.incoming.write(await client.reader.read(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        while more := client.tls.read(2**20):
                            plain += more
            assert plain.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize(
    "check",
    [
        key_updates_end_their_connection,
        a_handshake_without_end_is_ended,
        requests_of_single_bytes_are_served,
    ],
)
def test_tls_records(run, check, tmp_path):
    run(check(tmp_path))
