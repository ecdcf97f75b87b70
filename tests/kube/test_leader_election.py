"""One leader at a time, whatever the clocks, the API server and other writers of the Lease do."""

import asyncio
import logging
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.client import KubeClient
from metricsapi.kube.election import Timing
from metricsapi.kube.errors import Conflict, NotFound, ServerError, Unreachable
from metricsapi.kube.leader_election import LeaderElector
from tests.support.conditions import until

TIMING = Timing()
PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/metrics-server"


@dataclass
class Leases:
    """One Lease as an API server keeps it, on a clock that the test moves."""

    now: float = 1000.0
    lease: dict | None = None
    version: int = 0
    requests: list = field(default_factory=list)

    def answer(self, method, path, body):
        self.requests.append(method)
        if method == "GET":
            if self.lease is None:
                raise NotFound(404, "NotFound", "no such Lease")
            return msgspec.json.encode(self.lease)
        assert path == (PATH if method == "PUT" else PATH.rpartition("/")[0])
        if method == "PUT":
            if self.lease is None:
                raise NotFound(404, "NotFound", "no such Lease")
            if body["metadata"].get("resourceVersion") != str(self.version):
                raise Conflict(409, "Conflict", "the object has been modified")
        elif self.lease is not None:
            raise Conflict(409, "AlreadyExists", "already there")
        return self.store(body)

    def store(self, body):
        self.version += 1
        body = msgspec.json.decode(msgspec.json.encode(body))
        body.setdefault("metadata", {})["resourceVersion"] = str(self.version)
        self.lease = body
        return msgspec.json.encode(body)


class Client:
    """A connection to the Lease that can be cut, and whose requests may take long."""

    request_json = KubeClient.request_json

    def __init__(self, leases):
        self.leases = leases
        self.cut = False
        self.latency = 0.0

    async def request(self, method, path, *, body=None):
        if self.cut:
            raise Unreachable("no route to host")
        try:
            return self.leases.answer(method, path, body)
        finally:
            self.leases.now += self.latency


def candidate(leases, name, skew=0.0):
    """A replica whose monotonic clock is `skew` seconds ahead, and its connection."""
    client = Client(leases)
    elector = LeaderElector(
        client,
        namespace="kube-system",
        name="metrics-server",
        identity=name,
        timing=TIMING,
        clock=lambda: leases.now + skew,
        wall=lambda: 1.7e9 + leases.now - 3600 * skew,
    )
    elector.address = f"{name}:4443"
    return elector, client


async def test_the_first_candidate_creates_the_lease_leads_and_logs_that_once(caplog):
    caplog.set_level(logging.INFO)
    leases = Leases()
    a, _ = candidate(leases, "a")
    await a.attempt()
    await a.attempt()
    assert a.leads()
    assert leases.lease["spec"]["holderIdentity"] == "a"
    assert leases.lease["spec"]["leaseDurationSeconds"] == 15
    (change,) = [record.data for record in caplog.records if record.msg == "leader changed"]
    assert change == {"leader": "a", "leading": True}


async def test_another_candidate_follows_and_learns_the_address_while_the_leader_renews():
    leases = Leases()
    (a, _), (b, _) = candidate(leases, "a"), candidate(leases, "b", skew=7200.0)
    for _ in range(20):
        await a.attempt()
        await b.attempt()
        assert (a.leads(), b.leads()) == (True, False)
        assert (b.leader().holder, b.leader().address) == ("a", "a:4443")
        leases.now += TIMING.retry_period


async def test_a_leader_that_is_cut_off_stops_by_its_own_clock_before_another_takes_over():
    leases = Leases()
    (a, cut), (b, _) = candidate(leases, "a"), candidate(leases, "b")
    await a.attempt()
    await b.attempt()
    cut.cut = True
    stopped = taken = None
    while taken is None:
        leases.now += 0.5
        await a.attempt()
        await b.attempt()
        if stopped is None and not a.leads():
            stopped = leases.now
        if b.leads():
            taken = leases.now
    assert stopped - 1000.0 <= TIMING.renew_deadline
    assert taken - 1000.0 >= TIMING.lease_duration
    assert leases.lease["spec"]["leaseTransitions"] == 1


