"""The rows of the status page."""

from collections import Counter
from types import SimpleNamespace

from metricsapi.kube.resources import Node
from metricsapi.scrape.errors import Cause, Failure
from metricsapi.scrape.node_state import NodeState
from metricsapi.scrape.node_status import Rows, counted, untried
from metricsapi.scrape.targets import Target

NODE = Node("a", {}, {}, (), 10250, ready=True, cpu=4 * 10**9, memory=2**34)


def row(state, *, connected="", nodes=(NODE,), sizes=None):
    kubelets = SimpleNamespace(
        address=lambda _: connected, endpoint=lambda _: "resource", endpoint_reason=lambda _: ""
    )
    objects = SimpleNamespace(objects={node.name: node for node in nodes})
    info = sizes and SimpleNamespace(pods=sizes[0], containers=sizes[1])
    store = SimpleNamespace(node_usage=lambda *_: None, node_info=lambda _: info)
    (made,) = Rows(store, kubelets, objects).of([state], 100.0, 1000.0)
    return made


def state(hosts=("10.0.0.1", "10.0.0.2")):
    return NodeState(Target("a", hosts, 10250), 0.0, 0.0)


def test_what_the_node_may_give_and_how_it_is_read():
    made = row(state(), connected="10.0.0.2:10250", sizes=(3, 7))
    assert (made.cpu_allocatable, made.memory_allocatable) == (4 * 10**9, 2**34)
    assert (made.address, made.endpoint) == ("10.0.0.2:10250", "resource")
    assert (made.pods, made.containers, made.state) == (3, 7, "pending")


def test_without_a_connection_the_first_address_is_named():
    assert row(state()).address == "10.0.0.1:10250"
    assert row(state(("fd00::1",))).address == "[fd00::1]:10250"
    assert row(state(())).address == ""


def test_a_node_that_has_just_gone_has_no_amounts():
    failing = state()
    failing.failure, failing.changed_at = Failure(Cause.REFUSED, "refused"), 90.0
    made = row(failing, nodes=())
    assert (made.cpu_allocatable, made.state, made.cause) == (None, "failing", "refused")
    assert made.since == 1090.0


def test_nodes_are_counted_as_in_their_rows():
    tried, refused, reset = state(), state(), state()
    tried.changed_at = refused.changed_at = reset.changed_at = 90.0
    refused.failure, reset.failure = Failure(Cause.REFUSED, "no"), Failure(Cause.RESET, "no")
    states = [state(), tried, refused, refused, reset]
    rows = [row(each) for each in states]
    assert counted(states) == Counter((each.state, each.cause) for each in rows)
    assert sum(counted(states).values()) == 5


def test_a_node_counts_as_untried_until_its_first_scrape_ended_or_took_too_long():
    queued, young, hanging, tried = state(), state(), state(), state()
    young.first_start, hanging.first_start, tried.first_start = 98.5, 97.5, 99.5
    tried.changed_at = 99.6
    states = [queued, young, hanging, tried]
    assert untried(states, 100.0 - 2.0) == 2
    assert untried([hanging, tried], 98.0) == 0
