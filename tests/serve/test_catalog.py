"""The catalog remembers where the store keeps a pod, and is never wrong for it."""

from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.objects import Pod
from metricsapi.samples import ContainerSample, NodeSample, PodSample
from metricsapi.serve.catalog import Catalog
from metricsapi.store import MetricsStore
from tests.serve.cluster import Objects

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
        PodSample(
            "ns",
            name,
            uid,
            [ContainerSample("c", EPOCH + start, EPOCH + int(now), 10**9, 10**8, EPOCH, 4096)],
        )
        for name, uid, start in pods
    ]
    return NodeSample(node, now, now + 0.01, EPOCH, None, samples)


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