async def test_leading_is_counted_from_the_moment_at_which_a_write_was_sent():
    leases = Leases()
    a, slow = candidate(leases, "a")
    slow.latency = TIMING.renew_deadline / 2
    await a.attempt()
    leases.now = 1000.0 + slow.latency + TIMING.renew_deadline - 0.1
    assert a.leads()
    leases.now += 0.2
    assert not a.leads()


async def test_a_released_lease_is_taken_at_the_next_attempt():
    leases = Leases()
    (a, _), (b, _) = candidate(leases, "a"), candidate(leases, "b")
    await a.attempt()
    await b.attempt()
    await a.release()
    assert not a.leads()
    assert leases.lease["spec"]["holderIdentity"] == ""
    await b.attempt()
    assert b.leads()


async def test_a_lease_that_was_deleted_is_created_again():
    leases = Leases()
    a, _ = candidate(leases, "a")
    await a.attempt()
    leases.lease = None
    leases.now += TIMING.retry_period
    await a.attempt()
    leases.now += TIMING.retry_period
    await a.attempt()
    assert a.leads()
    assert leases.lease["spec"]["holderIdentity"] == "a"


@pytest.mark.parametrize("transitions", [2**31 - 1, -1, 2**63, True, "5", None])
async def test_transitions_that_no_lease_can_count_further_begin_anew(transitions):
    leases = Leases()
    leases.store({"metadata": {}, "spec": {"leaseTransitions": transitions}})
    a, _ = candidate(leases, "a")
    await a.attempt()
    assert a.leads()
    assert 0 <= leases.lease["spec"]["leaseTransitions"] <= 2


async def test_what_others_wrote_on_the_lease_stays():
    leases = Leases()
    leases.store({"metadata": {"labels": {"app": "x"}, "annotations": {"note": "y"}}, "spec": {}})
    a, _ = candidate(leases, "a")
    await a.attempt()
    assert leases.lease["metadata"]["labels"] == {"app": "x"}
    assert leases.lease["metadata"]["annotations"]["note"] == "y"


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.none(), max_size=1),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)  # fmt: skip
GARBAGE = st.one_of(
    VALUES,
    st.fixed_dictionaries({
        "metadata": st.one_of(VALUES, st.fixed_dictionaries({"annotations": VALUES})),
        "spec": st.one_of(VALUES, st.fixed_dictionaries({
            "holderIdentity": VALUES, "leaseTransitions": VALUES, "acquireTime": VALUES,
            "renewTime": VALUES, "leaseDurationSeconds": VALUES,
        })),
    }),
)  # fmt: skip


@given(GARBAGE)
async def test_garbage_in_the_lease_ends_nothing(garbage):
    leases = Leases()
    a, _ = candidate(leases, "a")
    leases.lease = garbage
    await a.attempt()
    # What an API server would not keep has no resource version, so writing may be refused.
    assert isinstance(a.leads(), bool)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b"\xff", b"[" * 100_000])
async def test_an_answer_that_is_no_lease_is_a_failed_attempt(body):
    leases = Leases()
    a, client = candidate(leases, "a")

    async def answer(*_, **__):
        return body

    client.request = answer
    await a.attempt()
    assert not a.leads()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["attempt", "cut", "heal", "release", "delete", "fail"]),
        st.integers(0, 2),
        st.floats(0.0, 6.0),
    ),
    max_size=60,
)


@given(STEPS, st.tuples(*[st.floats(-1e6, 1e6)] * 3))
async def test_two_never_lead_at_once(steps, skews):
    leases = Leases()
    replicas = [candidate(leases, name, skew) for name, skew in zip("abc", skews, strict=True)]
    for action, number, seconds in steps:
        elector, client = replicas[number]
        if action == "attempt":
            await elector.attempt()
        elif action in ("cut", "heal"):
            client.cut = action == "cut"
        elif action == "release":
            await elector.release()
        elif action == "fail":

            async def refuse(*_, **__):
                raise ServerError(500, "InternalError", "etcd")

            working, client.request = client.request, refuse
            await elector.attempt()
            client.request = working
        leases.now += seconds
        assert sum(other.leads() for other, _ in replicas) <= 1


