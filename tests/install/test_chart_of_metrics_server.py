"""metrics-server's whole values.yaml installs, and its release is upgraded in place."""

import kubernetes_validate
import pytest
import yaml

from metricsapi.config.read import read_settings
from tests.install.charts import helm, render
from tests.install.metrics_server_values import ITS_VALUES, its_values, merged
from tests.install.objects import deployment
from tests.support.paths import ROOT

SYSTEM = "kube-system"


def of(objects, kind, name="metrics-server", namespace=SYSTEM):
    return objects[kind, namespace, name]


def pod(objects):
    return deployment(objects)["spec"]["template"]["spec"]


def server(objects):
    return pod(objects)["containers"][0]


def api_service(objects):
    return objects["APIService", "", "v1beta1.metrics.k8s.io"]


def only(objects, kind, name=None):
    (thing,) = (each for key, each in objects.items() if key[0] == kind and name in (None, key[2]))
    return thing


def labels_of(objects):
    return only(objects, "Deployment")["metadata"]["labels"]


def template_of(objects):
    return only(objects, "Deployment")["spec"]["template"]["metadata"]


def only_pod(objects):
    return only(objects, "Deployment")["spec"]["template"]["spec"]


def only_server(objects):
    return only_pod(objects)["containers"][0]


def tmp_of(objects):
    volume = only_pod(objects)["volumes"][0]
    return {key: value for key, value in volume.items() if key != "name"}


def delay_of(objects):
    return only_server(objects)["readinessProbe"]["initialDelaySeconds"]


def test_the_whole_values_install():
    objects = render(its_values())
    for thing in objects.values():
        assert kubernetes_validate.validate(thing, "1.37", strict=True)
    assert server(objects)["image"].startswith("registry.example/metricsapi:")
    assert server(objects)["securityContext"]["runAsUser"] == 1000
    settings, parsed = read_settings(server(objects)["args"], {})
    assert parsed.problems == []
    assert settings.kubelet.resolution == 15.0


# What a key of metrics-server's chart does here: values, and where the effect is seen.
EFFECTS = [
    ({"nameOverride": "usage"}, lambda o: labels_of(o)["app.kubernetes.io/name"], "usage"),
    ({"commonLabels": {"team": "a"}}, lambda o: labels_of(o)["team"], "a"),
    ({"podLabels": {"team": "a"}}, lambda o: template_of(o)["labels"]["team"], "a"),
    ({"podAnnotations": {"x": "y"}}, lambda o: template_of(o)["annotations"], {"x": "y"}),
    ({"hostUsers": False}, lambda o: only_pod(o)["hostUsers"], False),
    ({"priorityClassName": "mine"}, lambda o: only_pod(o)["priorityClassName"], "mine"),
    ({"schedulerName": "mine"}, lambda o: only_pod(o)["schedulerName"], "mine"),
    ({"replicas": 3}, lambda o: only(o, "Deployment")["spec"]["replicas"], 3),
    (
        {"revisionHistoryLimit": 0},
        lambda o: only(o, "Deployment")["spec"]["revisionHistoryLimit"],
        0,
    ),
    (
        {"updateStrategy": {"type": "Recreate"}},
        lambda o: only(o, "Deployment")["spec"]["strategy"],
        {"type": "Recreate"},
    ),
    (
        {"podDisruptionBudget": {"enabled": True, "maxUnavailable": 1}},
        lambda o: only(o, "PodDisruptionBudget")["spec"]["maxUnavailable"],
        1,
    ),
    (
        {"podDisruptionBudget": {"enabled": True}},
        lambda o: only(o, "PodDisruptionBudget")["spec"]["minAvailable"],
        1,
    ),
    (
        {"serviceAccount": {"secrets": [{"name": "pull"}]}},
        lambda o: only(o, "ServiceAccount")["secrets"],
        [{"name": "pull"}],
    ),
    ({"containerPort": 8443}, lambda o: "--secure-port=8443" in only_server(o)["args"], True),
    (
        {"containerPort": 8443, "hostNetwork": {"enabled": True}},
        lambda o: only_server(o)["ports"][0]["containerPort"],
        8443,
    ),
    (
        {"hostNetwork": {"enabled": True}},  # where the kubelet has 10250
        lambda o: only_server(o)["ports"][0]["containerPort"],
        4443,
    ),
    (
        {"tmpVolume": {"hostPath": {"path": "/x"}}},
        tmp_of,
        {"hostPath": {"path": "/x"}},
    ),
    ({"service": {"port": 8443}}, lambda o: api_service(o)["spec"]["service"]["port"], 8443),
    (
        {"metrics": {"enabled": True}},
        lambda o: any("/metrics" in flag for flag in only_server(o)["args"]),
        True,
    ),
    (
        {"serviceMonitor": {"enabled": True, "jobLabel": "app.kubernetes.io/instance"}},
        lambda o: only(o, "ServiceMonitor")["spec"]["jobLabel"],
        "app.kubernetes.io/instance",
    ),
    (
        {"serviceMonitor": {"enabled": True, "interval": ""}},
        lambda o: "interval" in only(o, "ServiceMonitor")["spec"]["endpoints"][0],
        False,
    ),
    ({"readinessProbe": {"initialDelaySeconds": 3}}, delay_of, 3),
    (
        {"tls": {"type": "existingSecret", "existingSecret": {"name": "mine"}}},
        lambda o: only_pod(o)["volumes"][1]["secret"],
        {"secretName": "mine"},
    ),
    (
        {"tls": {"type": "cert-manager", "certManager": {"duration": "2160h"}}},
        lambda o: only(o, "Certificate", "metrics-server")["spec"]["duration"],
        "2160h",
    ),
    ({"apiService": {"create": False}}, lambda o: [k for k, _, _ in o].count("APIService"), 0),
    ({"nodes": 1000}, lambda o: only_server(o)["resources"]["requests"]["memory"], "550Mi"),
]


