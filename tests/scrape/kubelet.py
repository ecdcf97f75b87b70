"""A scripted kubelet on a real TLS socket: each request is answered by a function."""

import asyncio
import json
import ssl
import time

from metricsapi.kube.resources import Address, Node
from metricsapi.scrape.direct import DirectFetcher
from metricsapi.scrape.kubelet import KubeletClient
from metricsapi.scrape.options import CollectSettings
from metricsapi.scrape.summary import decode_summary
from metricsapi.scrape.targets import target_of
from metricsapi.scrape.tls import KubeletTLS
from metricsapi.storage.types import NodeSample
from tests.support.pki import SERVER, Authority, server_context

CLUSTER = Authority("kubernetes")


def summary(node, pods=1):
    """The least that a kubelet says of itself and its pods, as JSON."""
    stat = {
        "cpu": {
            "time": "2026-11-23T10:00:00Z",
            "usageNanoCores": 10**8,
            "usageCoreNanoSeconds": 10**12,
        },
        "memory": {"time": "2026-11-23T10:00:00Z", "workingSetBytes": 2**24},
        "startTime": "2026-11-23T09:00:00Z",
    }
    listed = [
        {
            "podRef": {"name": f"p{i}", "namespace": "default", "uid": str(i)},
            "containers": [{"name": "c", **stat}],
        }
        for i in range(pods)
    ]
    return json.dumps({"node": {"nodeName": node, **stat}, "pods": listed}).encode()


def http(body, status=200, *, headers=(), chunks=0):
    """One answer as bytes; with `chunks`, in so many pieces of chunked coding."""
    head = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", *headers]
    if not chunks:
        return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
    size = max(1, -(-len(body) // chunks))
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return (
        "\r\n".join([*head, "Transfer-Encoding: chunked", "", ""]).encode() + coded + b"0\r\n\r\n"
    )


class Request:
    def __init__(self, head):
        self.line, *lines = head.decode().rstrip().split("\r\n")
        self.path = self.line.split(" ")[1]
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}


class Kubelet:
    """`answer(request)` gives bytes, None to hang up, or is a coroutine function taking (request,
    writer) that writes for itself. `certificate` None is plain HTTP.
    """

    def __init__(self, answer=None, *, node="n1", certificate="127.0.0.1", host="127.0.0.1"):
        self.node = node
        self.answer = answer or (lambda _: http(summary(self.node)))
        self.requests = []
        self.port = self.want_port = 0
        self.connections = 0
        self.open = set()
        self.host = host
        if isinstance(certificate, str):
            certificate = CLUSTER.issue("system:node", usages=(SERVER,), names=[certificate])
        self.context = certificate and server_context(certificate)

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(
            self._connected, self.host, self.want_port, ssl=self.context, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(5):  # turns of the loop in which asyncio closes what was aborted
            await asyncio.sleep(0.001)

    def hang_up(self):
        """Close every open connection, as after the idle time."""
        for writer in list(self.open):
            writer.close()

    def _connected(self, reader, writer):
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader, writer):
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                request = Request(await reader.readuntil(b"\r\n\r\n"))
                self.requests.append(request)
                if asyncio.iscoroutinefunction(self.answer):
                    await self.answer(request, writer)
                    continue
                answer = self.answer(request)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open.discard(writer)
            writer.transport.abort()


def node(name="n1", *hosts, labels=None, annotations=None, ready=True):
    addresses = tuple(Address("InternalIP", host) for host in hosts or ("127.0.0.1",))
    return Node(name, labels or {}, annotations or {}, addresses, None, ready)


def direct(settings, *, authority=CLUSTER, token=lambda: "token"):
    """A fetcher that trusts the tests' cluster CA."""
    tls = None
    if not settings.insecure_http:
        tls = KubeletTLS(settings, authority.text if authority else None)
    return DirectFetcher(settings, tls, token)


def client(settings, *, fetcher=None, resource=decode_summary, **kwargs):
    return KubeletClient(
        settings,
        fetcher or direct(settings, **kwargs),
        summary=decode_summary,
        resource=resource,
    )


class Reader:
    """Reads one kubelet as the pool does: `await reader()` gives a sample or a failure."""

    def __init__(self, kubelet, *, seconds=5.0, target=None, **options):
        options.setdefault("port", kubelet.port)
        kwargs = {key: options.pop(key) for key in ("authority", "token") if key in options}
        self.settings = CollectSettings(**options)
        self.client = client(self.settings, **kwargs)
        self.target = target or target_of(node(kubelet.node, kubelet.host), self.settings)
        self.seconds = seconds

    async def __call__(self):
        return await self.client.scrape(self.target, time.monotonic() + self.seconds)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.client.close()


def is_sample(result):
    return isinstance(result, NodeSample)
