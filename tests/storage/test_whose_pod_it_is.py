"""Any kubelet can list any pod: which of them is believed."""

from __future__ import annotations

from collections import Counter

import pytest

from metricsapi.storage.cluster import UnknownCluster
from metricsapi.storage.refused import MOST
from metricsapi.storage.store import MetricsStore
from tests.support.samples import container_stats, node_sample

EPOCH = 1.8e9
CORE = 10**9


class Cluster(UnknownCluster):
    """`pods` has the uids of each pod by name; `asked` the names of those that were looked up."""

    def __init__(self):
        self.pods = {"pod": ["u"]}
        self.asked = []

    def uids(self, _namespace, name):
        return self.pods.get(name, ())

    def look_up(self, _namespace, name):
        self.asked.append(name)


class Scene:
    """A store, its cluster, and what it withheld, counted by reason."""

    def __init__(self):
        self.cluster = Cluster()
        self.withheld = Counter()
        self.store = MetricsStore(max_age=60.0, cluster=self.cluster, withheld=self._count)

    def _count(self, reason):
        self.withheld[str(reason)] += 1

    def lists(self, node, at, *uids, cores=1, start=0.0):
        """The node lists the pod under these uids; all use so many cores."""
        counter = int((1000 + at) * cores * CORE)
        pods = []
        for uid in uids:
            container = container_stats(
                "c", EPOCH + start, EPOCH + at, counter, int(cores * CORE), EPOCH + at, 4096
            )
            pods.append(("ns", "pod", uid, [container]))
        self.store.put(node_sample(node, at, at + 0.01, pods))

    def becomes(self, *uids):
        self.cluster.pods["pod"] = list(uids)
        self.store.reconsider("ns", "pod")

    def served(self, now):
        """Return the node and the cores that are served."""
        usage = self.store.pod_usage("ns", "pod", now)
        return usage and (usage.node, round(usage.containers[0].cpu / CORE, 2))


@pytest.fixture
def scene():
    return Scene()


def test_a_pod_under_another_uid_is_withheld_and_counted(scene):
    scene.lists("liar", 100.0, "other", cores=9, start=90)
    assert scene.served(100.0) is None
    scene.lists("liar", 115.0, "other", cores=9, start=90)
    assert scene.withheld == {"uid": 2}
    assert not scene.cluster.asked


def test_a_liar_takes_nothing_from_the_node_that_has_the_pod(scene):
    scene.lists("owner", 100.0, "u")
    scene.lists("liar", 101.0, "other", cores=9, start=90)
    scene.lists("owner", 115.0, "u")
    assert scene.served(115.0) == ("owner", 1.0)


def test_a_static_pod_is_known_by_either_uid(scene):
    scene.cluster.pods["pod"] = ["mirror", "hash"]
    for uid in ("hash", "mirror"):
        scene.lists("node", 100.0, uid)
        assert scene.served(100.0) == ("node", 1.0)
    assert not scene.withheld


def test_a_recreated_pod_never_has_its_predecessors_usage(scene):
    """The watch tells first: the kubelet still lists the old one."""
    scene.lists("old", 100.0, "u", cores=3)
    scene.becomes("u2")
    assert scene.served(100.1) is None
    scene.lists("old", 115.0, "u", cores=3)
    assert scene.served(115.1) is None
    scene.lists("new", 116.0, "u2", start=116)
    assert scene.served(116.1) == ("new", 1.0)


@pytest.mark.parametrize("node", ["old", "new"])
def test_without_uids_too_a_recreated_pod_never_has_its_predecessors_usage(scene, node):
    """What was read before the watch tells of the new pod is of the old one."""
    for at in (100.0, 115.0):
        scene.lists("old", at, "", cores=3)
    scene.becomes()
    scene.becomes("u2")
    assert scene.served(115.1) is None
    scene.lists("old", 130.0, *([""] if node == "old" else []), start=120)
    scene.lists("new", 131.0, *([""] if node == "new" else []), start=120)
    assert scene.served(131.1) == (node, 1.0)
    assert not scene.withheld


