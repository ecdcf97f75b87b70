"""A real kube-apiserver aggregates our API and its documents without an error."""

import json
import re
import time

import pytest

from tests.e2e.conftest import ASSETS

# What it logs of any API whose server does not answer yet.
NOT_YET = "ResponseCode: 503|failing or missing response|could not get list of group"
# It writes an APIService's status with the version that its informer last had, so any write to the
# spec meanwhile (a bundle, `kubectl apply`, another kube-apiserver) is a conflict. It logs that and
# writes again some milliseconds later.
CONFLICT = (
    r"(v1|v1beta1)\.metrics\.k8s\.io failed with: Operation cannot be fulfilled on "
    r"apiservices\.apiregistration\.k8s\.io \S+: the object has been modified"
)
EXPECTED = re.compile(f"{NOT_YET}|{CONFLICT}")


def test_the_aggregators_accept_our_documents_without_an_error(sandbox, kubectl):
    if not ASSETS:
        pytest.skip("KUBEBUILDER_ASSETS names no kube-apiserver")
    deadline = time.monotonic() + 60
    while not _aggregated(kubectl):
        assert time.monotonic() < deadline, "the definitions never appeared"
        time.sleep(0.5)
    assert "containers" in kubectl("explain", "podmetrics.containers")
    log = sandbox.directory / "kube-apiserver" / "kube-apiserver.log"
    lines = log.read_text(errors="replace").splitlines()
    ours = [line for line in lines if "metrics.k8s.io" in line and re.search(r"\bE\d{4} ", line)]
    assert lines
    assert [line for line in ours if not EXPECTED.search(line)] == []


def _aggregated(kubectl):
    v2 = json.loads(kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    v3 = json.loads(kubectl("get", "--raw", "/openapi/v3"))["paths"]
    return any("metrics.v1beta1.PodMetrics" in name for name in v2) and (
        "apis/metrics.k8s.io/v1beta1" in v3
    )
