"""A follower's side of the stream: the leader's scrapes are taken as if they were our own.

The Lease says where the leader is, and anybody who may write Leases can write that: so the
connection is made only to a server that can be verified (`identity`), and what is no address is
not tried.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from metricsapi.kube.lease import Record, replica_address
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.server.replicas.identity import NoIdentityError, Shown
from metricsapi.server.replicas.messages import PATH, QUERIES_PATH
from metricsapi.server.replicas.reception import SILENCE, Received, Reception
from metricsapi.server.replicas.stall import STALL

AGAIN = 1.0  # seconds between two attempts to follow
# Seconds from a request to the first message of its stream: how well the leader's clock is known at
# first. After an attempt that took longer the next one may take twice as long.
QUICK = 0.3
LATE = 5.0  # seconds by which a stream may be late

log = logging.getLogger(__name__)


class FollowError(Exception):
    """The leader cannot be followed now; the message says why."""


class Follower:
    """Follows whoever leads, and hands each of its results to `accept`.

    `clock` gives monotonic seconds, `wall` seconds since the epoch. `identity` gives what to show
    to the leader, whose certificate has to be for `server_name`. `on_end` is called when a stream
    that was complete has ended. `forward` runs beside each stream: it sends queries with a client,
    to a URL, of a server of some name.
    """

    def __init__(
        self,
        *,
        leader: Callable[[], Record | None],
        accept: Callable[[Received], None],
        identity: Callable[[], Shown],
        server_name: str,
        clock: Callable[[], float],
        wall: Callable[[], float],
        on_end: Callable[[], None],
        forward: Callable[[httpx.AsyncClient, str, str], Awaitable[None]],
    ) -> None:
        self._leader = leader
        self._accept = accept
        self._identity = identity
        self._server_name = server_name
        self._clock = clock
        self._wall = wall
        self._on_end = on_end
        self._forward = forward
        self._complete = False
        self._last_sent = float("-inf")  # by our clock
        self._problem = ""
        self._progress = unobserved
        self._requested_at = float("-inf")
        self._quick = QUICK
        self._tried = False  # whether an attempt to follow has ended, well or not
        self.since: float | None = None  # seconds since the epoch; None while nobody is followed

    def follows(self) -> bool:
        """Return whether the leader's scrapes come in, so that none of ours are needed."""
        return self._complete and self.lag() < SILENCE

    def may_soon(self, waited: float, longest: float) -> bool:
        """Return whether a first stream may be about to be complete, after `waited` seconds.

        In the first seconds it is not known yet whom to follow; and while the first snapshot comes
        in, scrapes of our own would only delay it. After `longest` seconds they are needed.
        """
        if self._tried:
            return False
        return waited <= SILENCE or (self.lag() <= SILENCE and waited <= longest)

    def lag(self) -> float:
        """Return the seconds since the leader sent the last message of the stream that came."""
        return self._clock() - self._last_sent

    @property
    def problem(self) -> str:
        """Why the leader cannot be followed; empty while it is, or while there is none."""
        return self._problem

    async def run(self, progress: Progress = unobserved) -> None:
        """Follow until cancelled; a stream that ends is begun again."""
        self._progress = progress
        while True:
            progress()
            leader = self._leader()
            if leader is not None:
                await self._attempt(leader)
            else:
                self._ended()
                self._problem = ""
            await asyncio.sleep(AGAIN)  # less than SILENCE: a stream that is renewed is no gap

    async def _attempt(self, leader: Record) -> None:
        """Take one stream, and note its end unless it only has to be begun anew."""
        renewed = False
        try:
            renewed = await self._follow(leader)
            self._tried = True
        except NoIdentityError as error:  # at a start the authorities may be about to come
            self._lost(leader, str(error))
        except FollowError as error:
            self._tried = True
            self._lost(leader, str(error))
        finally:
            if not renewed:
                self._ended()

    def _ended(self) -> None:
        if self._complete:
            self._on_end()
        self._complete, self.since = False, None

    async def _follow(self, leader: Record) -> bool:
        """Take one stream until it ends; return whether what we show has changed meanwhile.

        Raises FollowError when it does not end well, and NoIdentityError.
        """
        reception = Reception(leader.holder)
        try:
            shown = self._identity()
            async with self._stream(address_of(leader), shown) as pieces:
                before: float | None = None
                async for piece in pieces:
                    received_at = self._clock()
                    if before is None:
                        before = received_at
                        self._check_exchange(received_at - self._requested_at)
                    if received_at - before > STALL:
                        raise FollowError(f"this replica stood still for {STALL:g} s")
                    before = received_at
                    self._take(piece, reception, leader, received_at)
                    if self._leader() != leader and not self._same_holder(leader):
                        return False
                    if self._identity() != shown:
                        return True
                    # A snapshot is thousands of samples in pieces that are there at once.
                    await asyncio.sleep(0)
        except ValueError as error:  # a ProtocolError, or samples before any time
            raise FollowError(f"{leader.address} sends no stream of ours: {error}") from error
        return False

    def _check_exchange(self, seconds: float) -> None:
        """Raise FollowError if a request took so long that it relates the clocks too loosely."""
        if seconds > self._quick:
            self._quick *= 2
            raise FollowError("it responds too slowly for its clock to be related to ours")
        self._quick = QUICK

    def _same_holder(self, leader: Record) -> bool:
        now = self._leader()
        return now is not None and (now.holder, now.address) == (leader.holder, leader.address)

    def _take(self, piece: bytes, reception: Reception, leader: Record, now: float) -> None:
        self._progress()
        before = reception.current
        for received in reception.feed(piece, now):
            self._accept(received)
        if before and reception.late > LATE:
            raise FollowError(f"its stream comes more than {LATE:g} s late")
        if reception.current and not before:
            self._complete, self._problem, self.since = True, "", self._wall()
            data = {"leader": leader.holder, "address": leader.address}
            log.info("following the leader", extra={"data": data})
        self._last_sent = now - reception.late

    @asynccontextmanager
    async def _stream(self, address: str, shown: Shown) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the stream at an address; while it is open, queries are forwarded there."""
        url = f"https://{address}"
        extensions = {"sni_hostname": self._server_name, "trace": self._note_request}
        try:
            async with (
                httpx.AsyncClient(
                    verify=shown.context, headers=shown.headers, trust_env=False, timeout=SILENCE
                ) as client,
                client.stream("GET", url + PATH, extensions=extensions) as response,
            ):
                if response.status_code != 200:
                    raise FollowError(f"{address} responded {response.status_code}")
                async with _beside(self._forward(client, url + QUERIES_PATH, self._server_name)):
                    yield response.aiter_raw()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = str(error) or type(error).__name__
            raise FollowError(f"no stream from {address}: {reason}") from error

    async def _note_request(self, event: str, _: object) -> None:
        """Note when a request is sent, which is after the handshakes: httpcore reports events."""
        if event == "http11.send_request_headers.started":
            self._requested_at = self._clock()

    def _lost(self, leader: Record, reason: str) -> None:
        """Log once per reason that this replica scrapes for itself."""
        if reason != self._problem:
            data = {"leader": leader.holder, "error": reason}
            log.warning("not following the leader; scraping nodes itself", extra={"data": data})
        self._problem = reason


@asynccontextmanager
async def _beside(work: Awaitable[None]) -> AsyncIterator[None]:
    """Do something meanwhile; a fault of it comes out at the end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


def address_of(leader: Record) -> str:
    """Return the leader's address as the host:port of a URL. Raises FollowError."""
    try:
        return replica_address(leader.address)
    except ValueError as error:
        raise FollowError(str(error)) from error
