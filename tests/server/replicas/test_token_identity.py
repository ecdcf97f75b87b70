"""Without a CA of ours a follower sends a token of one audience, and to nobody but the leader."""

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from metricsapi.kube.errors import CredentialsError
from metricsapi.server.auth.tokens import TokenReviewer
from metricsapi.server.replicas.messages import Complete, Heartbeat, Hello, frame
from metricsapi.server.replicas.token_identity import AUDIENCE, TokenIdentity
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_authority, make_serving
from tests.server.replicas.pair import CA, DAY, NOW, SERVICE, following, leading
from tests.support.apiserver import Reviewer
from tests.support.conditions import until

THEIRS = make_authority("theirs", now=NOW, lifetime=9 * DAY)
OURS = "system:serviceaccount:kube-system:metrics-server"


class Account:
    """The token file and the CA file of one replica; its tokens as the API server knows them."""

    def __init__(self, directory, reviewer, *, clock=time.monotonic):
        self.token, self.authority = directory / "token", directory / "ca.crt"
        self.token.write_text("ours-1")
        self.authority.write_bytes(CA.certificate)
        self._reviewer, self._clock = reviewer, clock
        reviewer.audiences = [AUDIENCE]
        reviewer.users = {
            "ours-1": {"username": OURS},
            "ours-2": {"username": OURS},
            "theirs": {"username": "system:serviceaccount:kube-system:other"},
        }

    def identity(self, token=None):
        """The identity of a replica that has this token, or that of the file."""
        path = self.token
        if token is not None:
            path = self.token.with_name(f"token-{token}")
            path.write_text(token)
        reviewer = TokenReviewer(
            self._reviewer.client, audiences=[AUDIENCE], ttl=60.0, clock=self._clock
        )
        return TokenIdentity(path, self.authority, SERVICE, reviewer)


@pytest.fixture
async def account(tmp_path):
    clock = SimpleNamespace(now=1000.0)
    async with Reviewer() as reviewer:
        made = Account(tmp_path, reviewer, clock=lambda: clock.now)
        made.reviewer, made.clock = reviewer, clock
        yield made


async def test_a_follower_with_a_token_of_our_account_is_served(account):
    async with (
        leading(identity=account.identity()) as leader,
        following(leader, shown=account.identity("ours-2").shown) as follower,
    ):
        await until(follower.follows, what="following")
        assert {tuple(asked["spec"]["audiences"]) for asked in account.reviewer.asked} == {
            (AUDIENCE,)
        }


@pytest.mark.parametrize("token", ["theirs", "nobody"])
async def test_other_tokens_get_no_stream(account, token, caplog):
    async with (
        leading(identity=account.identity()) as leader,
        following(leader, shown=account.identity(token).shown) as follower,
    ):
        await until(lambda: "401" in follower.problem, what="a refusal")
        assert leader.publisher.followers == 0
        assert "refused a replica" in caplog.text


async def test_a_token_of_another_audience_gets_no_stream(account):
    account.reviewer.audiences = ["https://kubernetes.default.svc"]
    async with (
        leading(identity=account.identity()) as leader,
        following(leader, shown=account.identity().shown) as follower,
    ):
        await until(lambda: "401" in follower.problem, what="a refusal")


@asynccontextmanager
async def stranger(authority, name):
    """Whoever the writer of a Lease points at: it takes any request, and notes what it is sent."""
    received = bytearray()

    async def serve(reader, writer):
        received.extend(await reader.readuntil(b"\r\n\r\n"))
        body = frame(Hello("x", 1.0, 0)) + frame(Complete()) + frame(Heartbeat(1.0))
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await writer.drain()
        writer.close()

    pair = make_serving([name], ["127.0.0.1"], now=NOW, lifetime=DAY, authority=authority)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ServingTLS(pair).context)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield SimpleNamespace(address=address, received=received)


@pytest.mark.parametrize(
    ("authority", "name"),
    [(THEIRS, SERVICE), (None, SERVICE), (CA, "other.kube-system.svc")],
    ids=["another CA", "self-signed", "another name of our CA"],
)
async def test_a_hostile_address_in_the_lease_gets_no_token(account, authority, name):
    async with (
        stranger(authority, name) as other,
        following(other, shown=account.identity().shown) as follower,
    ):
        await until(lambda: follower.problem, what="a problem")
        assert "certificate" in follower.problem.lower()
        assert (other.received, follower.accepted, follower.follows()) == (b"", [], False)


async def test_a_stream_ends_once_its_token_has_expired(account):
    async with (
        leading(identity=account.identity()) as leader,
        following(leader, shown=account.identity("ours-2").shown) as follower,
    ):
        await until(follower.follows, what="following")
        account.reviewer.users.pop("ours-2")
        account.clock.now += 61.0
        await until(lambda: leader.publisher.followers == 0, what="the end of the stream")


async def test_a_stream_outlasts_an_api_server_that_is_away(account):
    async with (
        leading(identity=account.identity()) as leader,
        following(leader, shown=account.identity().shown) as follower,
    ):
        await until(follower.follows, what="following")
        account.reviewer.down = True
        account.clock.now += 61.0
        since = time.monotonic()
        await until(lambda: time.monotonic() - since > 2.5, what="two checks")
        assert follower.follows()


async def test_while_the_api_server_is_away_nobody_new_is_served(account):
    account.reviewer.down = True
    async with (
        leading(identity=account.identity()) as leader,
        following(leader, shown=account.identity().shown) as follower,
    ):
        await until(lambda: "500" in follower.problem, what="a refusal")
        account.reviewer.down = False
        await until(follower.follows, what="following")


@pytest.mark.parametrize(("name", "content"), [("token", ""), ("ca.crt", "none")])
async def test_a_file_that_cannot_be_used_is_named(account, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(CredentialsError, match=name):
        account.identity()