@pytest.mark.parametrize(
    ("values", "seen", "expected"),
    EFFECTS,
    ids=lambda part: str(part) if isinstance(part, dict) else "",
)
def test_a_key_has_its_effect_among_the_whole_values(values, seen, expected):
    assert seen(render(its_values(**values))) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"addonResizer": {"enabled": True}}, "set nodes"),
        ({"tls": {"type": "helm"}}, "use metrics-server"),
        ({"apiService": {"caBundle": "PEM"}}, "set insecureSkipTLSVerify to false"),
        ({"tls": {"type": "existingSecret"}}, "tls.existingSecret.name"),
    ],
)
def test_a_key_without_its_effect_says_what_to_do_instead(values, message):
    with pytest.raises(helm.HelmError, match=message):
        render(its_values(**values))


@pytest.mark.parametrize(
    "repository",
    [
        "registry.k8s.io/metrics-server/metrics-server",
        "k8s.gcr.io/metrics-server/metrics-server",
        "registry.example:5000/mirror/metrics-server/metrics-server",
        "k8s.gcr.io/metrics-server-amd64",
        "rancher/mirrored-metrics-server",
        "bitnami/metrics-server",
        "metrics-server",
    ],
)
def test_an_image_of_metrics_server_is_refused_by_name(repository):
    with pytest.raises(helm.HelmError, match=f"image.repository: {repository}"):
        render({"image": {"repository": repository}})


@pytest.mark.parametrize(
    "repository",
    [
        "metricsapi",
        "registry.example/metrics-server/metricsapi",
        "metrics-server.example/metricsapi",
    ],
)
def test_other_images_are_taken(repository):
    assert only_server(render({"image": {"repository": repository}}))["image"].startswith(
        repository
    )


def documented_values():
    """The values that docs/migration.md gives for the upgrade of a release."""
    section = (ROOT / "docs" / "migration.md").read_text().split("## Installed with Helm")[1]
    text = section.split("```yaml\n")[1].split("```")[0]
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    ("release", "name"), [("metrics-server", "metrics-server"), ("ms", "ms-metrics-server")]
)
@pytest.mark.parametrize("whole", [False, True], ids=["few values", "all values"])
def test_a_release_is_upgraded_in_place_by_the_documented_values(release, name, whole):
    """Names and what no update can change are those that metrics-server's chart rendered."""
    values = merged(ITS_VALUES if whole else {}, documented_values())
    objects = render(values, name=release)
    selected = {
        "app.kubernetes.io/name": "metrics-server",
        "app.kubernetes.io/instance": release,
    }
    spec = of(objects, "Deployment", name)["spec"]
    assert spec["selector"] == {"matchLabels": selected}
    assert spec["template"]["metadata"]["labels"].items() >= selected.items()
    assert spec["template"]["spec"]["serviceAccountName"] == name
    service = of(objects, "Service", name)["spec"]
    assert service["selector"] == selected
    assert [port["name"] for port in service["ports"]] == ["https"]
    assert api_service(objects)["spec"]["service"]["name"] == name
    for kind, namespace, binding, role in (
        ("ClusterRoleBinding", "", f"system:{name}", f"system:{name}"),
        ("ClusterRoleBinding", "", f"{name}:system:auth-delegator", "system:auth-delegator"),
        ("RoleBinding", SYSTEM, f"{name}-auth-reader", "extension-apiserver-authentication-reader"),
    ):
        assert of(objects, kind, binding, namespace)["roleRef"]["name"] == role
    for thing in objects.values():
        labels = thing["metadata"]["labels"]
        assert labels.items() >= selected.items()
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"].startswith("metricsapi-")


@pytest.mark.parametrize(
    ("nodes", "requests"),
    [
        (1, {"cpu": "100m", "memory": "150Mi"}),
        (1000, {"cpu": "200m", "memory": "550Mi"}),
        (5000, {"cpu": "600m", "memory": "2150Mi"}),
    ],
)
def test_requests_follow_the_number_of_nodes(nodes, requests):
    objects = render({"nodes": nodes, "resources": {"limits": {"memory": "4Gi"}}})
    assert server(objects)["resources"] == {"requests": requests, "limits": {"memory": "4Gi"}}


def test_false_is_not_rendered_since_the_api_server_drops_it():
    assert "insecureSkipTLSVerify" not in api_service(render())["spec"]
    assert api_service(render({"apiService": {"insecureSkipTLSVerify": True}}))["spec"][
        "insecureSkipTLSVerify"
    ]
