"""The operator's routes together: readiness as the parts are, and what is counted of reads."""

import asyncio
import gc
import time
from functools import partial
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.config.settings import Settings
from metricsapi.kube.slices import SLICE, gather
from metricsapi.scrape.errors import Cause
from metricsapi.server.operator import operations
from metricsapi.server.operator.operations import Operations
from metricsapi.server.operator.summary import log_summaries
from metricsapi.server.supervisor import Supervisor
from metricsapi.server.task import TaskHealth
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.node_status import NodeStatus
from metricsapi.telemetry.replicas import ReplicaStatus
from metricsapi.telemetry.snapshot import Snapshot
from tests.server.operator.rows import counted, failing, good
from tests.server.operator.serving import serving
from tests.support.conditions import until


class Cluster:
    """Parts whose state a test sets."""

    def __init__(self):
        self.nodes = []
        self.tasks = []
        self.stuck = None
        self.scrape_age = None
        self.stored_containers = 0
        self.oldest = None
        self.leaving = asyncio.Event()
        self.replica = None
        self.parts = SimpleNamespace(
            nodes=SimpleNamespace(synced=asyncio.Event()),
            pods=SimpleNamespace(synced=asyncio.Event()),
            leaving=self.leaving,
            tasks=lambda: self.tasks,
            watch_problem=lambda: self.stuck,
            rows=lambda: self.nodes,
            states=lambda: counted(self.nodes),
            untried=lambda _: sum(row.state == "pending" for row in self.nodes),
            last_scrape_age=lambda: self.scrape_age,
            readings=tuple,
            containers=lambda: self.stored_containers,
            oldest_usage_age=lambda: self.oldest,
            replica=lambda: self.replica,
            snapshot=self.snapshot,
        )
        settings = Settings(kubelet=KubeletSettings(resolution=1.0))
        telemetry = Telemetry(CollectorRegistry(), resolution=1.0, version="1")
        self.operations = Operations(settings, telemetry, self.parts, cluster="dev")
        self.http = serving(self.operations.routes)

    async def snapshot(self):
        return Snapshot(nodes=await gather(self.parts.rows()), replica=self.replica)

    def synced(self, *rows):
        self.nodes = list(rows)
        self.parts.nodes.synced.set()
        self.parts.pods.synced.set()
        return self

    async def status(self, path="/readyz"):
        return (await self.http.get(path)).status_code


async def run(cluster):
    supervisor = Supervisor()
    supervisor.add(*cluster.operations.tasks())
    await supervisor.run()


async def test_a_task_that_fails_is_shown_by_health_status_and_metrics():
    cluster = Cluster().synced(good("a"))
    cluster.tasks = [
        TaskHealth("nodes-informer", 7, 312.4, "ValueError: boom"),
        TaskHealth("scraper", 0, 0.0, ""),
    ]
    problem = "task nodes-informer has not worked for 312 s, restarted 7 times: ValueError: boom"
    got = await cluster.http.get("/readyz?verbose")
    assert got.status_code == 200, "what is stored is served on"
    assert f"\nwarn: {problem}\n" in got.text
    assert await cluster.status("/livez") == 200, "a restart would only lose what is stored"
    assert f"\nFailing: {problem}\n" in (await cluster.http.get("/statusz")).text
    tasks = (await cluster.http.get("/statusz?format=json")).json()["tasks"]
    assert tasks[0] == {
        "name": "nodes-informer",
        "restarts": 7,
        "failingSeconds": 312.4,
        "error": "ValueError: boom",
    }
    assert problem in (await cluster.http.get("/statusz?format=html")).text


@pytest.mark.parametrize(
    ("leading", "following", "role", "line", "gauge"),
    [
        (True, False, "leader", "pod-a_1 leads, 1 follow", 1),
        (False, True, "follower", "pod-a_1 follows pod-b_2, 0.5 s behind", 0),
        (False, False, "alone", "pod-a_1 scrapes for itself: no route to host", 1),
    ],
)
async def test_status_and_metrics_show_who_leads_and_who_follows(
    leading, following, role, line, gauge
):
    cluster = Cluster().synced(good("a"))
    cluster.replica = ReplicaStatus(
        identity="pod-a_1",
        leading=leading,
        leader="pod-a_1" if leading else "pod-b_2",
        following=following,
        since=1.8e9 if following else None,
        lag=0.5 if following else None,
        followers=int(leading),
        problem="" if leading or following else "no route to host",
    )
    assert f"\nReplica: {line}\n" in (await cluster.http.get("/statusz")).text
    replica = (await cluster.http.get("/statusz?format=json")).json()["replica"]
    assert (replica["role"], replica["leader"]) == (role, cluster.replica.leader)
    metrics = (await cluster.http.get("/metrics")).text
    assert f"\nmetricsapi_leader {gauge:.1f}\n" in metrics
    assert f"\nmetricsapi_replica_followers {int(leading):.1f}\n" in metrics
    assert ("\nmetricsapi_replica_lag_seconds 0.5\n" in metrics) == following


