"""A leader and a follower of it, on real sockets and with certificates of one CA."""

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial

from metricsapi.kube.lease import Record
from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.endpoint import ReplicaEndpoint
from metricsapi.server.replicas.follower import Follower
from metricsapi.server.replicas.publisher import Publisher
from metricsapi.server.replicas.queries import QueryForwarder
from metricsapi.server.replicas.replication import Middleware
from metricsapi.server.replicas.stale import RefuseStale
from metricsapi.server.tls.issue import make_authority, make_serving
from tests.server.serving import serving

NOW, DAY = time.time(), 86400.0
SERVICE = "metrics-server.kube-system.svc"
CA = make_authority("ours", now=NOW, lifetime=99 * DAY)


def identity(clock=lambda: NOW):
    made = CertificateIdentity(clock=clock)
    made.update([CA], CA)
    return made


class Leader:
    """A server that leads; `queries` is what followers were asked, each with its time."""

    def __init__(self, clock, monotonic, known_by):
        self.queries = []
        self.leading = True
        self.identity = known_by or identity(clock)
        self.publisher = Publisher("a", clock=time.monotonic, leads=lambda: self.leading)
        endpoint = partial(
            ReplicaEndpoint,
            publisher=self.publisher,
            identity=self.identity,
            leads=lambda: self.leading,
            on_query=lambda *query: self.queries.append(query),
            clock=clock,
            monotonic=monotonic,
        )
        self.middleware = Middleware(endpoint, partial(RefuseStale, fresh=lambda: True))


@asynccontextmanager
async def leading(clock=lambda: NOW, monotonic=time.monotonic, identity=None):
    leader = Leader(clock, monotonic, identity)
    pair = make_serving([SERVICE], [], now=clock(), lifetime=30 * DAY, authority=CA)
    async with serving(replicas=leader.middleware, pair=pair) as running:
        running.tls.trust(CA.certificate.decode())
        leader.address, leader.telemetry = f"127.0.0.1:{running.port}", running.telemetry
        try:
            yield leader
        finally:
            leader.leading = False


@asynccontextmanager
async def following(leader, *, clock=time.monotonic, shown=None):
    """A follower with `accepted` results and a `forwarder` of queries. `clock` is monotonic."""
    forwarder, accepted = QueryForwarder(clock), []
    follower = Follower(
        leader=lambda: Record(holder="a", address=leader.address),
        accept=accepted.append,
        identity=shown or identity().shown,
        server_name=SERVICE,
        clock=clock,
        wall=time.time,
        on_end=lambda: None,
        forward=forwarder.run,
    )
    follower.forwarder, follower.accepted = forwarder, accepted
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
