"""Nodes as the scraper pool would report them, for the pages' tests."""

from collections import Counter

from metricsapi.server.operator.status import About, Status, in_order
from metricsapi.telemetry.node_status import NodeStatus

NOW = 1_795_424_700.0


def good(name, number=1, **more):
    return NodeStatus(
        name=name,
        state="ok",
        address=f"10.0.{number // 250}.{number % 250}:10250",
        endpoint="summary",
        **{
            "last_attempt": NOW - number % 15,
            "last_good": NOW - number % 15,
            "duration": 0.02 + number % 7 / 100,
            "sample_age": 1.5 + number % 15,
            "containers": 60,
            "pods": 30,
            "cpu": 10**8 * (1 + number % 37),
            "memory": 2**30 + 2**26 * (number % 97),
            **more,
        },
    )


def failing(name, cause, message, **more):
    values = {"last_attempt": NOW - 3, "last_good": NOW - 95, "duration": 10.0, **more}
    return NodeStatus(name=name, state="failing", cause=cause, message=message, **values)


def counted(nodes):
    return Counter((node.state, node.cause) for node in nodes)


def status(nodes, *, unready=None, remarks=(), tasks=(), cluster="kind-dev"):
    """What `/statusz` shows at `NOW` of these nodes."""
    about = About(
        version="0.1.0",
        cluster=cluster,
        started=NOW - 4000,
        resolution=15.0,
        paths=("/healthz", "/livez", "/metrics", "/readyz", "/statusz"),
    )
    return Status(
        about=about,
        now=NOW,
        nodes=in_order(nodes),
        unready=unready or {},
        remarks=remarks,
        tasks=tasks,
    )


def mixed(count):
    """A cluster of `count` nodes of which four do not answer and one is empty."""
    nodes = [good(f"node-{number}", number) for number in range(count - 5)]
    nodes += [
        good("empty", 3, containers=0, pods=0),
        failing("worker-a", "refused", "10.0.9.1:10250 refused the connection"),
        failing("worker-b", "refused", "10.0.9.2:10250 refused the connection"),
        failing(
            "worker-c",
            "certificate_self_signed",
            "the certificate of 10.0.9.3:10250 is self-signed by the kubelet",
        ),
        NodeStatus(name="new", state="pending"),
    ]
    return nodes
