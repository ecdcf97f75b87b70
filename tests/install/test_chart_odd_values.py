"""Values of the wrong type or form are refused by name; text stays text for YAML."""

import kubernetes_validate
import pytest
import yaml

from tests.install.charts import CHART, helm, render
from tests.install.metrics_server_values import ITS_VALUES, merged
from tests.install.test_chart_without_null import ALL_ON, at, leaves, nulls

VALUES = merged(ITS_VALUES, yaml.safe_load((CHART / "values.yaml").read_text()))
# What is rendered as it is: of these the API server checks what is in them.
PASSED_ON = {
    *("addonResizer", "affinity", "dnsConfig", "livenessProbe", "podSecurityContext"),
    *("readinessProbe", "securityContext", "tmpVolume", "updateStrategy"),
}
CUSTOM = {"Certificate", "Issuer", "PrometheusRule", "ServiceMonitor"}
CHOICES = {"image.pullPolicy", "service.type", "tls.type", "kubelet.transport", "image.digest"}
CHOICES |= {"podDisruptionBudget.unhealthyPodEvictionPolicy", "apiService.caBundle"}


def default(path):
    value = VALUES
    for key in path:
        value = value[key]
    return value


CHECKED = [path for path in leaves(VALUES) if path[0] not in PASSED_ON or len(path) == 1]
TEXTS = [
    path
    for path in CHECKED
    if isinstance(default(path), str) and ".".join(path) not in CHOICES | {"image.repository"}
]


def refusal(values):
    with pytest.raises(helm.HelmError) as caught:
        render(values)
    return str(caught.value)


@pytest.mark.parametrize("path", CHECKED, ids=".".join)
def test_a_value_of_another_type_is_refused_by_name(path):
    wrong = True if isinstance(default(path), str) else "x: y"
    key = path[-1].replace("/", "~1")  # of a JSON pointer
    assert key in refusal(merged(ALL_ON, at(path, wrong)))


@pytest.mark.parametrize("text", ["2", "0123", "1e3", "true", "null", "no"])
@pytest.mark.parametrize("tls", ["metrics-server", "cert-manager"])
def test_text_stays_text(text, tls):
    """All texts at once; names that Kubernetes has are of letters, digits, dots and dashes."""
    values = merged(ALL_ON, {"image": {"repository": text}})
    for path in TEXTS:
        values = merged(values, at(path, text))
    objects = render(merged(values, {"tls": {"type": tls}}), name="7", namespace="8")
    for thing in objects.values():
        assert nulls(thing) == []
        assert isinstance(thing["metadata"]["name"], str)
        if thing["kind"] not in CUSTOM:
            assert kubernetes_validate.validate(thing, "1.37", strict=True)


@pytest.mark.parametrize("text", ["a: b", '"', "x\ny", "#c", "- a", "{{ .x }}"])
@pytest.mark.parametrize("key", ["fullnameOverride", "namespaceOverride", "priorityClassName"])
def test_names_that_kubernetes_cannot_have_are_refused(key, text):
    assert key in refusal({key: text})


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"podAnnotations": {"a": 1}}, "podAnnotations"),
        ({"apiService": {"annotations": {"argocd.argoproj.io/sync-wave": 1}}}, "sync-wave"),
        ({"nodeSelector": {"kubernetes.io/os": True}}, "os"),
        ({"imagePullSecrets": ["pull"]}, "imagePullSecrets"),
        ({"tolerations": {}}, "tolerations"),
        ({"tolerations": [None]}, "tolerations"),
        ({"replicas": "2"}, "replicas"),
        ({"replicas": 10**12}, "replicas"),
        ({"nodes": 0}, "nodes"),
        ({"nodes": 10**6}, "nodes"),
        ({"args": "--kubelet-insecure-tls"}, "args"),
        ({"args": ["kubelet-insecure-tls"]}, "args"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "minAvailable"),
        ({"resources": {"requests": "100m"}}, "requests"),
        ({"image": {"repository": "a b"}}, "repository"),
        ({"replicaCount": 2}, "replicaCount"),
        ({"image": {"name": "x"}}, "name"),
    ],
)
def test_a_slip_is_refused_by_name(values, key):
    assert key in refusal(values)


def test_a_strategy_of_nulls_is_the_default():
    (spec,) = (
        thing["spec"]
        for thing in render({"updateStrategy": {"rollingUpdate": None}}).values()
        if thing["kind"] == "Deployment"
    )
    assert spec["strategy"]["type"] == "RollingUpdate"