def test_a_liar_gains_nothing_while_a_recreated_pod_waits_for_its_nodes_answer(scene):
    scene.lists("node", 100.0, "")
    scene.becomes("u2")
    scene.lists("liar", 101.0, "u2", cores=9)
    assert scene.served(101.1) is None
    assert scene.cluster.asked
    scene.store.bind("ns", "pod", "u2", "node")
    assert scene.served(101.1) is None
    scene.lists("node", 115.0, "", start=110)
    assert scene.served(115.1) == ("node", 1.0)


def test_a_mirror_pod_that_is_recreated_is_served_on(scene):
    scene.becomes("mirror", "hash")
    scene.lists("node", 100.0, "")
    scene.becomes("another-mirror", "hash")
    assert scene.served(100.1) == ("node", 1.0)


def test_a_recreated_pod_is_served_as_soon_as_the_watch_catches_up(scene):
    scene.lists("node", 100.0, "u2")
    scene.lists("node", 115.0, "u2")
    assert scene.served(115.1) is None
    scene.becomes("u2")
    assert scene.served(115.1) == ("node", 1.0)


def test_one_node_may_list_the_old_and_the_new_pod_together(scene):
    scene.lists("node", 100.0, "u", "u2")
    assert scene.served(100.1) is not None
    scene.becomes("u2")
    assert scene.served(100.1) is not None
    scene.becomes("u3")
    assert scene.served(100.1) is None


@pytest.mark.parametrize("uid", ["u", ""])
@pytest.mark.parametrize("start", [-3600, 90, 3600])
def test_two_claims_of_one_uid_or_none_are_decided_by_the_api_server(scene, uid, start):
    """Until it has answered the node that is served stays so; clocks decide nothing."""
    scene.lists("first", 100.0, uid)
    scene.lists("second", 101.0, uid, cores=9, start=start)
    assert scene.served(101.1) == ("first", 1.0)
    assert scene.cluster.asked == ["pod", "pod"]
    assert scene.withheld == {"undecided": 1}
    scene.store.bind("ns", "pod", "u", "second")
    assert scene.served(101.1) == ("second", 9.0)
    scene.lists("first", 115.0, uid)
    assert scene.served(115.1) == ("second", 9.0)
    assert scene.withheld["node"] == 1


def test_a_liar_that_copied_a_uid_is_caught_when_the_owner_speaks(scene):
    scene.lists("liar", 100.0, "u", cores=9)
    assert scene.served(100.1) == ("liar", 9.0)
    scene.lists("owner", 101.0, "u")
    scene.store.bind("ns", "pod", "u", "owner")
    assert scene.served(101.1) == ("owner", 1.0)
    scene.lists("owner", 115.0)  # its container runs no more
    assert scene.served(115.1) is None


def test_where_nobody_was_served_two_claims_wait_for_the_api_server(scene):
    scene.becomes("before")
    scene.lists("liar", 100.0, "u", cores=9)
    scene.lists("owner", 101.0, "u")
    scene.becomes("u")
    assert scene.served(101.1) is None
    assert scene.cluster.asked
    scene.store.bind("ns", "pod", "u", "owner")
    assert scene.served(101.1) == ("owner", 1.0)


def test_it_is_asked_again_with_each_answer_until_it_is_known(scene):
    scene.lists("first", 100.0, "u")
    scene.lists("second", 101.0, "u")
    before = len(scene.cluster.asked)
    scene.lists("second", 116.0, "u")
    assert len(scene.cluster.asked) == before + 1


def test_what_was_looked_up_of_a_pod_says_nothing_of_the_next_of_its_name(scene):
    scene.lists("first", 100.0, "u")
    scene.store.bind("ns", "pod", "u", "first")
    scene.becomes("u2")
    scene.lists("second", 115.0, "u2", cores=2)
    assert scene.served(115.1) == ("second", 2.0)


