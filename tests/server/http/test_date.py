"""The Date header: of the moment of the answer, though nothing wakes the server each second."""

import time
from email.utils import parsedate_to_datetime

from tests.server.serving import PATHS, configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect


async def test_a_response_has_its_own_second_also_after_a_pause():
    dates = []
    async with serving(configmap()) as running:
        for _ in range(2):
            before = int(time.time())
            async with connect(running.port) as connection:
                answer = await connection.request(PATHS[0])
            dates.append(parsedate_to_datetime(answer.header("date")).timestamp())
            assert before <= dates[-1] <= time.time()
            await until(lambda: int(time.time()) > dates[-1])
    assert dates[1] > dates[0]
