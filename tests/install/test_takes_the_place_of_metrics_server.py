"""`kubectl apply` over metrics-server's own manifests replaces it: same objects, same selectors."""

import json

import pytest

from metricsapi.config.read import read_settings
from tests.install.objects import VARIANTS, args, container, deployment, rendered
from tests.support.paths import RECORDED

EXCHANGES = RECORDED / "metrics-server-0.8.1.json"
SYSTEM = "kube-system"
# The objects of metrics-server's components.yaml (0.6 to 0.9).
ITS_OBJECTS = {
    ("ServiceAccount", SYSTEM, "metrics-server"),
    ("ClusterRole", "", "system:aggregated-metrics-reader"),
    ("ClusterRole", "", "system:metrics-server"),
    ("RoleBinding", SYSTEM, "metrics-server-auth-reader"),
    ("ClusterRoleBinding", "", "metrics-server:system:auth-delegator"),
    ("ClusterRoleBinding", "", "system:metrics-server"),
    ("Service", SYSTEM, "metrics-server"),
    ("Deployment", SYSTEM, "metrics-server"),
    ("APIService", "", "v1beta1.metrics.k8s.io"),
}
# What the API server refuses to change in an object that is there.
ITS_ROLES = {
    ("RoleBinding", SYSTEM, "metrics-server-auth-reader"): (
        "Role",
        "extension-apiserver-authentication-reader",
    ),
    ("ClusterRoleBinding", "", "metrics-server:system:auth-delegator"): (
        "ClusterRole",
        "system:auth-delegator",
    ),
    ("ClusterRoleBinding", "", "system:metrics-server"): ("ClusterRole", "system:metrics-server"),
}
LABELS = {"k8s-app": "metrics-server"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_of_metrics_server_is_replaced(variant):
    assert rendered(variant).keys() >= ITS_OBJECTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_cannot_be_changed_is_the_same(variant):
    objects = rendered(variant)
    spec = deployment(objects)["spec"]
    assert spec["selector"] == {"matchLabels": LABELS}
    assert spec["template"]["metadata"]["labels"] == LABELS
    for binding, role in ITS_ROLES.items():
        reference = objects[binding]["roleRef"]
        assert (reference["kind"], reference["name"]) == role
    service = objects["Service", SYSTEM, "metrics-server"]["spec"]
    assert service["selector"] == LABELS
    assert service.get("type", "ClusterIP") == "ClusterIP"


@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_is_found_by_metrics_servers_label_and_name(variant):
    objects = rendered(variant)
    assert all(thing["metadata"]["labels"].items() >= LABELS.items() for thing in objects.values())
    assert {namespace for _, namespace, _ in objects} <= {"", SYSTEM}
    assert container(objects)["name"] == "metrics-server"


def test_its_flags_are_carried_over():
    assert set(args(rendered("default"))) >= {
        "--cert-dir=/tmp",
        "--secure-port=10250",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        "--kubelet-use-node-status-port",
        "--metric-resolution=15s",
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_server_understands_the_flags(variant):
    settings, parsed = read_settings(args(rendered(variant)), {})
    assert parsed.problems == []
    assert not [note for note in parsed.notes if "no effect" in note]
    assert settings.service.manage_ca_bundle


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_certificate_is_verified(variant):
    services = [thing for thing in rendered(variant).values() if thing["kind"] == "APIService"]
    for thing in services:
        # The API server drops `false`, so rendering it would never be in sync with Git.
        assert "insecureSkipTLSVerify" not in thing["spec"]
        assert "caBundle" not in thing["spec"]
    assert "--manage-ca-bundle" in args(rendered(variant))


def test_the_stable_version_is_preferred_once_it_is_registered():
    objects = rendered("metrics-v1")
    stable, beta = (
        objects["APIService", "", f"{version}.metrics.k8s.io"]["spec"]
        for version in ("v1", "v1beta1")
    )
    assert stable["versionPriority"] > beta["versionPriority"]
    assert stable["groupPriorityMinimum"] == beta["groupPriorityMinimum"]
    assert stable["service"] == beta["service"]


def test_readers_may_do_what_the_api_can_do():
    """The verbs of the recorded discovery, and `watch` as in metrics-server's role."""
    discovery = next(
        json.loads(each["body"])
        for each in json.loads(EXCHANGES.read_text())
        if each["path"] == "/apis/metrics.k8s.io/v1beta1" and each["status"] == 200
    )
    role = rendered("default")["ClusterRole", "", "system:aggregated-metrics-reader"]
    (rule,) = role["rules"]
    assert set(rule["resources"]) == {each["name"] for each in discovery["resources"]}
    for each in discovery["resources"]:
        assert set(rule["verbs"]) == {*each["verbs"], "watch"}
    for who in ("admin", "edit", "view"):
        label = f"rbac.authorization.k8s.io/aggregate-to-{who}"
        assert role["metadata"]["labels"][label] == "true"
