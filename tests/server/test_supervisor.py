"""Tasks that fail in unforeseen ways are started again, and their failures are shown."""

import asyncio
import builtins
import contextlib
import logging
import math
import re
import ssl
import traceback
from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.supervisor import Supervisor
from metricsapi.server.task import Task
from tests.support.conditions import until
from tests.support.simulated_time import run_simulated


class Panic(BaseException):
    """What a library in Rust raises when it panics: no Exception."""


OTHER = (KeyboardInterrupt, GeneratorExit, BaseExceptionGroup, UnicodeError)  # or need arguments
ERRORS = [
    *{
        kind("boom")
        for kind in vars(builtins).values()
        if isinstance(kind, type)
        and issubclass(kind, BaseException)
        and not issubclass(kind, OTHER)
    },
    UnicodeDecodeError("ascii", b"\xe4", 0, 1, "boom"),
    Panic("boom"),
    ssl.SSLError(1, "bad record mac"),
    httpx.DecodingError("bad gzip"),
    asyncio.CancelledError(),
]
# In order, so that workers of pytest-xdist agree.
ERRORS.sort(key=lambda error: type(error).__name__)


class Failing:
    """A task that raises each of `errors` once, and then runs on and makes progress."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.runs = 0

    async def run(self, progress):
        self.runs += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        while True:
            progress()
            await asyncio.sleep(0.005)


async def supervised(*tasks, **options):
    supervisor = Supervisor(**{"first_backoff": 0.001, **options})
    supervisor.add(*tasks)
    return supervisor, asyncio.create_task(supervisor.run())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_a_task_raises_it_is_started_again_and_others_run_on(error):
    restarts = Counter()
    first, other = Failing(error, error), Failing()
    supervisor, running = await supervised(
        Task("one", first.run),
        Task("other", other.run),
        restarted=lambda name: restarts.update([name]),
    )
    await until(lambda: first.runs >= 3)
    assert other.runs == 1
    assert not running.done()
    assert restarts == {"one": 2}
    broken, well = supervisor.health()
    assert (broken.name, broken.restarts) == ("one", 2)
    assert type(error).__name__ in broken.problem
    assert well.problem is None
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_task_that_ends_is_started_again():
    runs = 0

    async def ends(_):
        nonlocal runs
        runs += 1

    supervisor, running = await supervised(Task("ends", ends))
    await until(lambda: runs >= 3)
    assert "the task ended" in supervisor.problems()[0]
    running.cancel()


async def test_the_text_of_a_group_of_errors_is_that_of_its_first_one():
    async def group(progress):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Failing(OSError("the cause")).run(progress))

    supervisor, running = await supervised(Task("group", group))
    await until(supervisor.problems)
    assert "OSError: the cause" in supervisor.problems()[0]
    running.cancel()


async def test_cancelling_ends_every_task_at_once():
    ended = []

    async def run(_):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    _, running = await supervised(Task("a", run), Task("b", run))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == [1, 1]


async def test_a_failure_is_logged_once_with_its_traceback_however_often_it_happens(caplog):
    task = Failing(*[ValueError("the same")] * 5, ValueError("another"))
    _, running = await supervised(Task("one", task.run))
    await until(lambda: task.runs == 7)
    running.cancel()
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [str(record.exc_info[1]) for record in errors] == ["the same", "another"]
    assert all(record.data == {"task": "one"} for record in errors)


async def test_a_task_works_again_once_it_has_run_for_long_enough(caplog):
    caplog.set_level("INFO", logger="metricsapi")
    now = [1000.0]
    task = Failing(ValueError("boom"))
    supervisor, running = await supervised(
        Task("one", task.run), clock=lambda: now[0], healthy_after=0.05
    )
    await until(supervisor.problems)
    now[0] += 312
    (health,) = supervisor.health()
    assert health.failing_seconds == 312
    assert "task one has not worked for 312 s" in health.problem
    await until(lambda: not supervisor.problems())
    (health,) = supervisor.health()
    assert (health.failing_seconds, health.error, health.restarts) == (0.0, "", 1)
    running.cancel()
    assert caplog.records[-1].getMessage() == "a task that had failed works again"


async def test_a_task_that_runs_without_working_says_so_itself():
    failing = [None]
    task = Failing()
    supervisor, running = await supervised(
        Task("watch", task.run, lambda: failing[0]), clock=lambda: 100.0
    )
    assert supervisor.problems() == []
    failing[0] = (60.0, "403 Forbidden")
    assert supervisor.problems() == ["task watch has not worked for 40 s: 403 Forbidden"]
    running.cancel()


async def raises():
    raise ValueError("plain")


async def panics():
    raise Panic("rust")


async def fails_in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(raises())
        await asyncio.sleep(1)


async def times_out():
    async with asyncio.timeout(0.001):
        await asyncio.sleep(1)


async def awaits_what_is_cancelled():
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


async def ends_with_a_cancellation_pending():
    asyncio.current_task().cancel()


async def takes_no_notice_of_a_cancellation_and_fails_in_a_group():
    with contextlib.suppress(asyncio.CancelledError):
        await cancels_itself()
    await fails_in_a_group()


async def ends():
    await asyncio.sleep(0)


FAILURES = [
    raises,
    panics,
    fails_in_a_group,
    times_out,
    awaits_what_is_cancelled,
    cancels_itself,
    ends_with_a_cancellation_pending,
    takes_no_notice_of_a_cancellation_and_fails_in_a_group,
    ends,
]


@given(st.lists(st.sampled_from(FAILURES), max_size=6))
def test_any_sequence_of_failures_is_counted_and_survived_and_then_it_can_be_ended(failures):
    async def check():
        steps, running_well = list(failures), asyncio.Event()

        async def run(_):
            if steps:
                await steps.pop(0)()
            else:
                running_well.set()
                await asyncio.Event().wait()

        supervisor, running = await supervised(Task("one", run))
        await asyncio.wait_for(running_well.wait(), 10)
        assert supervisor.health()[0].restarts == len(failures)
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(running), 5)

    asyncio.run(check())


async def test_whatever_a_task_makes_of_being_cancelled_the_supervisor_ends():
    """One that takes no notice had been started again, and the process did not end."""

    async def ignores(_):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def fails(_):
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it cleaned up")

    supervisor, running = await supervised(Task("ignores", ignores), Task("fails", fails))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(running), 5)
    assert supervisor.problems() == []


async def test_health_is_given_whatever_a_task_says_of_itself():
    def breaks():
        raise KeyError("x")

    supervisor, running = await supervised(
        Task("breaks", Failing().run, breaks),
        Task("writes", Failing().run, lambda: (0.0, "one\nwarn: forged\x1b[31m")),
        clock=lambda: 10.0,
    )
    broken, forged = supervisor.problems()
    assert "KeyError" in broken
    assert forged.endswith(": one warn: forged\\x1b[31m")
    running.cancel()


async def test_a_counter_that_fails_ends_nothing():
    def restarted(_):
        raise RuntimeError("counter")

    task = Failing(*[ValueError("x")] * 3)
    supervisor, running = await supervised(Task("one", task.run), restarted=restarted)
    await until(lambda: "RuntimeError: counter" in str(supervisor.problems()))
    assert not running.done()
    running.cancel()


def simulated(*tasks, seconds, **options):
    """Supervise tasks for some simulated time; return the supervisor and the restarts."""
    restarts = []

    async def check():
        loop = asyncio.get_running_loop()
        supervisor = Supervisor(
            lambda name: restarts.append((name, loop.time() - began)), clock=loop.time, **options
        )
        supervisor.add(*tasks)
        began = loop.time()
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(seconds)
        health = supervisor.health()
        running.cancel()
        await asyncio.wait([running])
        return health

    return run_simulated(check()), restarts


class Hanging:
    """A loop that comes round once a `period`, and hangs after each of these rounds."""

    def __init__(self, *rounds, period=10.0):
        self.rounds = list(rounds)
        self.period = period

    async def run(self, progress):
        rounds = self.rounds.pop(0) if self.rounds else math.inf
        while rounds > 0:
            rounds -= 1
            progress()
            await asyncio.sleep(self.period)
        await asyncio.Event().wait()


def test_a_task_that_hangs_is_named_and_started_again(caplog):
    health, restarts = simulated(Task("watch", Hanging(6).run), seconds=340.0)
    assert health[0].problem is None
    assert restarts == []
    health, restarts = simulated(Task("watch", Hanging(6).run), seconds=380.0)
    assert [name for name, _ in restarts] == ["watch"]
    assert re.fullmatch(
        r"task watch has not worked for 3\d\d s, restarted 1 times: it hangs: it makes no progress",
        health[0].problem,
    )
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage().startswith("a task hangs and will be started again")
    where = "".join(traceback.format_exception(record.exc_info[1]))
    assert "await asyncio.Event().wait()" in where


def test_a_task_that_hung_works_again_once_it_has_made_progress_for_long_enough():
    health, restarts = simulated(Task("watch", Hanging(6).run), seconds=450.0)
    assert len(restarts) == 1
    assert health[0].problem is None


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_a_task_that_hangs_again_and_again_is_named_all_the_time(rounds):
    seconds = 3000.0
    health, restarts = simulated(Task("watch", Hanging(*[rounds] * 99).run), seconds=seconds)
    assert len(restarts) > 5
    assert health[0].failing_seconds > seconds - 50


def test_a_task_that_hangs_in_spite_of_being_cancelled_is_named():
    async def ignores(_):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1e4)
        await asyncio.sleep(1e4)

    health, restarts = simulated(Task("stubborn", ignores), seconds=1000.0)
    assert restarts == []
    assert health[0].problem == (
        "task stubborn has not worked for 1000 s: it hangs: it makes no progress"
    )


def test_a_task_may_be_silent_for_as_long_as_it_says():
    task = Task("slow", Hanging(period=900.0).run, longest_silence=1000.0)
    health, restarts = simulated(task, seconds=5000.0)
    assert (health[0].problem, restarts) == (None, [])


def test_tasks_of_a_process_that_stood_still_do_not_hang():
    """As after SIGSTOP, or in a machine that was suspended: all timers are due at once."""
    restarts, loop_time = [], []

    async def check():
        loop = asyncio.get_running_loop()
        stood_still = 0.0
        supervisor = Supervisor(restarts.append, clock=lambda: loop.time() + stood_still)
        supervisor.add(Task("watch", Hanging().run))
        running = asyncio.create_task(supervisor.run())
        await asyncio.sleep(299.0)
        stood_still = 1000.0
        await asyncio.sleep(100.0)
        loop_time.append(loop.time())
        running.cancel()
        await asyncio.wait([running])

    run_simulated(check())
    assert loop_time
    assert restarts == []
