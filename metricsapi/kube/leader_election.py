"""Leader election by a Lease of `coordination.k8s.io/v1`: reads and writes it at the API server.

`Election` decides, by the rules of client-go.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from metricsapi.kube.client import KubeClient
from metricsapi.kube.election import Election, Timing
from metricsapi.kube.errors import Conflict, KubeError, NotFound
from metricsapi.kube.lease import Lease, Record, lease_of, micro_time, record_of
from metricsapi.kube.progress import Progress, unobserved, wait_for

JITTER = 1.2  # client-go: candidates wait up to so many retry periods between two attempts

log = logging.getLogger(__name__)


class LeaderElector:
    """Takes, renews and releases one Lease, and logs each change of its holder once.

    `clock` gives monotonic seconds, `wall` seconds since the epoch. A Lease that does not exist is
    created, which needs a right of its own.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.election = Election(identity, timing)
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._metadata = {"name": name, "namespace": namespace}
        self.address = ""  # host:port, for the record; to be set before `run`
        self._timing = timing
        self._clock = clock
        self._wall = wall
        self._lease: Lease = {}  # as last read or written, to keep what others put there
        self._failing: tuple[float, str] | None = None
        self._hurry = asyncio.Event()
        self._known: tuple[str, bool] = ("", False)

    @property
    def identity(self) -> str:
        """The name under which this process holds the Lease."""
        return self.election.identity

    def leads(self) -> bool:
        """Return whether this process may act as leader now."""
        return self.election.leads(self._clock())

    def leader(self) -> Record | None:
        """Return the record of the current leader, None when nobody leads."""
        return self.election.holder(self._clock())

    def other_leader(self) -> Record | None:
        """Return the record of the current leader if that is another process."""
        leader = self.leader()
        return leader if leader and leader.holder != self.identity else None

    def other_holder(self) -> Record | None:
        """Return the record last seen if it names another process, also once it has expired."""
        record = self.election.record
        return record if record.holder and record.holder != self.identity else None

    async def run(self, progress: Progress = unobserved) -> None:
        """Take part in the election until cancelled; then release the Lease."""
        try:
            while True:
                progress()
                await self.attempt()
                period = self._timing.retry_period
                jitter = 1.0 if self.leads() else random.uniform(1.0, JITTER)  # noqa: S311
                await self._pause(period * jitter)
        finally:
            await self.release()

    def failing(self) -> tuple[float, str] | None:
        """Return since when (monotonic seconds) and why attempts fail; None while they succeed."""
        return self._failing

    def hurry(self) -> None:
        """Make the next attempt at once: the leader seems to be gone."""
        self._hurry.set()

    async def observe(self, progress: Progress = unobserved) -> None:
        """Read who leads until cancelled, and take no part in the election."""
        while True:
            progress()
            await self._try(self._read)
            await self._pause(self._timing.retry_period)

    async def attempt(self) -> None:
        """Read the Lease, and take or renew it if it may be."""
        await self._try(self._read_and_write)

    async def _try(self, requests: Callable[[], Awaitable[None]]) -> None:
        """Make the requests of one attempt in time, and note how that went."""
        try:
            async with asyncio.timeout(self._longest_attempt()):
                await requests()
            self._failing = None
        except (KubeError, TimeoutError) as error:
            reason = str(error) or "the API server took too long"
            if self._failing is None:
                data = {"lease": self._path, "error": reason}
                log.warning("leader election failed", extra={"data": data})
            self._failing = (self._failing[0] if self._failing else self._clock(), reason)
        self._report()

    async def release(self) -> None:
        """Release the Lease if it is ours, so that another replica need not wait for its end."""
        if not self.leads():
            return
        self.election.resign()
        try:
            async with asyncio.timeout(self._timing.retry_period):
                await self._read()  # a renewal that was under way may have been written
                if self.election.record.holder == self.identity:
                    await self._write(self._record(holder=""))
        except (KubeError, TimeoutError) as error:
            log.info("lease not released", extra={"data": {"error": str(error)}})
        self._report()

    def _longest_attempt(self) -> float:
        """Return the seconds for an attempt; a leader keeps time for a second, should it hang."""
        return self._timing.renew_deadline / (2 if self.leads() else 1)

    async def _pause(self, seconds: float) -> None:
        await wait_for(self._hurry, seconds)
        self._hurry.clear()

    async def _read_and_write(self) -> None:
        now = self._clock()
        if not self.election.leads(now):
            await self._read()
        try:
            await self._write_if_ours()
        except (Conflict, NotFound):
            await self._read()  # somebody else wrote or deleted it: what is there now decides
            await self._write_if_ours()

    async def _write_if_ours(self) -> None:
        if self.election.may_write(self._clock()):
            await self._write(self._record(holder=self.election.identity))

    async def _read(self) -> None:
        try:
            self._lease = await self._client.request_json("GET", self._path, Lease)
            self.election.observe(record_of(self._lease), self._clock())
        except NotFound:
            self._lease = {}
            self.election.observe(Record(), self._clock())

    def _record(self, *, holder: str) -> Record:
        """Return the record that follows the one last seen when `holder` takes the Lease."""
        before = self.election.record
        renewed = before.holder == holder
        return Record(
            holder=holder,
            address=self.address if holder else "",
            transitions=before.transitions + bool(holder and before.version and not renewed),
            acquired=before.acquired if renewed and before.acquired else micro_time(self._wall()),
            version=before.version,
        )

    async def _write(self, record: Record) -> None:
        before = self._lease or {"metadata": self._metadata}
        duration = self._timing.lease_duration
        lease = lease_of(record, before, duration=duration, now=self._wall())
        began = self._clock()
        method, path = ("PUT", self._path) if record.version else ("POST", self._collection)
        self._lease = await self._client.request_json(method, path, Lease, body=lease)
        self.election.wrote(record_of(self._lease), began)

    def _report(self) -> None:
        """Log a change of the holder, once."""
        leader = self.leader()
        known = (leader.holder if leader else "", self.leads())
        if known == self._known:
            return
        self._known = known
        data = {"leader": known[0] or None, "leading": known[1]}
        log.info("leader changed", extra={"data": data})
