"""`/api/v1/nodes/NAME/proxy/...` reaches a node's kubelet for those who have nodes/proxy."""

import time

import pytest

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.scrape.kubelet import kubelet_client
from metricsapi.scrape.targets import Target
from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.nodeproxy import USER
from metricsapi.tools.sandbox.objects import node_object
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.tools.sandbox.apiservers import Noting, admin, client, credentials

SUMMARY = "/api/v1/nodes/node-3/proxy/stats/summary"


@pytest.fixture
async def kubelet(api):
    """The kubelet of node-3, which knows the API server's own token and no other."""

    def decide(token, _):
        user = api.tokens.get(token)
        return 200 if user and user.name == USER else 401

    kubelets = Kubelets(Certificates(api.ca), decide)
    source = SyntheticSource(synthetic_node(3, 2, 2), time.time() - 60)
    running_kubelet = await kubelets.start(source)
    item = node_object("node-3", {}, running_kubelet.port, cores=8, memory=2**35, info={})
    api.cluster.apply("nodes", item)
    yield running_kubelet
    await kubelets.stop()


def may(api, name, verb, resource):
    """Grant a user one resource; return its token."""
    rule = {"apiGroups": [""], "resources": [resource], "verbs": [verb]}
    api.cluster.apply("clusterroles", {"metadata": {"name": name}, "rules": [rule]})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "User", "name": name}],
    }
    api.cluster.apply("clusterrolebindings", binding)
    return api.add_user(name)


async def test_a_summary_comes_through_for_who_has_nodes_proxy(api, kubelet):
    async with client(api, may(api, "reader", "get", "nodes/proxy")) as http:
        answer = await http.get(f"{SUMMARY}?only_cpu_and_memory=true")
        assert answer.json()["node"]["nodeName"] == "node-3"
        assert answer.text.startswith('{\n "node": {\n')
        missing = await http.get("/api/v1/nodes/node-3/proxy/nothing")
        assert (missing.status_code, missing.text) == (404, "404 page not found\n")
    assert kubelet.requests == 2


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("get", "nodes"), ("get", "nodes/stats"), ("get", "nodes/metrics"), ("create", "nodes/proxy")],
)
async def test_no_other_right_is_enough_and_the_kubelet_is_not_asked(api, kubelet, verb, resource):
    async with client(api, may(api, "reader", verb, resource)) as http:
        refused = await http.get(SUMMARY)
    assert refused.status_code == 403
    assert 'cannot get resource "nodes/proxy"' in refused.json()["message"]
    assert kubelet.requests == 0


async def test_unknown_nodes_and_dead_kubelets(api, kubelet):
    async with admin(api) as http:
        answer = await http.get("/api/v1/nodes/absent/proxy/stats/summary")
        assert (answer.status_code, answer.json()["message"]) == (404, 'nodes "absent" not found')
        await kubelet.set_fault(Fault.REFUSE)
        answer = await http.get(SUMMARY)
        assert answer.status_code == 503
        assert answer.json()["message"].startswith("error trying to reach service: ")


async def test_the_kubelet_sees_the_api_server_not_the_caller(api):
    async with Noting(api.ca) as server:
        server.believe(api.ca)
        item = node_object("n", {}, server.port, cores=1, memory=2**30, info={})
        api.cluster.apply("nodes", item)
        async with admin(api) as http:
            assert (await http.get("/api/v1/nodes/n/proxy/a/b?x=1&y=%2F")).status_code == 200
            assert (await http.get(f"/api/v1/nodes/n:{server.port}/proxy/")).status_code == 200
            caller = http.headers["Authorization"]
    assert [request.target for request in server.requests] == ["/a/b?x=1&y=%2F", "/"]
    shown = server.requests[0].headers["authorization"]
    assert shown != caller
    assert api.tokens[shown.removeprefix("Bearer ")].name == USER
    subject = dict(pair for part in server.requests[0].peer["subject"] for pair in part)
    assert subject == {"organizationName": "system:masters", "commonName": USER}


async def test_the_product_scrapes_through_it(api, kubelet):
    token = may(api, "metrics-server", "get", "nodes/proxy")
    settings = KubeletSettings(transport="apiserver-proxy")
    scraper = kubelet_client(settings, credentials(api, token))
    sample = await scraper.scrape(Target("node-3", (), 10250), time.monotonic() + 5)
    scraper.close()
    assert (sample.node, len(sample.pods)) == ("node-3", 2)
