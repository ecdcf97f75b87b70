"""What observers of queries are called with: who asks for what, and what is sent."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.api.queries import Kind, Query
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import selector_text
from tests.api.cluster import recorded
from tests.server.serving import configmap, serving
from tests.support.https_client import connect
from tests.support.pki import Authority

ROOT = "/apis/metrics.k8s.io/v1beta1"
MASTER = {"X-Remote-User": "the-hpa", "X-Remote-Group": "system:masters"}


class Notes:
    """An observer that notes its calls in their order."""

    def __init__(self) -> None:
        self.calls = []

    def query_received(self, query):
        self.calls.append(("received", query))

    def entries_sent(self, query, entries):
        self.calls.append(("sent", query, [entry.object.name for entry in entries]))

    @property
    def queries(self):
        return [call[1] for call in self.calls if call[0] == "received"]


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def cluster(notes):
    return recorded(observers=[notes])


def of(namespace, selector, kind, name=None):
    return Query("", namespace, selector, kind, name)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("namespaces/ns-3/pods?labelSelector=app%3Dapp-3", of("ns-3", "app=app-3", Kind.SELECTOR)),
        ("pods?labelSelector=tier%20in%20(1)", of(None, "tier=1", Kind.SELECTOR)),
        ("namespaces/ns-3/pods", of("ns-3", "", Kind.LIST)),
        ("namespaces/ns-3/pods?labelSelector=", of("ns-3", "", Kind.LIST)),
        ("pods?limit=7", of(None, "", Kind.LIST)),
        ("pods?fieldSelector=spec.nodeName%3Dnode-1", of(None, "", Kind.LIST)),
        ("pods?fieldSelector=metadata.namespace%3Dns-3", of("ns-3", "", Kind.LIST)),
        ("namespaces/ns-3/pods/app-7-3", of("ns-3", "", Kind.SINGLE, "app-7-3")),
        (
            "pods?fieldSelector=metadata.name%3Dapp-7-3",
            of(None, "", Kind.SINGLE, "app-7-3"),
        ),
        ("pods?fieldSelector=metadata.name!%3Dapp-7-3", of(None, "", Kind.LIST)),
    ],
)
def test_a_query_for_pods_is_observed_once_before_its_answer_and_with_it(
    cluster, notes, path, query
):
    assert cluster.get(f"{ROOT}/{path}").status == 200
    assert notes.calls[0] == ("received", query)
    assert notes.queries == [query]
    assert {call[1] for call in notes.calls} == {query}
    assert len(notes.calls) > 1


def test_what_is_sent_is_observed_whole(cluster, notes):
    body = cluster.get(f"{ROOT}/pods?labelSelector=tier%3D1").body
    sent = [name for call in notes.calls if call[0] == "sent" for name in call[2]]
    assert sent == [item["metadata"]["name"] for item in json.loads(body)["items"]]
    assert len(sent) == 1000


def test_nodes_are_observed_when_they_are_sent(cluster, notes):
    cluster.get(f"{ROOT}/nodes/node-1")
    cluster.get(f"{ROOT}/nodes?labelSelector=zone%3Dz1")
    kinds = [(call[0], call[1].kind) for call in notes.calls]
    assert kinds == [("sent", Kind.SINGLE), ("sent", Kind.SELECTOR)]


def test_the_pages_of_a_list_are_one_query(cluster, notes):
    path, token = f"{ROOT}/namespaces/ns-3/pods?limit=100", ""
    while True:
        page = json.loads(cluster.get(f"{path}&continue={quote(token)}").body)
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert notes.queries == [of("ns-3", "", Kind.LIST)]
    assert sum(call[0] == "sent" for call in notes.calls) > 1


@pytest.mark.parametrize(
    "path", ["pods?watch=true", "pods?labelSelector=a%3D%3D%3D", "pods?limit=x", "gizmos", ""]
)
def test_what_is_refused_and_discovery_are_no_queries(cluster, notes, path):
    cluster.get(f"{ROOT}/{path}".rstrip("/"))
    assert notes.calls == []


def test_a_pod_that_is_not_there_is_asked_for_and_not_sent(cluster, notes):
    assert cluster.get(f"{ROOT}/namespaces/ns-3/pods/absent").status == 404
    assert cluster.get(f"{ROOT}/namespaces/absent/pods").status == 200
    assert notes.calls == [
        ("received", of("ns-3", "", Kind.SINGLE, "absent")),
        ("received", of("absent", "", Kind.LIST)),
    ]


def test_every_observer_is_called():
    several = [Notes(), Notes()]
    recorded(observers=several).get(f"{ROOT}/namespaces/ns-3/pods/app-7-3")
    assert several[0].calls == several[1].calls
    assert len(several[0].calls) == 2


async def test_the_user_is_the_one_that_the_front_proxy_names(cluster, notes):
    front = Authority("front-proxy-ca")
    certificate = front.issue("front-proxy-client")
    async with (
        serving(configmap(front), app=cluster.app) as running,
        connect(running.port, certificate) as client,
    ):
        for user in ("the-hpa", "somebody"):
            headers = {**MASTER, "X-Remote-User": user}
            assert (await client.request(f"{ROOT}/pods?limit=1", headers=headers)).status == 200
    assert [query.user for query in notes.queries] == ["the-hpa", "somebody"]


SAME = [
    ("a=1", "a==1", "a in (1)", " a  in ( 1 ) ", "a=1,a=1"),
    ("a=1,b!=2", "b!=2,a=1", "b notin (2),a==1"),
    ("a in (1,2)", "a in (2,1,2)"),
    ("!a,b", "b,!a", " b , ! a"),
    ("a=", "a==", "a in ()"),
    ("a>1,a<9", "a<9,a>1"),
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda texts: texts[0])
def test_selectors_of_the_same_requirements_are_one_query(cluster, notes, spellings):
    for text in spellings:
        cluster.get(f"{ROOT}/pods?labelSelector={quote(text)}")
    assert len(notes.queries) == len(spellings)
    assert len(set(notes.queries)) == 1


KEYS = st.sampled_from(["app", "tier", "example.com/name", "in", "notin"])
VALUE = st.sampled_from(["", "a", "B-2", "x.y_z", "in"])
VALUES = st.lists(VALUE, min_size=1, max_size=3).map(",".join)
REQUIREMENT = st.one_of(
    st.builds("{}{}{}".format, KEYS, st.sampled_from(["=", "==", "!="]), VALUE),
    st.builds("{} {} ({})".format, KEYS, st.sampled_from(["in", "notin"]), VALUES),
    st.builds("{}{}".format, st.sampled_from(["", "!"]), KEYS),
    st.builds("{}{}{}".format, KEYS, st.sampled_from("<>"), st.integers(0, 9)),
)


@given(st.lists(REQUIREMENT, max_size=4))
def test_the_canonical_text_of_a_selector_reads_back_as_the_same_requirements(texts):
    requirements = parse_labels(",".join(texts))
    text = selector_text(requirements)
    assert set(parse_labels(text)) == set(requirements)
    assert selector_text(reversed(requirements)) == text
    assert selector_text(parse_labels(text)) == text


def test_queries_without_authentication_have_no_user(cluster, notes):
    cluster.get(f"{ROOT}/pods?limit=1")
    assert notes.queries[0].user == ""
