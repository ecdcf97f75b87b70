"""The path of followers: nobody else gets a stream, fills the log, or hides a fault of ours."""

import asyncio

import pytest

from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.endpoint import LOG_INTERVAL, PIECE, STUCK, ReplicaEndpoint
from metricsapi.server.replicas.messages import PATH
from metricsapi.server.replicas.publisher import Publisher
from tests.support.conditions import until
from tests.support.simulated_time import run_simulated


class Clock:
    now = 1.7e9

    def __call__(self):
        return self.now


class Known(CertificateIdentity):
    async def refusal(self, _):
        return None


def endpoint(clock, identity, publisher=None, leads=lambda: True):
    return ReplicaEndpoint(
        None,
        publisher or Publisher("a", clock=clock, leads=leads),
        identity,
        leads=leads,
        on_query=lambda *_: None,
        clock=clock,
    )


async def at_once(_):
    """Take a message without any delay."""


async def ask(app, receive=None, *, take=at_once, cut=lambda: None):
    sent = []

    async def send(message):
        await take(message)
        sent.append(message)

    async def silent():
        await asyncio.get_running_loop().create_future()

    scope = {"type": "http", "path": PATH, "method": "GET", "headers": [], "query_string": b"",
             "client": ("10.0.0.9", 1), "state": {"peer": None, "abort": cut}}  # fmt: skip
    await app(scope, receive or silent, send)
    return sent


async def test_strangers_get_401_and_cannot_fill_the_log(caplog):
    clock = Clock()
    app = endpoint(clock, CertificateIdentity(clock=clock))
    for _ in range(1000):
        start, *_ = await ask(app)
        assert start["status"] == 401
    assert [record.getMessage() for record in caplog.records] == ["refused a replica"]
    clock.now += LOG_INTERVAL
    await ask(app)
    assert len(caplog.records) == 2


async def test_a_stream_whose_reader_leaves_is_over():
    publisher = Publisher("a", clock=Clock(), leads=lambda: True)
    app = endpoint(Clock(), Known(clock=Clock()), publisher)

    async def leave():
        await until(lambda: publisher.followers, what="a follower")
        return {"type": "http.disconnect"}

    sent = await ask(app, leave)
    assert sent[0]["status"] == 200
    assert publisher.followers == 0


def test_only_a_follower_that_takes_nothing_for_a_while_is_cut_off(caplog):
    snapshot = bytes(20 * PIECE)

    class Large(Publisher):
        async def stream(self):
            yield snapshot

    async def taken(seconds_for_each, cut):
        publisher = Large("a", clock=Clock(), leads=lambda: True)
        app = endpoint(Clock(), Known(clock=Clock()), publisher)

        async def slow(_):
            await asyncio.sleep(seconds_for_each)

        return b"".join(m.get("body", b"") for m in await ask(app, take=slow, cut=cut))

    cuts = []
    assert run_simulated(taken(0.9 * STUCK, lambda: cuts.append("slow"))) == snapshot
    assert run_simulated(taken(1.1 * STUCK, lambda: cuts.append("stuck"))) == b""
    assert cuts == ["stuck"]
    assert [r.getMessage() for r in caplog.records] == ["a follower takes nothing; cutting it off"]


async def test_a_fault_of_ours_in_a_stream_is_not_hidden():
    class Broken(Publisher):
        async def stream(self):
            yield b""
            raise RuntimeError("oops")

    app = endpoint(Clock(), Known(clock=Clock()), Broken("a", clock=Clock(), leads=lambda: True))
    with pytest.raises(RuntimeError, match="oops"):
        await ask(app)
