"""The article's section typed against the sandbox with the rendered manifests as its objects."""

import json
import os
import shutil
import subprocess
import time

import pytest

from metricsapi.tools.sandbox.manifests import Manifests, ManifestsError
from tests.e2e.conftest import Sandbox, lasting
from tests.support.paths import ROOT

RENDERED = ROOT / "manifests" / "rendered"
DEPLOYMENT = """
kind: Deployment
metadata: {name: metrics-server}
spec: {template: {spec: {containers: [{}]}}}
"""
BASE = "/apis/metrics.k8s.io/v1beta1"


@pytest.fixture(scope="module", params=["default", "metrics-v1"])
def kubectl(request, kubectl_binary, tmp_path_factory):
    """kubectl in a sandbox that runs one variant."""
    path = RENDERED / request.param
    directory = tmp_path_factory.mktemp(request.param)
    running = Sandbox(directory, "--nodes=1", "--pods=3", f"--manifests={path}")

    def run(*args):
        environment = {**os.environ, "KUBECONFIG": running.kubeconfig}
        command = [kubectl_binary, *args]
        return subprocess.check_output(command, env=environment, text=True, timeout=60)

    try:
        running.wait_ready()
        yield run
    finally:
        running.stop()


def test_the_article(kubectl):
    matching = [
        line for line in kubectl("get", "apiservices").splitlines() if "metrics-server" in line
    ]
    assert matching
    assert all("kube-system/metrics-server" in line and "True" in line for line in matching)
    services = kubectl("get", "svc", "-A").splitlines()
    assert any("metrics-server" in line and "443/TCP" in line for line in services)
    nodes = json.loads(kubectl("get", "--raw", f"{BASE}/nodes"))["items"]
    name = nodes[0]["metadata"]["name"]
    assert json.loads(kubectl("get", "--raw", f"{BASE}/nodes/{name}"))["usage"]
    pods = json.loads(kubectl("get", "--raw", f"{BASE}/pods"))["items"]
    at = lasting(pods)
    path = f"{BASE}/namespace/{at['namespace']}/pods/{at['name']}"
    assert json.loads(kubectl("get", "--raw", path))["containers"]
    assert "node-0" in kubectl("top", "nodes")


def test_the_connection_is_verified_by_a_bundle_that_nobody_wrote(kubectl):
    spec = json.loads(kubectl("get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "json"))["spec"]
    assert spec["caBundle"]
    assert not spec.get("insecureSkipTLSVerify")


def test_metrics_servers_apiservice_is_verified_once_the_server_is_ready(kubectl_binary, tmp_path):
    """It has insecureSkipTLSVerify: true, as when the server takes metrics-server's place."""
    manifests = tmp_path / "manifests"
    shutil.copytree(RENDERED / "default", manifests)
    service = manifests / "apiservice.yaml"
    service.write_text(f"{service.read_text()}  insecureSkipTLSVerify: true\n")
    running = Sandbox(tmp_path / "sandbox", "--nodes=1", "--pods=3", f"--manifests={manifests}")
    get = ["get", "apiservice", "v1beta1.metrics.k8s.io", "-o", "json"]
    try:
        running.wait_ready()
        environment = {**os.environ, "KUBECONFIG": running.kubeconfig}
        deadline = time.monotonic() + 60
        while True:
            output = subprocess.check_output([kubectl_binary, *get], env=environment, timeout=60)
            spec = json.loads(output)["spec"]
            if spec.get("caBundle"):
                break
            assert spec["insecureSkipTLSVerify"] is True
            assert time.monotonic() < deadline, "it was never written"
            time.sleep(0.2)
        assert not spec.get("insecureSkipTLSVerify")
        top = subprocess.check_output(
            [kubectl_binary, "top", "nodes"], env=environment, text=True, timeout=60
        )
        assert "node-0" in top
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("kind: Gadget\nmetadata: {name: x}", "kind Gadget"),
        ("kind: Service\nmetadata: {name: x}", "no Deployment"),
        (DEPLOYMENT, "no APIService"),
        ("just text", "kind None"),
    ],
)
def test_what_is_no_manifests_is_refused_with_the_reason(tmp_path, text, message):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ManifestsError, match=message):
        Manifests.load(path)
