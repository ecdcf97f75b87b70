"""What matters of metrics-server's own objects, as its components.yaml and its chart have them."""

import yaml

SYSTEM = "kube-system"
IMAGE = "registry.k8s.io/metrics-server/metrics-server:v0.8.1"


def of_metrics_server(selector, readers, **labels):
    """Return its objects as YAML: what selects its pods, its role for readers, labels of all."""
    account = [{"kind": "ServiceAccount", "name": "metrics-server", "namespace": SYSTEM}]
    rbac = "rbac.authorization.k8s.io/v1"

    def thing(version, kind, name, namespace=None, **content):
        metadata = {"name": name, "labels": selector | labels}
        if namespace:
            metadata["namespace"] = namespace
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}

    def role(name, *rules):
        rules = [
            dict(zip(("apiGroups", "resources", "verbs"), rule, strict=True)) for rule in rules
        ]
        return thing(rbac, "ClusterRole", name, rules=rules)

    def binding(kind, name, role_kind, role_name, namespace=None):
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role_name}
        return thing(rbac, kind, name, namespace, roleRef=reference, subjects=account)

    read = ["get", "list", "watch"]
    container = {
        "name": "metrics-server",
        "image": IMAGE,
        "args": ["--cert-dir=/cert", "--secure-port=10250", "--metric-resolution=15s"],
        "ports": [{"name": "https", "containerPort": 10250, "protocol": "TCP"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/cert"}],
    }
    pod = {
        "serviceAccountName": "metrics-server",
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    deployment = {
        "selector": {"matchLabels": selector},
        "strategy": {"rollingUpdate": {"maxUnavailable": 0}},
        "template": {"metadata": {"labels": selector}, "spec": pod},
    }
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": "https"}
    service = {"name": "metrics-server", "namespace": SYSTEM, "port": 443}
    registration = {"group": "metrics.k8s.io", "version": "v1beta1", "service": service}
    registration |= {"groupPriorityMinimum": 100, "versionPriority": 100}
    registration["insecureSkipTLSVerify"] = True
    objects = [
        thing("v1", "ServiceAccount", "metrics-server", SYSTEM),
        role(readers, (["metrics.k8s.io"], ["pods", "nodes"], read)),
        role(
            "system:metrics-server",
            ([""], ["nodes/metrics"], ["get"]),
            ([""], ["pods", "nodes"], read),
        ),
        binding(
            "ClusterRoleBinding", "system:metrics-server", "ClusterRole", "system:metrics-server"
        ),
        binding(
            "ClusterRoleBinding",
            "metrics-server:system:auth-delegator",
            "ClusterRole",
            "system:auth-delegator",
        ),
        binding(
            "RoleBinding",
            "metrics-server-auth-reader",
            "Role",
            "extension-apiserver-authentication-reader",
            SYSTEM,
        ),
        thing(
            "v1", "Service", "metrics-server", SYSTEM, spec={"selector": selector, "ports": [port]}
        ),
        thing("apps/v1", "Deployment", "metrics-server", SYSTEM, spec=deployment),
        thing(
            "apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io", spec=registration
        ),
    ]
    return yaml.safe_dump_all(objects)


COMPONENTS = of_metrics_server({"k8s-app": "metrics-server"}, "system:aggregated-metrics-reader")
RELEASE = of_metrics_server(
    {"app.kubernetes.io/name": "metrics-server", "app.kubernetes.io/instance": "metrics-server"},
    "system:metrics-server-aggregated-reader",
    **{"app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "metrics-server-3.13.1"},
)
