"""The roles that every cluster has, as kube-apiserver makes them at its start."""

from __future__ import annotations

import time
from typing import Any

from metricsapi.tools.sandbox.kinds import KINDS, REVIEWS
from metricsapi.tools.sandbox.state import Cluster, timestamp

Object = dict[str, Any]
_RBAC = "rbac.authorization.k8s.io"
_AUTHENTICATED = ("system:authenticated",)
_EVERYBODY = ("system:authenticated", "system:unauthenticated")


def apply_builtin_roles(cluster: Cluster) -> None:
    """Make the roles and bindings that a new cluster starts with."""
    for name, rules in _ROLES.items():
        cluster.apply("clusterroles", {"metadata": {"name": name}, "rules": rules})
    for name in ("admin", "edit", "view"):
        label = {f"{_RBAC}/aggregate-to-{name}": "true"}
        cluster.apply(
            "clusterroles",
            {
                "metadata": {"name": name},
                "rules": _VIEW,
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": label}]},
            },
        )
    for name, groups in _BINDINGS.items():
        cluster.apply(
            "clusterrolebindings",
            {
                "metadata": {"name": name},
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": g} for g in groups],
            },
        )
    cluster.apply(
        "roles",
        {
            "metadata": {
                "namespace": "kube-system",
                "name": "extension-apiserver-authentication-reader",
            },
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps"],
                    "resourceNames": ["extension-apiserver-authentication"],
                    "verbs": ["get", "list", "watch"],
                }
            ],
        },
    )


def apply_local_services(cluster: Cluster) -> None:
    """Make the APIServices of the groups that the API server serves itself."""
    served = {(kind.group, kind.version) for kind in (*KINDS, *REVIEWS)}
    for group, version in sorted(served):
        condition = {
            "type": "Available",
            "status": "True",
            "reason": "Local",
            "message": "Local APIServices are always available",
            "lastTransitionTime": timestamp(time.time()),
        }
        spec = {
            "version": version,
            "groupPriorityMinimum": 17000 if group else 18000,
            "versionPriority": 15 if group else 1,
        }
        cluster.apply(
            "apiservices",
            {
                "metadata": {"name": f"{version}.{group}", "labels": _LOCAL},
                "spec": spec | ({"group": group} if group else {}),
                "status": {"conditions": [condition]},
            },
        )


_LOCAL = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
_VIEW: list[Object] = [
    {
        "apiGroups": ["", "apps"],
        "resources": ["pods", "services", "configmaps", "deployments", "serviceaccounts"],
        "verbs": ["get", "list", "watch"],
    }
]
_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "system:discovery": [
        {
            "nonResourceURLs": [
                "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi",
                "/openapi/*", "/readyz", "/version", "/version/",
            ],
            "verbs": ["get"],
        }
    ],
    "system:public-info-viewer": [
        {
            "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
            "verbs": ["get"],
        }
    ],
    "system:basic-user": [
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["selfsubjectreviews"],
            "verbs": ["create"],
        },
    ],
    "system:auth-delegator": [
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["tokenreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["subjectaccessreviews"],
            "verbs": ["create"],
        },
    ],
}  # fmt: skip
_BINDINGS = {
    "system:discovery": _AUTHENTICATED,
    "system:basic-user": _AUTHENTICATED,
    "system:public-info-viewer": _EVERYBODY,
    "cluster-admin": ("system:masters", "kubeadm:cluster-admins"),
}