async def test_liveness_fails_when_a_watch_is_stuck():
    cluster = Cluster().synced(good("a"))
    cluster.stuck = "the watch of pods has made no progress for 700 s"
    assert await cluster.status("/livez/metadata-informer-sync") == 500
    assert await cluster.status("/readyz") == 200


async def test_not_ready_before_the_lists_arrived_and_every_node_was_tried():
    cluster = Cluster()
    assert await cluster.status() == 500
    cluster.synced(good("a"), NodeStatus(name="b", state="pending"))
    assert await cluster.status() == 500
    cluster.nodes[1] = failing("b", "refused", "x")
    assert await cluster.status() == 200
    cluster.nodes.append(NodeStatus(name="joins-later", state="pending"))
    assert await cluster.status() == 200


async def test_an_empty_cluster_becomes_ready_and_says_so():
    cluster = Cluster().synced()
    assert "warn: there are no nodes to read\n" in (await cluster.http.get("/readyz?verbose")).text


async def test_a_cluster_whose_kubelets_all_refuse_becomes_ready_and_says_so():
    cluster = Cluster().synced(failing("a", "refused", "x"), failing("b", "refused", "x"))
    got = (await cluster.http.get("/readyz?verbose")).text
    assert "warn: none of 2 nodes could be read; /statusz says why\n" in got
    metrics = (await cluster.http.get("/metrics")).text
    assert 'metricsapi_nodes{cause="refused",state="failing"} 2.0' in metrics


async def test_leaving_fails_readiness_alone():
    cluster = Cluster().synced(good("a"))
    cluster.leaving.set()
    assert await cluster.status("/readyz") == 500
    assert await cluster.status("/readyz?exclude=shutdown") == 200
    assert await cluster.status("/livez") == 200


async def test_liveness_fails_when_no_read_is_begun_any_more():
    cluster = Cluster().synced(good("a"))
    assert await cluster.status("/livez") == 200
    cluster.scrape_age = 1000.0
    assert await cluster.status("/livez/metric-collection-timely") == 500


async def test_readiness_is_logged_when_it_changes(caplog):
    caplog.set_level("INFO", logger="metricsapi")
    cluster = Cluster()
    task = asyncio.create_task(run(cluster))
    await asyncio.sleep(0)
    cluster.synced(failing("a", "refused", "x"))
    await until(lambda: caplog.records)
    cluster.leaving.set()
    await until(lambda: len(caplog.records) == 2)
    task.cancel()
    ready, not_ready = caplog.records
    assert (ready.msg, not_ready.msg) == ("ready", "not ready")
    assert ready.data == {"remarks": ["none of 1 nodes could be read; /statusz says why"]}
    assert not_ready.data == {"why": {"shutdown": "shutting down"}}


async def test_the_summary_of_a_minute_has_amounts_and_the_oldest_usage(caplog, monkeypatch):
    monkeypatch.setattr(operations, "log_summaries", partial(log_summaries, interval=0.01))
    caplog.set_level("INFO", logger="metricsapi")
    cluster = Cluster().synced(good("a"), good("b"))
    cluster.stored_containers, cluster.oldest = 120, 7.25
    task = asyncio.create_task(run(cluster))
    await until(lambda: any(record.msg == "summary" for record in caplog.records))
    task.cancel()
    line = next(record for record in caplog.records if record.msg == "summary").data
    assert (line["nodes"], line["ok"], line["containers"]) == (2, 2, 120)
    assert line["oldest_usage_seconds"] == 7.2


@pytest.mark.parametrize("ready", [True, False])
async def test_the_garbage_collector_is_spared_what_a_start_has_made(ready):
    gc.unfreeze()
    cluster = Cluster().synced(good("a"))
    if not ready:
        cluster.parts.pods.synced.clear()
    task = asyncio.create_task(run(cluster))
    await until(lambda: gc.get_freeze_count() > 0)
    task.cancel()
    gc.unfreeze()


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_a_remedy(cause):
    from metricsapi.telemetry.troubleshooting import REMEDIES

    assert str(cause) in REMEDIES


@pytest.mark.parametrize(
    "path", ["/metrics", "/statusz", "/statusz?format=json", "/statusz?format=html"]
)
async def test_long_bodies_are_made_in_rounds_with_other_requests(path):
    """Whatever the body, the event loop runs other tasks between two slices of its rows."""
    cluster, rounds, seen = Cluster(), 0, []

    async def other():
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    def rows():
        for number in range(40):
            seen.append(rounds)
            if number % 10 == 9:
                time.sleep(2 * SLICE)  # work that takes longer than a slice
            yield good(f"n{number}")

    cluster.parts.rows = rows
    task = asyncio.create_task(other())
    got = await cluster.http.get(path)
    task.cancel()
    assert got.status_code == 200
    assert max(seen) - min(seen) >= 3


@pytest.mark.parametrize("jump", [-72_000.0, 3e8])
async def test_up_time_is_right_after_the_clock_was_set(monkeypatch, jump):
    cluster = Cluster().synced(good("a"))
    monkeypatch.setattr("time.time", lambda now=time.time: now() + jump)
    assert (await cluster.http.get("/statusz?format=json")).json()["upSeconds"] <= 60
