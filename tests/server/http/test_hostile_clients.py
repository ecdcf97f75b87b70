"""Hostile clients on real sockets: whatever they send, others are served and nothing is kept.

No request ends in a fault of the server, and none leaves a line of an error in the log.
"""

import asyncio
import contextlib
import logging
import socket
import threading

import pytest
import uvloop
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from metricsapi.api.app import create_app
from metricsapi.config.limits import LimitSettings
from metricsapi.server.operator.metrics import metrics_routes
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.snapshot import Snapshot
from tests.api.cluster import recorded
from tests.server.serving import configmap, serving
from tests.support.pki import Authority, client_context

FRONT = Authority("front-proxy-ca")
PROXY = FRONT.issue("front-proxy-client")
ADMIN = "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\n"
ROOT = "/apis/metrics.k8s.io/v1beta1"
# So small that examples reach them, and so short that a test waits for them.
LIMITS = LimitSettings(
    connections=64, header_bytes=64 * 1024, target_bytes=8192, body_bytes=4096, header_timeout=1.0
)
LARGE = 16 * 2**20  # bytes: more than sockets take


def app():
    cluster = recorded()
    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="test")

    async def families():
        return telemetry.families(Snapshot())

    router = APIRouter()

    @router.get("/large")
    async def large():
        pieces = (bytes(65536) for _ in range(LARGE // 65536))
        return StreamingResponse(pieces, headers={"Content-Length": str(LARGE)})

    routes = [*metrics_routes(families, started=0.0), *router.routes]
    return create_app(catalog=cluster.catalog, clock=lambda: 0.0, routes=routes)


class Errors(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


class Running:
    """A server in a thread of its own, so that clients can be plain blocking ones."""

    def __init__(self):
        self.contexts = {None: client_context(None), PROXY: client_context(PROXY)}

    def __enter__(self):
        started = threading.Event()
        self.errors = Errors()
        logging.getLogger().addHandler(self.errors)

        async def serve():
            self.loop = asyncio.get_running_loop()
            self.stop = asyncio.Event()
            self.loop.set_exception_handler(lambda _, found: self.errors.lines.append(str(found)))
            async with serving(configmap(FRONT), app=app(), limits=LIMITS) as running:
                self.running = running
                started.set()
                await self.stop.wait()

        self.thread = threading.Thread(target=uvloop.run, args=(serve(),))
        self.thread.start()
        assert started.wait(30)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(30)
        logging.getLogger().removeHandler(self.errors)
        assert not self.errors.lines

    @contextlib.contextmanager
    def connect(self, certificate=PROXY, receive_buffer=None):
        raw = socket.socket()
        raw.settimeout(20)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.connect(("127.0.0.1", self.running.port))
        context = self.contexts[certificate]
        with raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
            yield tls

    def exchange(self, *sent, certificate=PROXY):
        """Send parts, and return all that comes back until the server closes."""
        with self.connect(certificate) as tls:
            with contextlib.suppress(OSError):
                for part in sent:
                    tls.sendall(part)
            return read_all(tls)

    def is_well(self):
        """Return whether another client is served, nothing is in flight and no error is logged."""
        with self.connect() as tls:
            tls.sendall(request("/apis", close=True))
            served = read_all(tls).startswith(b"HTTP/1.1 200 ")
        return served and not self.errors.lines


def read_all(tls):
    received = b""
    with contextlib.suppress(OSError):
        while data := tls.recv(65536):
            received += data
    return received


def request(target, *, headers="", close=False, version="1.1", method="GET"):
    end = "Connection: close\r\n" if close else ""
    return f"{method} {target} HTTP/{version}\r\nHost: x\r\n{ADMIN}{headers}{end}\r\n".encode(
        "latin-1"
    )


def answers(received):
    """Split what a connection received into its answers: (status, headers, body)."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        if "content-length" in headers:
            size = int(headers["content-length"])
            body, received = received[:size], received[size:]
            assert len(body) == size
        elif headers.get("transfer-encoding") == "chunked":
            body, received = unchunked(received)
        else:
            body = b""
        found.append((int(status.split(" ")[1]), headers, body))
    return found


def unchunked(received):
    body = b""
    while True:
        size, _, received = received.partition(b"\r\n")
        if int(size, 16) == 0:
            return body, received.removeprefix(b"\r\n")
        body += received[: int(size, 16)]
        received = received[int(size, 16) + 2 :]


@pytest.fixture(scope="module")
def server():
    with Running() as running:
        yield running


def hostile(**options):
    return settings(deadline=None, suppress_health_check=list(HealthCheck), **options)


PIECES = st.sampled_from(
    [b"GET ", b"POST ", b"\x00", b" ", b"/", b"/livez", b"/apis", b"?", b"%", b"%ff", b"\xff",
     b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: x",
     b"Content-Length: ", b"Transfer-Encoding: chunked", b"Connection: close", b"Upgrade: h2c",
     b"Connection: keep-alive", b"Expect: 100-continue", b"5", b"0", b"-1", b"abcde", b"f" * 16,
     b";x=y", b": ", b"X" * 300, b"Accept: ", b"application/vnd.kubernetes.protobuf", b",",
     b";q=", b"X-Remote-User: root", b"\t"]
)  # fmt: skip
GARBAGE = st.lists(PIECES | st.binary(max_size=8), max_size=25).map(b"".join)


@hostile(max_examples=30)
@given(st.lists(GARBAGE, min_size=1, max_size=3), st.sampled_from([None, PROXY]))
def test_any_bytes(server, parts, certificate):
    with server.connect(certificate) as tls, contextlib.suppress(OSError):
        for part in parts:
            tls.sendall(part)
        tls.unwrap()  # the end of what we send; what comes back may still be on its way
    assert server.is_well()


CHUNKS = st.sampled_from(
    [b"5\r\nabcde\r\n", b"0\r\n\r\n", b"5;ext=1\r\nabcde\r\n", b"5\r\nabcdeX", b"g\r\n",
     b"-1\r\n", b"0x5\r\nabcde\r\n", b"5\nabcde\n", b"f" * 18 + b"\r\n", b";\r\n", b"\r\n",
     b"1000\r\n" + b"x" * 4096 + b"\r\n", b"0\r\nX-Remote-User: root\r\n\r\n",
     b"0\r\nContent-Length: 9\r\n\r\n", b"5\r\n" + b"\x00" * 5 + b"\r\n", b"0" * 400,
     b"5" + b";a" * 3000 + b"\r\nabcde\r\n"]
)  # fmt: skip


@hostile(max_examples=30)
@given(st.lists(CHUNKS | st.binary(max_size=10), max_size=8))
def test_chunks_of_any_kind(server, lines):
    head = request("/apis", method="POST", headers="Transfer-Encoding: chunked\r\n")
    with server.connect() as tls, contextlib.suppress(OSError):
        tls.sendall(head + b"".join(lines))
        tls.settimeout(0.2)
        received = tls.recv(65536)
        assert received.startswith((b"HTTP/1.1 405 ", b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
    assert server.is_well()


@hostile(max_examples=20)
@given(
    st.lists(
        st.sampled_from(["/apis", "/version", f"{ROOT}/nodes?limit=2", "/nope", f"{ROOT}/pods"]),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 400),
)
def test_pipelined_requests_are_answered_in_their_order(server, targets, cut):
    sent = b"".join(
        request(target, close=target is targets[-1] and number == len(targets) - 1)
        for number, target in enumerate(targets)
    )
    parts = [sent[at : at + cut] for at in range(0, len(sent), cut)]
    received = answers(server.exchange(*parts))
    assert len(received) == len(targets)
    for target, (status, _, body) in zip(targets, received, strict=True):
        assert status == (404 if target == "/nope" else 200)
        kind = {"/apis": b"APIGroupList", "/version": b"gitVersion", "/nope": b"paths"}
        assert kind.get(target, b"MetricsList") in body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_large_answer_arrives_whole_however_slowly_it_is_read_before_the_end(server, version):
    """What was not taken within half a second of the answer's end was lost."""
    with server.connect(receive_buffer=8192) as tls:
        tls.sendall(request("/large", close=True, version=version))
        received = bytearray()
        while len(received) < LARGE - 2 * 2**20:
            received += tls.recv(65536)
        threading.Event().wait(1.5)  # it is the client that makes the server wait
        received += read_all(tls)
    ((status, headers, body),) = answers(bytes(received))
    assert (status, headers["connection"], len(body)) == (200, "close", LARGE)


def test_http_1_0_gets_one_answer_with_a_length_and_the_end(server):
    first = request("/apis", version="1.0", headers="Connection: keep-alive\r\n")
    received = answers(server.exchange(first))
    assert [(status, "content-length" in headers) for status, headers, _ in received] == [
        (200, True)
    ]


def test_a_client_that_has_sent_all_and_says_so_gets_its_answer(server):
    """TCP's FIN without TLS's end, as programs that are killed leave it, too."""
    with server.connect() as tls:
        tls.sendall(request("/apis", close=True))
        socket.socket.shutdown(tls, socket.SHUT_WR)
        received = read_all(tls)
    assert received == b"" or received.startswith(b"HTTP/1.1 200 ")
    assert server.is_well()
    assert server.running.in_flight.count == 0
