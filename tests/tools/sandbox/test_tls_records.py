"""Stand-in kubelets send the TLS records and the chunks that Go's server was recorded to send."""

import asyncio
import itertools
import re
import ssl
import time

import pytest

from metricsapi.tools.sandbox.fleet import by_tokens
from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.tls_records import buffered_writes
from tests.support.conditions import until

RECORDED = 66785  # bytes of the body that Go's server sent when it was recorded
FIRST = [1186, 2372, 538, 4744, 5930, 7116, 8302, 9488, 10674, 11860, 4698, 7]
LATER = [4096, 16384, 16384, 16384, 13660, 7]
REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n"
SUMMARY = b"/stats/summary?only_cpu_and_memory=true"


class Source:
    """Reports so many bytes."""

    def __init__(self, size):
        self.name = "node-0"
        self.size = size

    def summary(self, _now, **_how):
        return b"x" * self.size

    def exposition(self, _now):
        return b""


class Client:
    """Takes in one TLS record at a time."""

    def __init__(self, kubelet):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.kubelet = kubelet

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(
            self.kubelet.address, self.kubelet.port, limit=2**22
        )
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                await self.receive()
            else:
                self.send()
                return

    def send(self):
        self.writer.write(self.outgoing.read())

    async def receive(self):
        header = await self.reader.readexactly(5)
        size = int.from_bytes(header[3:], "big")
        self.incoming.write(header + await self.reader.readexactly(size))

    async def get(self, path=SUMMARY):
        """Return the plain bytes of each record of the response."""
        self.tls.write(REQUEST % path)
        self.send()
        records = []
        while not whole(b"".join(records)):
            await self.receive()
            try:
                records.append(self.tls.read(2**14))
            except ssl.SSLWantReadError:  # a session ticket
                continue
        return records


def whole(response):
    head, _, body = response.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"\r\n0\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return length is not None and len(body) == int(length[1])


@pytest.fixture
async def started():
    """Yield a function that starts a kubelet which reports so many bytes, and connects to it."""
    kubelets, clients = [], []

    async def start(size, latency=0.0):
        running = Kubelets(Certificates(Authority("ca")), by_tokens({"good": ["stats"]}), latency)
        kubelets.append(running)
        client = Client(await running.start(Source(size)))
        clients.append(client)
        await client.connect()
        return client

    yield start
    for each in clients:
        each.writer.close()
    for each in kubelets:
        await each.stop()


async def test_the_records_of_responses_are_those_that_were_recorded(started):
    client = await started(RECORDED)
    responses = [await client.get() for _ in range(20)]
    sizes = [[len(record) for record in each] for each in responses]
    assert sizes == [FIRST, *[LATER] * 19]
    head, _, body = b"".join(responses[0]).partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert names == [b"Content-Type", b"Date", b"Transfer-Encoding"]
    assert body == b"104e1\r\n" + b"x" * RECORDED + b"\r\n0\r\n\r\n", "one chunk, and the end"


async def test_a_short_body_has_its_length_and_one_record(started):
    client = await started(2048)
    (record,) = await client.get(b"/metrics/resource")
    assert record.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    (record,) = await client.get()
    assert b"\r\nContent-Length: 2048\r\n" in record


async def test_a_response_begins_after_the_latency(started):
    client = await started(10, latency=0.1)
    began = time.monotonic()
    await client.get()
    assert time.monotonic() - began >= 0.05


async def test_much_is_sent_to_a_client_that_reads_late(started):
    client = await started(32 * 2**20)
    client.tls.write(REQUEST % SUMMARY)
    client.send()
    other = Client(client.kubelet)
    await until(lambda: client.kubelet.requests == 1)
    await other.connect()  # the kubelet serves others meanwhile
    other.writer.close()
    size = 0
    while size < 32 * 2**20:
        await client.receive()
        try:
            size += len(client.tls.read(2**14))
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize("size", [0, 1, 3990, 4089, 4090, 4091, 8180, 8192, 8193, 70000])
def test_what_is_written_is_the_response_in_writes_of_the_buffers_size(size):
    head, body, end = b"h" * 100, bytes(itertools.islice(itertools.cycle(range(256)), size)), b"end"
    writes = buffered_writes(head, body, end)
    assert b"".join(writes) == head + body + end
    assert len(writes[0]) == min(4096, len(head + body + end))
    assert all(len(each) <= 4096 for each in writes) or writes[1:] == [body[3996:], end]
