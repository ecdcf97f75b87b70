"""Misbehaving clients of every kind; each goes on until its context ends."""

import asyncio
import contextlib

from tests.chaos.world import ADMIN, API

TARGETS = (
    "/", "//", "/%", "/%00", "/apis", "/apis/metrics.k8s.io", "/openapi/v2", "/openapi/v3",
    "/metrics", "/statusz", "/flagz", "/healthz/x", "/readyz?verbose",
    API, f"{API}/", f"{API}/pods?limit=1", f"{API}/pods?limit=-1&continue=x",
    f"{API}/pods?labelSelector=a%20in%20(", f"{API}/pods?fieldSelector=x%3Dy",
    f"{API}/pods?watch=true", f"{API}/watch/pods", f"{API}/namespaces/ns-0/pods/app-0-0",
    f"{API}/nodes/node-0", f"{API}/nodes?resourceVersion={'9' * 3000}",
    f"{API}/nodes?{'a=b&' * 2000}",
)  # fmt: skip
METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PRI", "X" * 300)
ACCEPTS = (
    "application/json", "application/vnd.kubernetes.protobuf", "application/yaml", "*/*", "", "q=1",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html", ";" * 2000, "application/cbor",
)  # fmt: skip


def _repeated(work, at_once):
    @contextlib.asynccontextmanager
    async def running(world, rng):
        async def again():
            while True:
                with contextlib.suppress(OSError, EOFError):
                    await work(world, rng)
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(again()) for _ in range(at_once)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return running


@contextlib.asynccontextmanager
async def _connection(world, *, tls=True, identified=True):
    context = (world.context if identified else world.anonymous) if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def any_requests(world, rng):
    """Requests of any method, target and Accept, by who may and who may not."""
    async with _connection(world, identified=rng.random() < 0.7) as (reader, writer):
        for _ in range(rng.randint(1, 5)):
            headers = {"Host": "x", "Accept": rng.choice(ACCEPTS), **ADMIN}
            if rng.random() < 0.3:
                headers["Accept-Encoding"] = "gzip"
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            line = f"{rng.choice(METHODS)} {rng.choice(TARGETS)} HTTP/1.1\r\n"
            writer.write(f"{line}{lines}\r\n".encode())
            async with asyncio.timeout(2):
                await reader.read(65536)


async def garbage(world, rng):
    """Bytes that are no HTTP, within TLS or without."""
    async with _connection(world, tls=rng.random() < 0.5) as (reader, writer):
        writer.write(rng.randbytes(rng.choice((1, 100, 5000))))
        async with asyncio.timeout(2):
            await reader.read(1000)


async def aborted_handshakes(world, rng):
    """A handshake that ends within its first message."""
    async with _connection(world, tls=False) as (_, writer):
        writer.write(bytes.fromhex("16030100ff010000fb0303") + rng.randbytes(rng.randrange(200)))
        await writer.drain()
        await asyncio.sleep(rng.random())


async def slow_heads(world, rng):
    """A head that comes byte by byte."""
    async with _connection(world) as (_, writer):
        for byte in b"GET / HTTP/1.1\r\nX: " + b"y" * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(rng.random() * 0.1)


async def readers_that_stop(world, _rng):
    """Lists of all pods are requested again and again, and no response is read."""
    async with _connection(world) as (_, writer):
        lines = "".join(f"{name}: {value}\r\n" for name, value in ADMIN.items())
        for _ in range(100):
            writer.write(f"GET {API}/pods HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        await asyncio.sleep(3)


async def long_heads(world, _rng):
    """Headers without an end."""
    async with _connection(world) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        for number in range(3000):
            writer.write(b"x-%d: %b\r\n" % (number, b"y" * 1000))
            await writer.drain()


async def tokens(world, rng):
    """Bearer tokens of no user, each a TokenReview at the API server."""
    async with _connection(world, identified=False) as (reader, writer):
        token = rng.randbytes(20).hex()
        head = f"GET {API}/nodes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            await reader.read(1000)


CLIENTS = {
    "any-requests": _repeated(any_requests, 4),
    "garbage": _repeated(garbage, 4),
    "aborted-handshakes": _repeated(aborted_handshakes, 8),
    "slow-heads": _repeated(slow_heads, 20),
    "readers-that-stop": _repeated(readers_that_stop, 4),
    "long-heads": _repeated(long_heads, 2),
    "tokens": _repeated(tokens, 4),
}
