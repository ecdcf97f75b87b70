"""The chart's knobs, as people know them from metrics-server's chart."""

import base64

import kubernetes_validate
import pytest

import metricsapi
from metricsapi.server.replicas.token_identity import AUDIENCE
from tests.install.charts import CHART, helm, render
from tests.install.objects import args, container, deployment, parse

SYSTEM = "kube-system"
CUSTOM = {"Certificate", "Issuer", "PrometheusRule", "ServiceMonitor"}


def pod(values):
    return deployment(render(values))["spec"]["template"]["spec"]


def api_service(objects):
    return objects["APIService", "", "v1beta1.metrics.k8s.io"]


def test_the_version_is_the_packages():
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == metricsapi.__version__
        assert chart.metadata["version"] == metricsapi.__version__


def test_no_file_of_the_chart_is_a_symbolic_link_which_gitops_tools_skip():
    assert [path for path in CHART.rglob("*") if path.is_symlink()] == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"repository": "here/metricsapi"}, f"here/metricsapi:{metricsapi.__version__}"),
        ({"repository": "here/metricsapi", "tag": "9"}, "here/metricsapi:9"),
        ({"digest": "sha256:" + "a" * 64}, "metricsapi@sha256:" + "a" * 64),
    ],
)
def test_image(image, expected):
    assert container(render({"image": image}))["image"] == expected


def test_args_come_last_so_that_they_win():
    assert args(render({"args": ["--metric-resolution=30s"]}))[-1] == "--metric-resolution=30s"


def test_values_that_go_into_the_pod_as_they_are():
    values = {
        "affinity": {"nodeAffinity": {}},
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"pool": "system"},
        "priorityClassName": "mine",
        "schedulerName": "other",
        "hostUsers": False,
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
        "imagePullSecrets": [{"name": "pull"}],
        "terminationGracePeriodSeconds": 90,
    }
    spec = pod(values)
    expected = values | {"nodeSelector": {"kubernetes.io/os": "linux", "pool": "system"}}
    assert {key: spec[key] for key in values} == expected


