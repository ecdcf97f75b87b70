"""The article's section on metrics-server, typed command by command with the real kubectl."""

import json

from tests.e2e.conftest import lasting, lasts


def lines_with(text, word):
    return [line for line in text.splitlines() if word in line]


def test_the_pod_the_service_and_the_apiservice_are_found_by_name(kubectl):
    pods = lines_with(kubectl("get", "pods", "-A", "-o", "wide"), "metrics-server")
    assert pods
    assert "Running" in pods[0]
    services = lines_with(kubectl("get", "svc", "-A"), "metrics-server")
    assert "443/TCP" in services[0]
    apiservices = lines_with(kubectl("get", "apiservices"), "metrics-server")
    assert any(
        "v1beta1.metrics.k8s.io" in x and "kube-system/metrics-server" in x and "True" in x
        for x in apiservices
    )


def test_the_four_raw_calls(kubectl):
    base = "/apis/metrics.k8s.io/v1beta1"
    nodes = json.loads(kubectl("get", "--raw", f"{base}/nodes"))
    assert nodes["kind"] == "NodeMetricsList"
    pods = json.loads(kubectl("get", "--raw", f"{base}/pods"))
    assert pods["kind"] == "PodMetricsList"
    name = nodes["items"][0]["metadata"]["name"]
    node = json.loads(kubectl("get", "--raw", f"{base}/nodes/{name}"))
    assert node["kind"] == "NodeMetrics"
    assert node["usage"].keys() >= {"cpu", "memory"}
    at = lasting(pods["items"])
    pod = json.loads(
        kubectl("get", "--raw", f"{base}/namespace/{at['namespace']}/pods/{at['name']}")
    )
    assert pod["metadata"]["name"] == at["name"]
    plural = kubectl("get", "--raw", f"{base}/namespaces/{at['namespace']}/pods/{at['name']}")
    assert json.loads(plural)["containers"][0].keys() == pod["containers"][0].keys()


def test_top_shows_every_node_and_pod(kubectl):
    nodes = kubectl("top", "nodes").splitlines()
    assert nodes[0].split()[:2] == ["NAME", "CPU(cores)"]
    assert len(nodes) == 1 + len(kubectl("get", "nodes", "-o", "name").splitlines())
    listed = kubectl("top", "pods", "-A", "--sort-by=cpu").splitlines()
    cpu = [int(line.split()[2].removesuffix("m")) for line in listed[1:]]
    assert cpu == sorted(cpu, reverse=True)
    assert sum(cpu) > 0
    namespace, name = next(x.split()[:2] for x in listed[1:] if lasts(x.split()[0]))
    containers = kubectl("top", "pods", "-n", namespace, name, "--containers").splitlines()
    described = kubectl("get", "pods", "-n", namespace, name, "-o", "json")
    names = {each["name"] for each in json.loads(described)["spec"]["containers"]}
    assert {tuple(line.split()[:2]) for line in containers[1:]} == {(name, each) for each in names}


def test_what_is_not_there_is_not_found(kubectl):
    output = kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes/absent", check=False)
    assert "NotFound" in output


def test_the_resources_are_discovered_and_listed(kubectl):
    listed = lines_with(kubectl("api-resources"), "metrics.k8s.io")
    assert any("NodeMetrics" in x for x in listed)
    assert any("PodMetrics" in x for x in listed)
    assert lines_with(kubectl("get", "podmetrics", "-A"), "Ki") or lines_with(
        kubectl("get", "podmetrics", "-A"), "n"
    )
