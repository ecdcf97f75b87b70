"""Questions to the API server: asked once for all who wait, and not at all once nobody does."""

import asyncio
import time

import pytest

from metricsapi.server.auth.review_cache import Answers


class Server:
    """An API server that answers when it is let; `asked` and `ended` are questions."""

    def __init__(self):
        self.asked, self.ended, self.answer = [], [], asyncio.Event()

    async def ask(self, question):
        self.asked.append(question)
        try:
            await self.answer.wait()
        finally:
            self.ended.append(question)
        return question


def answers(server):
    return Answers(server.ask, bool, yes_ttl=10.0, no_ttl=10.0, clock=time.monotonic)


async def wait(made, question, seconds):
    async with asyncio.timeout(seconds):
        return await made.get(question)


async def test_callers_who_go_away_leave_no_questions_behind():
    server = Server()
    made = answers(server)
    gone = await asyncio.gather(
        *(wait(made, number, 0.05) for number in range(200)), return_exceptions=True
    )
    assert all(isinstance(one, TimeoutError) for one in gone)
    await asyncio.sleep(0)
    assert made._asked == {}
    assert server.ended == server.asked  # 64 of them; the others were never asked
    server.answer.set()
    assert await wait(made, 7, 1.0) == 7  # one that was dropped can be asked again


async def test_one_caller_who_goes_away_does_not_take_the_answer_from_the_others():
    server = Server()
    made = answers(server)
    stays = asyncio.create_task(wait(made, "pods", 5.0))
    with pytest.raises(TimeoutError):
        await wait(made, "pods", 0.01)
    server.answer.set()
    assert await stays == "pods"
    assert server.asked == ["pods"]
