"""Replicas that are replaced, one by one and by one whose clocks are hours apart."""

from tests.ha import faults
from tests.ha.small import read_once, survive, three_replicas


async def test_replacements_fail_no_request_and_no_number_is_wrong(tmp_path):
    async with three_replicas(tmp_path) as cluster:
        await survive(cluster, "rolling update", faults.rolling_update)
        if faults.clocks_apart.needs():
            await survive(cluster, "clocks hours apart", faults.clocks_apart)
        await read_once(cluster)
