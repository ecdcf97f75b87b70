"""A real HorizontalPodAutoscaler controller takes its core metrics from here.

It needs a kube-controller-manager beside kube-apiserver and etcd in KUBEBUILDER_ASSETS.
"""

import json
import math
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ASSETS

CONTROLLERS = Path(ASSETS or "", "kube-controller-manager")
OBJECTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: ns-0}
spec:
  replicas: 1
  selector: {matchLabels: {app: app-0}}
  template:
    metadata: {labels: {app: app-0}}
    spec: {containers: [{name: c0, image: app}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: app, namespace: ns-0}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: app}
  minReplicas: 1
  maxReplicas: 20
  behavior: {scaleUp: {policies: [{type: Pods, value: 20, periodSeconds: 15}]}}
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: AverageValue, averageValue: 50m}}
  - type: ContainerResource
    containerResource:
      name: memory
      container: c1
      target: {type: AverageValue, averageValue: 1Ti}
"""


@pytest.fixture
def controllers(sandbox, tmp_path):
    """The autoscaler's controller, asking every two seconds."""
    if not ASSETS or not CONTROLLERS.exists():
        pytest.skip("there is no kube-controller-manager in KUBEBUILDER_ASSETS")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                CONTROLLERS,
                f"--kubeconfig={sandbox.kubeconfig}",
                "--controllers=horizontal-pod-autoscaler-controller",
                "--horizontal-pod-autoscaler-sync-period=2s",
                "--leader-elect=false",
                "--secure-port=0",
            ],
            stdout=log,
            stderr=log,
        )
    yield process
    process.terminate()
    process.wait(20)


@pytest.fixture
def scaled(kubectl_binary, sandbox, controllers):
    """Apply the objects; return a way to look at the autoscaler."""
    environment = {**os.environ, "KUBECONFIG": sandbox.kubeconfig}

    def kubectl(*args, **more):
        return subprocess.check_output(
            [kubectl_binary, *args], env=environment, text=True, timeout=60, **more
        )

    kubectl("apply", "-f", "-", input=OBJECTS)
    yield lambda: json.loads(kubectl("get", "hpa", "-n", "ns-0", "app", "-o", "json"))
    kubectl("delete", "-f", "-", input=OBJECTS)


def test_the_autoscaler_scales_by_what_is_served(scaled, kubectl, controllers):
    deadline = time.monotonic() + 60
    while not (status := scaled().get("status", {})).get("desiredReplicas"):
        assert controllers.poll() is None
        assert time.monotonic() < deadline, status
        time.sleep(0.5)
    base = "/apis/metrics.k8s.io/v1beta1/namespaces/ns-0/pods?labelSelector=app%3Dapp-0"
    pods = json.loads(kubectl("get", "--raw", base))["items"]
    cores = [sum(_nanocores(c) for c in pod["containers"]) / 1e9 for pod in pods]
    average = sum(cores) / len(cores)
    assert len(pods) == 2
    assert status["desiredReplicas"] == math.ceil(sum(cores) / 0.050)
    cpu, memory = status["currentMetrics"]
    reported = int(cpu["resource"]["current"]["averageValue"].removesuffix("m"))
    assert abs(reported - 1000 * average) < 3  # each container's is rounded up to whole millicores
    served = [_kibibytes(c) for pod in pods for c in pod["containers"] if c["name"] == "c1"]
    assert memory["containerResource"]["current"]["averageValue"] == f"{sum(served) // 2}Ki"
    active = next(c for c in status["conditions"] if c["type"] == "ScalingActive")
    assert (active["status"], active["reason"]) == ("True", "ValidMetricFound")


def _nanocores(container):
    return int(container["usage"]["cpu"].removesuffix("n"))


def _kibibytes(container):
    return int(container["usage"]["memory"].removesuffix("Ki"))
