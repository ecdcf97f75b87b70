"""The kinds of objects that the stand-in API server knows, and where each is in the API."""

from __future__ import annotations

from dataclasses import dataclass

_METADATA_FIELDS = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where it is in the API. `group` is empty for the core API.

    `fields` are those that a field selector may name besides `metadata.name` and
    `metadata.namespace`. `phase` is what the status of a new object says.
    """

    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    fields: frozenset[str] = frozenset()
    categories: tuple[str, ...] = ()
    phase: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def resource(self) -> str:
        """Its name in messages: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def selectable(self) -> frozenset[str]:
        return _METADATA_FIELDS | self.fields


_ALL = ("all",)
_RBAC = "rbac.authorization.k8s.io"
_POD_FIELDS = frozenset({
    "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
    "status.phase", "status.podIP", "status.nominatedNodeName",
})  # fmt: skip
KINDS = (
    Kind(
        "Namespace",
        "namespaces",
        namespaced=False,
        short=("ns",),
        fields=frozenset({"status.phase"}),
        phase="Active",
    ),
    Kind(
        "Node", "nodes", namespaced=False, short=("no",), fields=frozenset({"spec.unschedulable"})
    ),
    Kind("Pod", "pods", short=("po",), fields=_POD_FIELDS, categories=_ALL, phase="Pending"),
    Kind(
        "Service",
        "services",
        short=("svc",),
        fields=frozenset({"spec.clusterIP", "spec.type"}),
        categories=_ALL,
    ),
    Kind("ConfigMap", "configmaps", short=("cm",)),
    Kind(
        "Event",
        "events",
        short=("ev",),
        fields=frozenset(
            {
                "involvedObject.kind",
                "involvedObject.name",
                "involvedObject.namespace",
                "involvedObject.uid",
                "reason",
                "type",
            }
        ),
    ),
    Kind("Secret", "secrets", fields=frozenset({"type"})),
    Kind("ServiceAccount", "serviceaccounts", short=("sa",)),
    Kind("Deployment", "deployments", "apps", short=("deploy",), categories=_ALL),
    Kind("APIService", "apiservices", "apiregistration.k8s.io", namespaced=False),
    Kind("ClusterRole", "clusterroles", _RBAC, namespaced=False),
    Kind("ClusterRoleBinding", "clusterrolebindings", _RBAC, namespaced=False),
    Kind("Role", "roles", _RBAC),
    Kind("RoleBinding", "rolebindings", _RBAC),
    Kind("EndpointSlice", "endpointslices", "discovery.k8s.io"),
    Kind("Lease", "leases", "coordination.k8s.io"),
    Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy", short=("pdb",)),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io", short=("netpol",)),
    Kind("ServiceMonitor", "servicemonitors", "monitoring.coreos.com"),
)
_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
# What can only be created, and is answered instead of kept.
REVIEWS = (
    Kind("TokenReview", "tokenreviews", _AUTHENTICATION, namespaced=False),
    Kind("SelfSubjectReview", "selfsubjectreviews", _AUTHENTICATION, namespaced=False),
    Kind("LocalSubjectAccessReview", "localsubjectaccessreviews", _AUTHORIZATION),
    Kind("SelfSubjectAccessReview", "selfsubjectaccessreviews", _AUTHORIZATION, namespaced=False),
    Kind("SelfSubjectRulesReview", "selfsubjectrulesreviews", _AUTHORIZATION, namespaced=False),
    Kind("SubjectAccessReview", "subjectaccessreviews", _AUTHORIZATION, namespaced=False),
)
BY_KIND = {kind.kind: kind for kind in KINDS}
BY_PLURAL = {kind.plural: kind for kind in KINDS}
