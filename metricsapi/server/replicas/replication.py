"""Scrapes shared among replicas: the parts of `--leader-elect`, put together.

One replica leads, by a Lease, and scrapes; it publishes each result. The others follow its stream
and store what it holds in the same way as scrapes of their own. Whoever neither leads nor follows
scrapes for itself: a double scrape is harmless, a missing one is not.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from metricsapi.api.queries import Query
from metricsapi.config.settings import Settings
from metricsapi.kube.addresses import host_port
from metricsapi.kube.client import KubeClient
from metricsapi.kube.election import Timing
from metricsapi.kube.informer import Informer
from metricsapi.kube.leader_election import LeaderElector
from metricsapi.kube.lease import Record
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.kube.resources import Node
from metricsapi.scrape.errors import Failure
from metricsapi.scrape.scraper import ScraperPool
from metricsapi.server.replicas.candidacy import Candidacy
from metricsapi.server.replicas.endpoint import ReplicaEndpoint
from metricsapi.server.replicas.follower import Follower
from metricsapi.server.replicas.identity import ReplicaIdentity
from metricsapi.server.replicas.publisher import Publisher
from metricsapi.server.replicas.queries import QueryForwarder
from metricsapi.server.replicas.reception import Received
from metricsapi.server.replicas.resignation import Resignation
from metricsapi.server.replicas.stale import RefuseStale
from metricsapi.server.replicas.stall import StallDetector
from metricsapi.server.task import LONGEST_SILENCE, Task
from metricsapi.storage.types import NodeSample
from metricsapi.telemetry.replicas import ReplicaStatus

CHECK = 0.25  # seconds between two checks of whether scrapes of our own are needed

log = logging.getLogger(__name__)


class Middleware(NamedTuple):
    """What replicas need in the handler chain, each as a function of the app behind it."""

    endpoint: Callable[[Any], Any]  # serves other replicas, before anything is counted
    refuse_stale: Callable[[Any], Any]


class Replication:
    """This replica among the others; `attach` names what it works for before it runs.

    `clock` gives monotonic seconds.

    Once `leaving` is set it leads no longer: another replica takes over while this one still
    serves.
    """

    def __init__(
        self,
        settings: Settings,
        client: KubeClient,
        identity: ReplicaIdentity,
        nodes: Informer[Node],
        leaving: asyncio.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        election = settings.leader_election
        self._identity = identity
        self._lease_duration = election.lease_duration
        self._host = settings.api.advertise_address
        self._nodes = nodes
        self._scraper: ScraperPool | None = None
        self._resolution = settings.kubelet.resolution
        self._clock = clock
        self._started = clock()
        self._stall = StallDetector(self._resolution)
        self._resignation = Resignation(2 * self._resolution + settings.kubelet.timeout)
        self._elector = LeaderElector(
            client,
            namespace=election.resource_namespace,
            name=election.resource_name,
            identity=f"{socket.gethostname()}_{secrets.token_hex(8)}",
            timing=Timing(election.lease_duration, election.renew_deadline, election.retry_period),
            clock=clock,
            wall=time.time,
        )
        self._candidacy = Candidacy(self._elector, leaving, election.lease_duration)
        self._publisher = Publisher(self._elector.identity, clock=clock, leads=self._elector.leads)
        self._forwarder = QueryForwarder(clock)
        self._follower = Follower(
            leader=self._leader,
            accept=self._accept,
            identity=identity.shown,
            server_name=f"{settings.service.name}.{settings.service.namespace}.svc",
            clock=clock,
            wall=time.time,
            on_end=self._elector.hurry,
            forward=self._forwarder.run,
        )

    def attach(self, scraper: ScraperPool, port: int) -> None:
        """Hand what the leader scraped to this scraper; `port` is where this replica listens."""
        self._scraper = scraper
        self._elector.address = host_port(self._host, port)

    def may_scrape(self) -> bool:
        """Return whether a scrape of our own is needed: we lead, or there is nobody to follow."""
        if self._elector.leads():
            return True
        waited = self._clock() - self._started
        return not (self._follower.follows() or self._follower.may_soon(waited, self._resolution))

    def publish(self, node: str, result: NodeSample | Failure, ended_at: float) -> None:
        """Return a result of our own, known at `ended_at`, to whoever follows us."""
        self._publisher.publish(node, result, ended_at)

    def forget(self, node: str) -> None:
        """Drop a node that is scraped no longer."""
        self._publisher.forget(node)

    def fresh(self) -> bool:
        """Return whether what is stored may be served.

        It may not after this process stood still, until each node was scraped again: other
        replicas have newer usage.
        """
        return self._stall.fresh(self._clock())

    def forward(self, query: Query, at: float) -> None:
        """Report to the leader a query that came at `at`, in monotonic seconds.

        It is dropped while no leader is followed. This is cheap enough to do for each query.
        """
        if self._follower.follows():
            self._forwarder.add(query, at)

    def middleware(self, on_query: Callable[[Query, float], None]) -> Middleware:
        """Return what replicas need in the handler chain.

        While this replica leads, `on_query` is called for each query that a follower was asked,
        with the time in our monotonic seconds.
        """
        endpoint = partial(
            ReplicaEndpoint,
            publisher=self._publisher,
            identity=self._identity,
            leads=self._elector.leads,
            on_query=on_query,
            monotonic=self._clock,
        )
        return Middleware(endpoint, partial(RefuseStale, fresh=self.fresh))

    def status(self) -> ReplicaStatus:
        """Return who leads and who follows whom."""
        leader = self._leader() or self._elector.leader()
        return ReplicaStatus(
            identity=self._elector.identity,
            leading=self._elector.leads(),
            leader=leader.holder if leader else "",
            following=self._follower.follows(),
            since=self._follower.since,
            lag=self._follower.lag() if self._follower.follows() else None,
            followers=self._publisher.followers,
            problem=self._follower.problem,
        )

    def tasks(self) -> list[Task]:
        """Return what runs until the process ends."""
        return [
            Task(
                "leader-election",
                self._candidacy.run,
                self._elector.failing,
                longest_silence=LONGEST_SILENCE + self._lease_duration,
            ),
            Task("replica-follower", self._follower.run),
            Task("replica-check", self._check),
        ]

    async def _check(self, progress: Progress = unobserved) -> None:
        """Start scrapes when they become necessary, and notice when the process stood still."""
        self._stall.start(self._clock())
        try:
            await self._check_forever(progress)
        finally:
            self._stall.stop()

    async def _check_forever(self, progress: Progress) -> None:
        scraped = False
        while True:
            progress()
            now = self._clock()
            if stalled := self._stall.check(now, self._scraped_since):
                log.warning("the process stood still; usage is stale until scraped again",
                            extra={"data": {"seconds": round(stalled, 1)}})  # fmt: skip
            if not self._nodes.synced.is_set():
                self._started = now
            leads = self._elector.leads()
            if not leads:
                self._publisher.end()
            followed = leads and self._publisher.followers > 0
            if self._resignation.due(now, followed=followed, count=self._count_failing):
                log.warning("most nodes fail here; leaving the Lease to another replica")
                self._candidacy.resign()
            needed = self.may_scrape()
            if needed and not scraped and self._scraper is not None:
                self._scraper.scrape_late()
            scraped = needed
            await asyncio.sleep(CHECK)

    def _count_failing(self) -> tuple[int, int]:
        """Return how many nodes fail, and how many there are."""
        states = self._scraper.states.values() if self._scraper is not None else ()
        return sum(state.failure is not None for state in states), len(states)

    def _scraped_since(self, at: float) -> bool:
        """Return whether every node was scraped after `at`."""
        states = self._scraper.states.values() if self._scraper is not None else ()
        return all(state.last_result is not None and state.last_result > at for state in states)

    def _leader(self) -> Record | None:
        """Return whom to follow; None until nodes are listed: scrapes of others are dropped.

        A leader ends its stream when it leads no longer. So if the Lease has expired here while the
        stream goes on, only this replica does not see it renewed, as without a connection to the
        API server.
        """
        if not self._nodes.synced.is_set():
            return None
        if self._follower.follows():
            return self._elector.other_holder()
        return self._elector.other_leader()

    def _accept(self, received: Received) -> None:
        """Store a result of the leader, and keep it for those who will follow us."""
        node, result, ended_at, packed = received
        if self._scraper is not None and self._scraper.accept(node, result, ended_at):
            self._publisher.keep(node, packed)
