"""The way back to metrics-server, by the commands of docs/migration.md as they are printed."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Sandbox
from tests.support.paths import ROOT

RENDERED = ROOT / "manifests" / "rendered" / "default"
# What matters of metrics-server's own manifests: the APIService, with its port here.
THEIRS = """
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata:
  name: v1beta1.metrics.k8s.io
  labels: {k8s-app: metrics-server}
spec:
  group: metrics.k8s.io
  groupPriorityMinimum: 100
  insecureSkipTLSVerify: true
  service: {name: metrics-server, namespace: kube-system, port: %d}
  version: v1beta1
  versionPriority: 100
"""


def commands():
    """Give the indented lines of the section on the way back, `\\` joined."""
    section = (ROOT / "docs" / "migration.md").read_text().split("## Back to metrics-server")[1]
    return [line for line in section.splitlines() if line.startswith("    ")]


@pytest.fixture
def shell(kubectl_binary, tmp_path):
    """Run shell lines in a folder with metrics-server's manifests, as an administrator."""
    running = Sandbox(tmp_path / "state", "--nodes=1", "--pods=1", f"--manifests={RENDERED}")

    def run(script):
        path = f"{Path(kubectl_binary).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "KUBECONFIG": running.kubeconfig, "PATH": path}
        return subprocess.run(
            ["sh", "-e", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    try:
        running.wait_ready()
        yield run
    finally:
        running.stop()


def spec(shell):
    found = shell("kubectl get apiservice v1beta1.metrics.k8s.io -o json")
    return json.loads(found.stdout)["spec"]


def test_back_to_metrics_server(shell, tmp_path):
    ours = spec(shell)
    assert ours["caBundle"]
    for component in ("high-availability/pod-disruption-budget", "network-policy/network-policy"):
        path = ROOT / "manifests" / "components" / f"{component}.yaml"
        assert shell(f"kubectl apply -f {path}").returncode == 0
    theirs = tmp_path / "metrics-server" / "components.yaml"
    theirs.parent.mkdir()
    theirs.write_text(THEIRS % ours["service"].get("port", 443))
    refused = shell(f"kubectl apply -f {theirs}")
    assert refused.returncode != 0
    assert "may not be true if caBundle is present" in refused.stderr
    done = shell("\n".join(commands()))
    assert done.returncode == 0, done.stderr
    assert spec(shell)["insecureSkipTLSVerify"] is True
    assert "caBundle" not in spec(shell)
    for left in ("secret/metrics-server-ca", "pdb/metrics-server", "netpol/metrics-server"):
        assert "not found" in shell(f"kubectl -n kube-system get {left}").stderr
    shown = shell("kubectl get apiservices | grep metrics-server")
    assert "True" in shown.stdout  # whoever answers behind the Service is believed again
