"""The catalog remembers where the store keeps a pod, and is never wrong for it."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from metricsapi.api import listing
from metricsapi.api.batches import BATCH
from metricsapi.api.catalog import Catalog
from metricsapi.kube.resources import Pod
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.storage.store import MetricsStore
from metricsapi.storage.types import ContainerUsage, PodUsage
from tests.api.cluster import Cluster, Objects, ask
from tests.support.samples import container_stats, node_sample

EPOCH = 1.8e9
NAMES = ("a", "b", "c")
listed = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(("u", "v")), st.integers(0, 40)), max_size=4
)
answers = st.tuples(st.just("answer"), st.sampled_from(("node-1", "node-2")), listed)
steps = st.one_of(
    answers,
    st.tuples(st.just("forget"), st.sampled_from(("node-1", "node-2")), st.none()),
    st.tuples(st.just("wait"), st.none(), st.integers(1, 50)),
)


def answer(node, now, pods):
    samples = [
        (
            "ns",
            name,
            uid,
            [container_stats("c", EPOCH + start, EPOCH + int(now), 10**9, 10**8, EPOCH, 4096)],
        )
        for name, uid, start in pods
    ]
    return node_sample(node, now, now + 0.01, samples)


@given(st.lists(steps, max_size=25))
def test_what_the_catalog_gives_is_what_the_store_gives_by_name(run):
    store, pods = MetricsStore(max_age=60.0), Objects()
    catalog = Catalog(Objects(), pods, store)
    for name in NAMES:
        pods.set(Pod("ns", name, {}))
    entries = [catalog.pods.get("ns", name) for name in NAMES]
    now = 100.0
    for what, node, more in run:
        if what == "answer":
            now += 1
            store.put(answer(node, now, more))
        elif what == "forget":
            store.forget(node)
        else:
            now += more
        by_name = [store.pod_usage("ns", name, now) for name in NAMES]
        assert catalog.pod_usages(entries, now) == by_name


def three_batches():
    """A cluster with as many pods, each with usage."""
    cluster = Cluster()
    for number in range(3 * BATCH):
        name = f"p{number:04}"
        usage = PodUsage("d", name, "n", EPOCH, 15.0, (ContainerUsage("a", 1, 1),))
        cluster.add(Pod("d", name, {}), usage)
    return cluster


async def test_a_pod_that_changes_while_a_list_is_made_is_listed(monkeypatch):
    monkeypatch.setattr(listing, "SLICE", -1.0)  # other tasks run after every batch
    cluster = three_batches()

    async def relabel():
        for number in range(5):
            await asyncio.sleep(0)
            cluster.pods.set(Pod("d", "p0700", {"role": str(number)}))

    relabelling = asyncio.create_task(relabel())
    answer = await ask(cluster.app, "/apis/metrics.k8s.io/v1beta1/pods", "GET", {})
    await relabelling
    assert answer.status == 200
    assert len(json.loads(answer.body)["items"]) == 3 * BATCH


def test_a_page_that_ends_with_a_batch_counts_the_rest_without_looking_at_all_of_it():
    cluster, looked = three_batches(), []
    pod = cluster.usages.pod
    cluster.usages.pod = lambda namespace, name: looked.append(name) or pod(namespace, name)
    answer = cluster.get(f"/apis/metrics.k8s.io/v1beta1/pods?limit={BATCH}")
    page = json.loads(answer.body)
    assert len(page["items"]) == BATCH
    assert page["metadata"]["remainingItemCount"] == 2 * BATCH
    assert len(looked) == 2 * BATCH  # one entry more than the page would have been enough
    token = page["metadata"]["continue"]
    rest = json.loads(cluster.get(f"/apis/metrics.k8s.io/v1beta1/pods?continue={token}").body)
    assert [item["metadata"]["name"] for item in (rest["items"][0], rest["items"][-1])] == [
        f"p{BATCH:04}",
        f"p{3 * BATCH - 1:04}",
    ]


def test_a_table_of_nothing_has_the_columns_of_usage():
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    answer = Cluster().get("/apis/metrics.k8s.io/v1beta1/pods", Accept=table)
    columns = [each["name"] for each in json.loads(answer.body)["columnDefinitions"]]
    assert columns == ["Name", "cpu", "memory", "Window"]
    assert json.loads(answer.body)["rows"] == []


async def test_what_waits_to_be_put_is_put_in_steps_before_a_list():
    store, pods = MetricsStore(max_age=60.0), Objects()
    catalog = Catalog(Objects(), pods, store)
    for name in NAMES:
        pods.set(Pod("ns", name, {}))
    entries = [catalog.pods.get("ns", name) for name in NAMES]
    for number, name in enumerate(NAMES):
        store.put(answer(f"node-{number}", 100.0, [(name, "u", 0)]))
    assert not list(catalog.prepare_pods(entries))
    store.late = True
    assert len(list(catalog.prepare_pods(entries))) == len(NAMES)
    assert not list(catalog.prepare_pods(entries))


def test_a_selector_of_a_thousand_equalities_makes_few_indexes_and_drops_none():
    """Each had read the labels of every pod, and all of them had displaced those in use."""
    pods = Objects()
    catalog = Catalog(Objects(), pods, MetricsStore(max_age=60.0))
    for name in NAMES:
        pods.set(Pod("ns", name, {"app": name, **{f"k{i}": "v" for i in range(1000)}}))
    catalog.pods.select("ns", parse_labels("app=a"), now=1.0)
    namespace = catalog.pods.namespaces["ns"]
    for text in (
        ",".join(f"k{i}=v" for i in range(1000)),
        ",".join(f"z{i}=v" for i in range(1000)),
    ):
        selection = catalog.pods.select("ns", parse_labels(text), now=2.0)
        kept = [entry for batch in selection.batches for entry in batch if selection.keeps(entry)]
        assert len(kept) == (3 if text.startswith("k") else 0)
    assert "app" in namespace.indexes
    assert len(namespace.indexes) < 10


def test_a_requirement_of_many_values_selects_those_that_there_are():
    pods = Objects()
    catalog = Catalog(Objects(), pods, MetricsStore(max_age=60.0))
    for name in NAMES:
        pods.set(Pod("ns", name, {"app": name}))
    values = ",".join(["b", "a", *(f"v{i}" for i in range(1000))])
    selection = catalog.pods.select(None, parse_labels(f"app in ({values})"), now=1.0)
    assert [entry.object.name for batch in selection.batches for entry in batch] == ["a", "b"]
