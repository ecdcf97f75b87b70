"""Replicas that are replaced, one by one and by one whose clocks are hours apart."""

import pytest

from tests.ha import faults
from tests.ha.small import PERIOD, read_once, survive, three_replicas

pytestmark = pytest.mark.slow


async def test_replacements_fail_no_request_and_no_number_is_wrong(tmp_path):
    async with three_replicas(tmp_path) as cluster:
        await survive(cluster, "rolling update", faults.rolling_update)
        if faults.clocks_apart.needs():
            await survive(cluster, "clocks hours apart", faults.clocks_apart)
        await read_once(cluster)


async def test_a_leader_that_is_to_end_follows_the_next_one_while_it_still_serves(tmp_path):
    async with three_replicas(tmp_path, grace=30 * PERIOD) as cluster:
        cluster.leader.replica.leave()
        await read_once(cluster)
        assert not cluster.seen.failed
        assert cluster.seen.oldest < 4 * PERIOD
