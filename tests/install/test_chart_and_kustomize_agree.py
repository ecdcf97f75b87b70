"""The chart renders the same objects as kustomize, for every variant, field by field."""

import pytest

from tests.install.charts import CHART, helm, render
from tests.install.objects import VARIANTS, rendered

HIGH_AVAILABILITY = {"replicas": 2, "podDisruptionBudget": {"enabled": True}}
V1 = {"apiService": {"v1": True}}
# The values that make the chart a variant.
VALUES = {
    "default": {},
    "high-availability": HIGH_AVAILABILITY,
    "high-availability-metrics-v1": HIGH_AVAILABILITY | V1,
    "metrics-v1": V1,
    "kubelet-insecure-tls": {"args": ["--kubelet-insecure-tls"]},
    "extra-resources": {"args": ["--resources=cpu,memory,swap,ephemeral-storage"]},
    "host-network": {"hostNetwork": {"enabled": True}},
    "apiserver-proxy": {"kubelet": {"transport": "apiserver-proxy"}},
    "network-policy": {"networkPolicy": {"enabled": True}},
    "service-monitor": {"serviceMonitor": {"enabled": True}},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "grafanaDashboard": {"enabled": True},
    },
}


# Labels that Helm's users expect, and that kustomize cannot know.
OF_HELM = ("app.kubernetes.io/", "helm.sh/")


def without_labels_of_helm(thing):
    """The object without these labels, its pod template included."""
    for metadata in (thing["metadata"], thing.get("spec", {}).get("template", {}).get("metadata")):
        if metadata:
            labels = metadata["labels"].items()
            metadata["labels"] = {k: v for k, v in labels if not k.startswith(OF_HELM)}
    return thing


def test_every_variant_is_compared():
    assert sorted(VALUES) == VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_objects_are_the_same(variant):
    from_chart, from_kustomize = render(VALUES[variant]), rendered(variant)
    assert from_chart.keys() == from_kustomize.keys()
    for identity, thing in from_kustomize.items():
        assert without_labels_of_helm(from_chart[identity]) == thing


def test_the_name_of_the_release_is_in_no_object_but_as_a_label():
    one, other = render(name="anything"), render()
    assert one.keys() == other.keys()
    for identity, thing in one.items():
        assert thing["metadata"]["labels"]["app.kubernetes.io/instance"] == "anything"
        assert without_labels_of_helm(thing) == without_labels_of_helm(other[identity])


def test_lint_finds_nothing():
    result = helm.lint(str(CHART), strict=True)
    assert result["errors"] == []
    # An icon is an image on somebody's server.
    assert [one["error"] for one in result["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_lint_finds_nothing_with_the_values_of_a_variant(values):
    assert helm.lint(str(CHART), values, strict=True)["errors"] == []