def test_a_node_that_is_read_without_uids_for_a_while_has_the_same_pods(scene):
    for at, uid in ((100.0, "u"), (115.0, ""), (130.0, "u")):
        scene.lists("node", at, uid)
        usage = scene.store.pod_usage("ns", "pod", at + 0.01)
        assert usage.timestamp == EPOCH + at
    assert usage.window == pytest.approx(15.0, abs=0.1)
    assert not scene.withheld


def test_a_pod_that_is_recreated_while_no_uids_are_known_is_served(scene):
    scene.lists("node", 100.0, "u")
    scene.becomes("u2")
    scene.lists("node", 115.0, "", start=110)
    assert scene.served(115.1) == ("node", 1.0)


def test_a_node_that_is_gone_leaves_its_pods_to_others(scene):
    scene.lists("first", 100.0, "u")
    scene.lists("second", 101.0, "u", cores=2)
    scene.store.forget("first")
    assert scene.served(101.1) == ("second", 2.0)


def test_a_node_may_list_any_number_of_pods_under_one_name(scene):
    """Each answer has other uids; that costs no more than so many pods of other names."""
    for at in (100.0, 115.0):
        scene.lists("liar", at, *(f"{at}-{number}" for number in range(2000)))
    scene.lists("owner", 116.0, "u")
    assert scene.served(116.1) == ("owner", 1.0)
    assert scene.withheld["uid"] == 4000


def test_a_uid_of_any_length_is_not_kept(scene):
    scene.lists("node", 100.0, "")
    scene.lists("node", 115.0, "u" * 10**6)
    assert scene.served(115.1) is None
    assert scene.store.node_info("node").pods == 0


def test_a_pod_that_stays_withheld_is_named_once(scene, caplog):
    """A watch that is behind, as when a pod was just replaced, deserves no line."""
    for at in (100.0, 115.0, 129.0):
        scene.lists("node", at, "other")
    assert not caplog.records
    for at in (130.0, 145.0, 160.0):
        scene.lists("node", at, "other")
    (record,) = caplog.records
    assert "another uid" in record.message
    assert record.data == {"node": "node", "namespace": "ns", "pod": "pod", "uid": "other"}


def test_a_pod_that_is_replaced_again_and_again_is_not_named(scene, caplog):
    for number in range(10):
        scene.lists("node", 100.0 + 30 * number, f"u{number}")
        scene.becomes(f"u{number}")
        scene.lists("node", 115.0 + 30 * number, f"u{number}")
    assert scene.withheld
    assert not caplog.records


def test_a_pod_that_two_nodes_list_is_named_with_the_node_that_is_not_believed(scene, caplog):
    for at in range(100, 200, 15):
        scene.lists("owner", at, "u")
        scene.lists("liar", at + 1.0, "u", cores=9)
    (record,) = caplog.records
    assert record.data["node"] == "liar"
    assert "has not said" in record.message
    scene.store.bind("ns", "pod", "u", "liar")
    for at in range(200, 300, 15):
        scene.lists("owner", at, "u")
        scene.lists("liar", at + 1.0, "u", cores=9)
    assert [record.data["node"] for record in caplog.records] == ["liar", "owner"]
    assert "bound to another" in caplog.records[1].message


def test_a_node_that_lists_pods_of_others_for_long_does_not_fill_the_log(scene, caplog):
    scene.cluster.pods = {f"pod{number}": ["u"] for number in range(900)}
    for at in range(100, 200, 15):
        pods = [
            (
                "ns",
                name,
                f"u{at}",
                [container_stats("c", EPOCH, EPOCH + at, at * CORE, CORE, EPOCH + at, 4096)],
            )
            for name in scene.cluster.pods
        ]
        scene.store.put(node_sample("liar", at, at + 0.01, pods))
    assert len(caplog.records) == MOST