async def test_a_lease_is_released_whose_renewal_was_written_without_our_knowledge():
    leases = Leases()
    a, _ = candidate(leases, "a")
    await a.attempt()
    leases.store(leases.lease)  # the response was lost, as when the renewal is cancelled
    await a.release()
    assert leases.lease["spec"]["holderIdentity"] == ""


async def test_a_lease_that_another_took_meanwhile_is_not_released():
    leases = Leases()
    a, _ = candidate(leases, "a")
    await a.attempt()
    leases.store({**leases.lease, "spec": {"holderIdentity": "b"}})
    await a.release()
    assert leases.lease["spec"]["holderIdentity"] == "b"


async def test_texts_of_a_lease_are_cut_before_they_are_logged():
    leases = Leases()
    annotations = {"metricsapi/replica-address": "x" * 10**6}
    leases.store(
        {"metadata": {"annotations": annotations}, "spec": {"holderIdentity": "y" * 10**6}}
    )
    a, _ = candidate(leases, "a")
    await a.attempt()
    assert len(a.leader().holder) == len(a.leader().address) == 512


async def test_a_leader_that_goes_during_an_attempt_causes_another_at_once():
    leases = Leases()
    stranger = {"holderIdentity": "stranger"}
    leases.store({"metadata": {}, "spec": stranger})
    a, client = candidate(leases, "a")
    request = client.request

    async def and_the_leader_goes(*arguments, **options):
        answer = await request(*arguments, **options)
        if len(leases.requests) == 1:
            leases.store({"metadata": {}, "spec": {"holderIdentity": ""}})
            a.hurry()
        return answer

    client.request = and_the_leader_goes
    running = asyncio.create_task(a.run())
    await until(a.leads, seconds=TIMING.retry_period / 2, what="a leads")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_leader_leads_on_while_another_client_rewrites_the_lease_each_second():
    leases = Leases()
    a, _ = candidate(leases, "a")
    await a.attempt()
    for second in range(120):
        leases.now += 1.0
        annotations = {**leases.lease["metadata"].get("annotations", {}), "note": str(second)}
        leases.store({**leases.lease, "metadata": {"annotations": annotations}})
        if second % 3 == 2:
            await a.attempt()
        assert a.leads()
    assert leases.lease["metadata"]["annotations"]["note"] == "119"


@pytest.mark.parametrize("part", ["labels", "annotations"])
async def test_what_another_client_writes_beside_the_record_renews_nothing(part):
    leases = Leases()
    (a, _), (b, _) = candidate(leases, "a"), candidate(leases, "b")
    await a.attempt()  # and never again
    await b.attempt()
    for second in range(int(TIMING.lease_duration) + 1):
        leases.now += 1.0
        leases.store(
            {**leases.lease, "metadata": {**leases.lease["metadata"], part: {"n": str(second)}}}
        )
        await b.attempt()
    assert b.leads()


@pytest.mark.parametrize(
    "spec",
    [
        {"renewTime": "9999-12-31T23:59:59.999999Z", "leaseDurationSeconds": 2**31},
        {"renewTime": None, "leaseDurationSeconds": 0, "acquireTime": None},
        {"leaseDurationSeconds": -1, "leaseTransitions": 2**31 - 1},
        {"leaseDurationSeconds": 10**9},
    ],
)
async def test_whatever_times_a_lease_names_it_is_taken_once_nobody_renews_it(spec):
    leases = Leases()
    leases.store({"metadata": {}, "spec": {"holderIdentity": "gone", **spec}})
    a, _ = candidate(leases, "a")
    await a.attempt()
    assert not a.leads()
    leases.now += TIMING.lease_duration
    await a.attempt()
    assert a.leads()
    assert leases.lease["spec"]["leaseDurationSeconds"] == TIMING.lease_duration


async def test_a_lease_that_names_us_as_its_holder_makes_nobody_lead_by_itself():
    leases = Leases()
    a, cut = candidate(leases, "a")
    leases.store({"metadata": {}, "spec": {"holderIdentity": "a", "acquireTime": "garbage"}})
    cut.cut = True
    await a.attempt()
    assert not a.leads()
    cut.cut = False
    await a.attempt()
    assert a.leads()
