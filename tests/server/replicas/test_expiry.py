"""A stream lasts no longer than the certificate that it began with, and nothing is missed."""

import time

import pytest

from metricsapi.server.replicas.certificate_identity import LIFETIME
from metricsapi.server.tls.issue import make_authority
from tests.server.replicas.pair import CA, DAY, NOW, following, identity, leading
from tests.support.conditions import until


class Clock:
    now = NOW

    def __call__(self):
        return self.now


async def a_later_message(follower):
    now = time.monotonic()
    await until(lambda: time.monotonic() - follower.lag() > now, what="a later message")


async def test_a_follower_whose_certificate_has_expired_is_cut_off_and_that_is_logged(caplog):
    clock = Clock()
    async with leading(clock) as leader, following(leader) as follower:
        await until(follower.follows, what="following")
        clock.now += LIFETIME + 1
        await until(lambda: follower.problem, what="the end of the stream")
        assert not follower.follows()
        assert leader.publisher.followers == 0
        assert "refused a replica" in caplog.text


async def test_a_follower_goes_on_with_a_newer_certificate_before_the_old_one_expires(caplog):
    leaders, ours = Clock(), Clock()
    ours.now -= 0.9 * LIFETIME  # TLS itself goes by the time of this machine
    shown = identity(ours).shown
    async with leading(leaders) as leader, following(leader, shown=shown) as follower:
        await until(follower.follows, what="following")
        since = follower.since
        ours.now = NOW
        await until(lambda: follower.since != since, what="another stream")
        assert follower.follows()
        leaders.now += 0.5 * LIFETIME  # the first certificate has expired
        await until(lambda: leader.publisher.followers == 1, what="the end of the first stream")
        await a_later_message(follower)
        assert follower.follows()
        assert "not following" not in caplog.text


@pytest.mark.parametrize("kept", [True, False], ids=["and is trusted on", "and is gone"])
async def test_a_stream_ends_when_its_authority_is_no_longer_trusted(kept):
    later = make_authority("later", now=NOW, lifetime=99 * DAY)
    async with leading() as leader, following(leader) as follower:
        await until(follower.follows, what="following")
        leader.identity.update([later, CA] if kept else [later], later)
        if kept:
            await a_later_message(follower)
        else:
            await until(lambda: leader.publisher.followers == 0, what="the end of the stream")
        assert bool(leader.publisher.followers) is kept


@pytest.mark.parametrize(("leaders", "ours"), [(5, 0), (-5, 0), (0, 5), (0, -5)])
async def test_replicas_follow_each_other_though_a_clock_is_hours_ahead_or_behind(leaders, ours):
    def clock(hours):
        return lambda: NOW + 3600.0 * hours

    async with (
        leading(clock(leaders)) as leader,
        following(leader, shown=identity(clock(ours)).shown) as follower,
    ):
        await until(follower.follows, what="following")
