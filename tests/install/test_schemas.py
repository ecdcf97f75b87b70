"""Every rendered object is valid by the OpenAPI schemas of the Kubernetes versions we support."""

import copy
import functools
import json

import kubernetes_validate
import pytest

from tests.install.objects import VARIANTS, deployment, rendered

# The oldest with what the components use, and the newest.
VERSIONS = ("1.27", "1.32", "1.37")
# Custom resources, which Kubernetes' own schemas do not know; checked by hand below.
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_valid(variant, version):
    for thing in rendered(variant).values():
        if thing["kind"] not in CUSTOM:
            assert validated(json.dumps(thing, sort_keys=True), version) == version


@functools.cache
def validated(text, version):
    """Validate an object, once for all variants that have the same."""
    return kubernetes_validate.validate(json.loads(text), version, strict=True)


def test_a_misspelt_field_would_be_found():
    wrong = copy.deepcopy(deployment(rendered("default")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_service_monitor_finds_the_service_and_its_certificate():
    objects = rendered("service-monitor")
    monitor = objects["ServiceMonitor", "kube-system", "metrics-server"]
    service = objects["Service", "kube-system", "metrics-server"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["kube-system"]}
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"]["serverName"] == "metrics-server.kube-system.svc"
    assert "insecureSkipVerify" not in endpoint["tlsConfig"]
    secret = endpoint["tlsConfig"]["ca"]["secret"]["name"]
    assert ("Secret", "kube-system", secret) in objects
