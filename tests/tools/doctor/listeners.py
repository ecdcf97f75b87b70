"""Certificates and listeners, broken in the ways that real ones are broken."""

import asyncio
import contextlib
import re
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from tests.support.pki import DAY, SERVER, server_context

SUMMARY = """{
 "node": {"nodeName": "node-a", "startTime": "2026-11-23T00:00:00Z",
  "cpu": {"time": "2026-11-23T09:00:00Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 100},
  "memory": {"time": "2026-11-23T09:00:00Z", "workingSetBytes": 4096}},
 "pods": [{"podRef": {"name": "p", "namespace": "ns", "uid": "u"}, "containers": [
  {"name": "c", "startTime": "2026-11-23T00:00:00Z",
   "cpu": {"time": "2026-11-23T09:00:00Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 100},
   "memory": {"time": "2026-11-23T09:00:00Z", "workingSetBytes": 4096}}]}]}"""
NO_STATS = SUMMARY.replace('"workingSetBytes": 4096}}]', '"rssBytes": 1}}]')
EMPTY = SUMMARY[: SUMMARY.index(' "pods"')] + ' "pods": []}'
RESOURCE = """# TYPE node_cpu_usage_seconds_total counter
node_cpu_usage_seconds_total 10.5 1795424700000
# TYPE node_memory_working_set_bytes gauge
node_memory_working_set_bytes 4096 1795424700000
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 1.5 1795424700000
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="c",namespace="ns",pod="p"} 4096 1795424700000
"""


def serving(authority, *names, begins=-1.0, ends=90.0):
    """Give a server context with a kubelet's certificate for `names`, valid between these days."""
    common_name = "system:node:node-a"
    dates = {"start": begins * DAY, "end": ends * DAY}
    return server_context(authority.issue(common_name, usages=(SERVER,), names=names, **dates))


def http(status=200, body="", *, skew=0.0, **more):
    """The bytes of an answer, dated by a clock that is `skew` seconds off."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=skew), usegmt=True)
    head = {"Date": date, "Content-Length": str(len(body)), "Connection": "close", **more}
    lines = [f"HTTP/1.1 {status} X", *(f"{key}: {value}" for key, value in head.items())]
    return "\r\n".join([*lines, "", body]).encode()


def kubelet(summary=None, resource=None):
    """Answers by path; what is not given is 404."""

    def answer(target, _headers):
        given = summary if target.startswith("/stats/summary") else resource
        return given if given is not None else http(404, "404 page not found")

    return answer


@contextlib.asynccontextmanager
async def listening(answer, tls=None):
    """A listener on loopback; `answer(target, headers)` gives bytes, or None to say nothing."""

    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if length := re.search(r"content-length: (\d+)", head.lower()):
                head += (await reader.readexactly(int(length[1]))).decode()
            reply = answer(head.split(" ")[1], head)
            if reply is None:
                await reader.read()
            else:
                writer.write(reply)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*serving), 10)