def test_resources_replace_the_defaults_one_by_one():
    values = {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}
    assert container(render(values))["resources"] == {
        "requests": {"cpu": "1", "memory": "200Mi"},
        "limits": {"memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("tls", "authority"),
    [
        ({"type": "cert-manager"}, "/tls/ca.crt"),
        ({"type": "existingSecret", "existingSecret": {"name": "mine"}}, "/tls/tls.crt"),
    ],
)
def test_replicas_with_a_certificate_of_others_know_each_other_by_tokens(tls, authority):
    objects = render({"replicas": 2, "tls": tls})
    flags = args(objects)
    assert "--leader-elect" in flags
    assert "--replica-token-file=/replica/token" in flags
    assert f"--replica-certificate-authority={authority}" in flags
    (mount,) = [m for m in container(objects)["volumeMounts"] if m["mountPath"] == "/replica"]
    volumes = deployment(objects)["spec"]["template"]["spec"]["volumes"]
    (source,) = [volume for volume in volumes if volume["name"] == mount["name"]]
    (projected,) = source["projected"]["sources"]
    assert projected["serviceAccountToken"]["audience"] == AUDIENCE
    assert ("Lease", SYSTEM, "metrics-server") in objects


@pytest.mark.parametrize("values", [{"replicas": 2}, {"tls": {"type": "cert-manager"}}])
def test_no_token_is_projected_where_none_is_needed(values):
    objects = render(values)
    assert not [flag for flag in args(objects) if flag.startswith("--replica-")]
    assert "replica-token" not in str(deployment(objects))


def test_replicas_spread_unless_an_affinity_says_otherwise():
    assert len(pod({"replicas": 2})["topologySpreadConstraints"]) == 2
    assert "topologySpreadConstraints" not in pod({"replicas": 1})
    assert "topologySpreadConstraints" not in pod({"replicas": 2, "affinity": {"podAffinity": {}}})


def test_another_name_is_followed_by_everything_that_refers_to_it():
    objects = render({"fullnameOverride": "usage"}, namespace="monitoring")
    assert api_service(objects)["spec"]["service"] == {"name": "usage", "namespace": "monitoring"}
    deployed = objects["Deployment", "monitoring", "usage"]["spec"]["template"]["spec"]
    assert deployed["serviceAccountName"] == "usage"
    flags = deployed["containers"][0]["args"]
    assert "--service-name=usage" in flags
    assert "--ca-secret-name=usage-ca" in flags
    (rule,) = objects["Role", "monitoring", "usage-ca"]["rules"]
    assert rule["resourceNames"] == ["usage-ca"]
    assert ("Secret", "monitoring", "usage-ca") in objects
    # The ConfigMap of the authentication is in kube-system, whatever the release's namespace.
    assert ("RoleBinding", SYSTEM, "usage-auth-reader") in objects


def test_unverified_by_wish_needs_no_ca_and_no_right_to_write_one():
    objects = render({"apiService": {"insecureSkipTLSVerify": True}})
    assert api_service(objects)["spec"]["insecureSkipTLSVerify"] is True
    assert "caBundle" not in api_service(objects)["spec"]
    assert "--manage-ca-bundle" not in args(objects)
    assert not [key for key in objects if key[0] in ("Secret", "Role")]
    assert ("ClusterRole", "", "metrics-server:ca-bundle") not in objects


def test_a_certificate_of_ones_own():
    values = {
        "tls": {"type": "existingSecret", "existingSecret": {"name": "mine"}},
        "apiService": {"caBundle": "PEM"},
    }
    objects = render(values)
    assert {"--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key"} <= {
        *args(objects)
    }
    assert "--manage-ca-bundle" not in args(objects)
    assert base64.b64decode(api_service(objects)["spec"]["caBundle"]) == b"PEM"
    volume = pod(values)["volumes"][1]
    assert volume == {"name": "certificate", "secret": {"secretName": "mine"}}


def test_a_certificate_of_cert_manager():
    objects = render({"tls": {"type": "cert-manager"}})
    annotations = api_service(objects)["metadata"]["annotations"]
    assert annotations == {"cert-manager.io/inject-ca-from": "kube-system/metrics-server"}
    certificate = objects["Certificate", SYSTEM, "metrics-server"]["spec"]
    assert "metrics-server.kube-system.svc" in certificate["dnsNames"]
    assert ("Issuer", SYSTEM, certificate["issuerRef"]["name"]) in objects
    secret = pod({"tls": {"type": "cert-manager"}})["volumes"][1]["secret"]["secretName"]
    assert secret == certificate["secretName"]


def test_the_right_values_take_the_place_of_a_release_of_metrics_servers_chart():
    """Its selector cannot be changed, so ours can be made the same."""
    labels = {"app.kubernetes.io/name": "metrics-server", "app.kubernetes.io/instance": "ms"}
    objects = render({"selectorLabels": labels | {"k8s-app": None}}, name="ms")
    assert deployment(objects)["spec"]["selector"] == {"matchLabels": labels}
    assert objects["Service", SYSTEM, "metrics-server"]["spec"]["selector"] == labels


EVERYTHING = {
    "replicas": 3,
    "apiService": {"v1": True, "annotations": {"a": "b"}},
    "podDisruptionBudget": {
        "enabled": True,
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    },
    "tls": {"type": "cert-manager", "certManager": {"duration": "2160h", "labels": {"a": "b"}}},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "additionalLabels": {"release": "prometheus"}},
    "grafanaDashboard": {"enabled": True},
    "service": {"type": "NodePort", "port": 8443, "labels": {"a": "b"}, "annotations": {"c": "d"}},
    "metrics": {"enabled": True},
    "podLabels": {"a": "b"},
    "podAnnotations": {"a": "b"},
    "deploymentAnnotations": {"a": "b"},
    "commonLabels": {"team": "platform"},
    "revisionHistoryLimit": 0,
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "updateStrategy": {"type": "Recreate"},
}


def test_everything_at_once_is_valid():
    objects = render(EVERYTHING)
    for thing in objects.values():
        assert thing["metadata"]["labels"]["team"] == "platform"
        if thing["kind"] not in CUSTOM:
            kubernetes_validate.validate(thing, "1.37", strict=True)
    assert api_service(objects)["spec"]["service"]["port"] == 8443


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replicas": "two"}, "replicas"),
        ({"replica": 2}, "replica"),
        ({"args": ["kubelet-insecure-tls"]}, "args"),
        ({"hostNetwork": {"enabled": True, "containerPort": 10250}}, "containerPort"),
        ({"addonResizer": {"enabled": True}}, "addonResizer"),
        ({"tls": {"type": "existingSecret"}}, "tls.existingSecret.name"),
        ({"tls": {"type": "helm"}}, "use metrics-server"),
        ({"image": {"digest": "latest"}}, "digest"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values, named):
    with pytest.raises(helm.HelmError, match=named):
        render(values)


def test_notes_say_what_to_look_at():
    with helm.Chart.load(CHART) as chart:
        files = chart.render({}, name="x", namespace="kube-system")
    notes = files["metricsapi/templates/NOTES.txt"]
    assert "kubectl get apiservice v1beta1.metrics.k8s.io" in notes
    assert parse(files["metricsapi/templates/secret.yaml"])
