"""The path of followers: nobody else gets a stream, fills the log, or hides a fault of ours."""

import asyncio

import pytest

from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.endpoint import LOG_INTERVAL, ReplicaEndpoint
from metricsapi.server.replicas.messages import PATH
from metricsapi.server.replicas.publisher import Publisher
from tests.support.conditions import until


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


async def ask(app, receive=None):
    sent = []

    async def send(message):
        sent.append(message)

    async def silent():
        await asyncio.get_running_loop().create_future()

    scope = {"type": "http", "path": PATH, "method": "GET", "headers": [], "query_string": b"",
             "client": ("10.0.0.9", 1), "state": {"peer": None, "abort": lambda: None}}  # fmt: skip
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


async def test_a_fault_of_ours_in_a_stream_is_not_hidden():
    class Broken(Publisher):
        async def stream(self):
            yield b""
            raise RuntimeError("oops")

    app = endpoint(Clock(), Known(clock=Clock()), Broken("a", clock=Clock(), leads=lambda: True))
    with pytest.raises(RuntimeError, match="oops"):
        await ask(app)
