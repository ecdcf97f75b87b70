"""Replicas that cannot reach each other or the API server: duplicate reads, and never a gap."""

import pytest

from tests.ha import faults
from tests.ha.small import read_once, survive, three_replicas

pytestmark = pytest.mark.slow

FAULTS = {
    "cut off from followers": faults.cut_off_from_followers,
    "cut off from the API server": faults.cut_off_from_the_api_server,
    "cut off from both": faults.cut_off_from_both,
    "API server away": faults.api_server_away(4.0),
    "certificate rotated": faults.certificate_rotated,
}


async def test_partitions_cost_no_usage_and_no_number_is_wrong(tmp_path):
    async with three_replicas(tmp_path) as cluster:
        for name, fault in FAULTS.items():
            await survive(cluster, name, fault)
        await read_once(cluster)
        assert cluster.seen.responses > 0
