"""Certificates and listeners with the faults that real ones have."""

import contextlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from tests.support.listener import Listener
from tests.support.pki import DAY, SERVER, server_context

SUMMARY = """{
 "node": {"nodeName": "node-a", "startTime": "2026-11-23T00:00:00Z",
  "cpu": {"time": "2026-11-23T09:00:00Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 100},
  "memory": {"time": "2026-11-23T09:00:00Z", "workingSetBytes": 4096}},
 "pods": [{"podRef": {"name": "p", "namespace": "ns", "uid": "u"}, "containers": [
  {"name": "c", "startTime": "2026-11-23T00:00:00Z",
   "cpu": {"time": "2026-11-23T09:00:00Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 100},
   "memory": {"time": "2026-11-23T09:00:00Z", "workingSetBytes": 4096}}]}]}"""
NO_USAGE = SUMMARY.replace('"workingSetBytes": 4096}}]', '"rssBytes": 1}}]')
_OTHER = SUMMARY[SUMMARY.index('{"podRef') : -2]
NO_STATS = NO_USAGE[:-2] + "," + _OTHER.replace('"name": "p"', '"name": "q"') + "]}"
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
    """Return a server context with a kubelet's certificate for `names`, valid for these days."""
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

    def answer(request):
        given = summary if request.path == "/stats/summary" else resource
        return given if given is not None else http(404, "404 page not found")

    return answer


@contextlib.asynccontextmanager
async def listening(answer, tls=None):
    """Listen on loopback, and return the port; each connection is closed after its first answer."""
    async with Listener(answer, tls=tls, closing=True) as listener:
        yield listener.port
