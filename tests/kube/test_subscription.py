"""A callback that raises ends no watch, costs no other callback anything, and misses no change."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.backoff import Backoff
from metricsapi.kube.subscription import Subscription
from tests.support.conditions import until


class Panic(BaseException):
    """What a library in Rust raises when it panics."""


class Model:
    """Objects, and a callback that follows them when it is not made to fail."""

    def __init__(self):
        self.objects, self.copy, self.fails = {}, {}, iter(())
        backoff = Backoff(first=0.001, longest=0.001)
        self.subscription = Subscription("things", self.callback, self.objects, backoff)

    def callback(self, old, new):
        if error := next(self.fails, None):
            raise error
        key = (old or new)[0]
        assert self.copy.get(key) == old, "old is what was taken last"
        if new is None:
            del self.copy[key]
        else:
            self.copy[key] = new

    def set(self, key, value):
        old, new = self.objects.get(key), value and (key, value)
        if new is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = new
        if old != new:
            self.subscription.deliver(key, old, new)


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, 1, 2])), max_size=20)
FAILURES = st.lists(
    st.sampled_from([None, ValueError("x"), Panic("y"), asyncio.CancelledError()]), max_size=20
)


@given(CHANGES, FAILURES)
def test_whatever_fails_the_callback_ends_up_with_the_objects(changes, failures):
    async def check():
        model = Model()
        model.fails = iter(failures)
        for key, value in changes:
            model.set(key, value)
        for _ in range(200):
            if model.copy == model.objects and not model.subscription.error:
                return
            await asyncio.sleep(0.001)
        raise AssertionError((model.copy, model.objects))

    asyncio.run(check())


async def test_a_failure_is_logged_once_and_reported_until_the_change_was_applied(caplog):
    model = Model()
    model.fails = iter([ValueError("boom")] * 3)
    model.set("a", 1)
    assert model.subscription.failing_since is not None
    assert "a change of things could not be applied: ValueError: boom" in model.subscription.error
    await until(lambda: model.copy)
    assert model.subscription.failing_since is None
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_many_changes_that_fail_are_logged_once_and_all_applied_in_the_end(caplog):
    """An error whose text names its object had a line for each of them."""
    model = Model()
    model.fails = iter([KeyError(f"pod-{number}") for number in range(1500)])
    for number in range(1500):
        model.set(str(number), 1)
    await until(lambda: len(model.copy) == 1500)
    assert model.subscription.failing_since is None
    assert len([record for record in caplog.records if record.exc_info]) == 1
