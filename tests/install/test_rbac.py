"""The rendered RBAC is exactly what the server asks for: nothing missing, nothing unused.

Each variant is installed once, its server does all that it ever does, and the stand-in API server
and kubelets, which enforce the rendered rules, note every question about its account.
"""

import asyncio
import itertools
import time

import pytest

from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.install.cluster import ACCOUNT, Installation
from tests.install.objects import rendered
from tests.support.conditions import until

JOURNEYS = ("metrics-v1", "apiserver-proxy")
READERS = "system:aggregated-metrics-reader"  # for people, not for the server
API = "/apis/metrics.k8s.io/v1beta1"


def atoms(objects):
    """Each single thing that the rendered roles allow: (group, resource, verb, name or None)."""
    found = []
    for (kind, _, name), thing in objects.items():
        if kind in ("Role", "ClusterRole") and name != READERS:
            for rule in thing["rules"]:
                names = rule.get("resourceNames", [None])
                found += itertools.product(
                    rule["apiGroups"], rule["resources"], rule["verbs"], names
                )
    return found


async def journey(objects, directory, monkeypatch):
    """All that a server does: give what was asked about its account, with the answers."""
    async with Installation(objects, directory) as installation:
        installation.audit(monkeypatch)
        await installation.add_node(0)
        only_resource = Kubelets(
            Certificates(installation.api.ca),
            lambda token, sub: 403 if sub == "stats" else installation.decide(token, sub),
        )
        node = synthetic_node(1, 2, 2)
        source = SyntheticSource(node, time.time() - 3600)
        kubelet = await only_resource.start(source)
        installation.add_node_at(node.name, kubelet.port)
        replica = await installation.start_replica("--metric-resolution=1s")
        await installation.ready(replica)
        token = installation.api.add_user("someone")
        headers = {"Authorization": f"Bearer {token}"}
        url = f"https://127.0.0.1:{replica.port}{API}/nodes"
        assert (await installation.direct.get(url, headers=headers)).status_code == 403

        async def served():
            answer = await installation.admin.get(f"{API}/nodes")
            return answer.status_code == 200 and len(answer.json()["items"]) == 2

        deadline = time.monotonic() + 20
        while not await served():
            assert time.monotonic() < deadline, replica.log.read_text()[-2000:]
            await asyncio.sleep(0.1)
        services = [name for kind, _, name in objects if kind == "APIService"]
        await until(
            lambda: all(
                installation.cluster.get("apiservices", name)["spec"].get("caBundle")
                for name in services
            )
        )
        await only_resource.stop()
        return list(installation.asked)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """By variant: {(group, resource, verb, name): whether it was allowed}."""

    async def all_at_once():
        with pytest.MonkeyPatch.context() as monkeypatch:
            return await asyncio.gather(
                *(
                    journey(rendered(variant), tmp_path_factory.mktemp(variant), monkeypatch)
                    for variant in JOURNEYS
                )
            )

    return {
        variant: {
            (each.group, each.full_resource, each.verb, each.name): answer
            for each, answer in questions
        }
        for variant, questions in zip(JOURNEYS, asyncio.run(all_at_once()), strict=True)
    }


@pytest.mark.parametrize("variant", JOURNEYS)
def test_nothing_is_missing(asked, variant):
    assert [question for question, answer in asked[variant].items() if not answer] == []


FIRST = atoms(rendered(JOURNEYS[0]))
RULES = [(JOURNEYS[0], *atom) for atom in FIRST]
RULES += [(JOURNEYS[1], *atom) for atom in atoms(rendered(JOURNEYS[1])) if atom not in FIRST]


@pytest.mark.parametrize(
    ("variant", "group", "resource", "verb", "name"), RULES, ids=lambda part: part or "any"
)
def test_a_rule_is_used(asked, variant, group, resource, verb, name):
    used = [
        question
        for question in asked[variant]
        if question[:3] == (group, resource, verb) and name in (None, question[3])
    ]
    assert used


@pytest.mark.parametrize(
    ("group", "resource", "verb"),
    [
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
        ("", "configmaps", "watch"),
    ],
)
def test_a_binding_to_a_role_of_kubernetes_is_used(asked, group, resource, verb):
    questions = asked["metrics-v1"]
    assert [each for each in questions if each[:3] == (group, resource, verb)]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_without_a_rule_something_would_be_missing(asked, number):
    """What was asked for and allowed by this rule is allowed by no other one."""
    variant, group, resource, verb, name = RULES[number]
    others = [rule for i, rule in enumerate(RULES) if i != number and rule[0] == variant]
    for question, answer in asked[variant].items():
        if question[:3] == (group, resource, verb) and name in (None, question[3]):
            assert answer
            assert not any(
                rule[1:4] == question[:3] and rule[4] in (None, question[3]) for rule in others
            )


def test_the_account_is_the_one_of_the_deployment():
    objects = rendered("default")
    spec = objects["Deployment", "kube-system", "metrics-server"]["spec"]["template"]["spec"]
    name = ACCOUNT.rpartition(":")[2]
    assert spec["serviceAccountName"] == name
    for (kind, _, _), thing in objects.items():
        if kind.endswith("Binding"):
            assert [subject["name"] for subject in thing["subjects"]] == [name]
