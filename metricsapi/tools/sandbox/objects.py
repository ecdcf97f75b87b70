"""The objects of the embedded cluster: nodes and pods, and those of the server itself."""

from __future__ import annotations

import time
from typing import Any

import psutil

from metricsapi.tools.sandbox.host import Host, host_uid
from metricsapi.tools.sandbox.state import Cluster, timestamp
from metricsapi.tools.sandbox.synthetic import SyntheticNode, synthetic_uid

NAMESPACE = "kube-system"
SERVICE = "metrics-server"
SERVER = f"system:serviceaccount:{NAMESPACE}:{SERVICE}"
_RBAC = "rbac.authorization.k8s.io"
Object = dict[str, Any]
# The status of a Deployment of one replica whose pod is ready.
DEPLOYED = {
    "observedGeneration": 1,
    "replicas": 1,
    "updatedReplicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
}


PODS = 110  # the kubelet's own default
HOST_PODS = 2000  # each process of this machine is a pod


def node_object(
    name: str,
    labels: dict[str, str],
    port: int,
    *,
    cores: int,
    memory: int,
    pods: int = PODS,
    info: Object,
    address: str = "127.0.0.1",
) -> Object:
    """Return a Ready node whose kubelet listens on a loopback address; `memory` in bytes.

    It has room for `pods` pods: a response that lists far more is refused.
    """
    amounts = {"cpu": str(cores), "memory": f"{memory // 1024}Ki", "pods": str(pods)}
    now = timestamp(time.time())
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": name},
            ],
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [ready],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "nodeInfo": info,
        },
    }


def host_node(host: Host, port: int) -> Object:
    labels = {"kubernetes.io/hostname": host.name, "kubernetes.io/os": "linux"}
    return node_object(
        host.name,
        labels,
        port,
        cores=psutil.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        pods=HOST_PODS,
        info=host.info(),
    )


def synthetic_node_object(
    node: SyntheticNode, address: str, port: int, host: Host, *, swap: int = 0
) -> Object:
    """Return the node; `swap` is its capacity in bytes, of which kubectl shows a part."""
    info: Object = {**host.info()}
    if swap:
        info["swap"] = {"capacity": swap}
    return node_object(
        node.name,
        node.labels,
        port,
        cores=8,
        memory=32 * 2**30,
        pods=max(PODS, len(node.pods)),
        info=info,
        address=address,
    )


def pod_object(
    namespace: str,
    name: str,
    node: str,
    containers: list[str],
    labels: dict[str, str],
    *,
    uid: str = "",
) -> Object:
    """Return a Running pod; its uid has to be its kubelet's, by default a synthetic pod's."""
    uid = uid or synthetic_uid(name)
    return {
        "metadata": {"namespace": namespace, "name": name, "uid": uid, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": c} for c in containers]},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "127.0.0.1"},
    }


def follow_host(cluster: Cluster, host: Host, namespace: str) -> None:
    """Create and delete pods so that they are those that run on this machine now."""
    current = {(pod.name, host_uid(*key)): (key, pod) for key, pod in host.pods.items()}
    known = {
        (item["metadata"]["name"], item["metadata"]["uid"])
        for item in cluster.list("pods", namespace)
        if item["spec"]["nodeName"] == host.name
    }
    for name, _ in known - current.keys():
        cluster.delete("pods", name, namespace)
    for name, uid in current.keys() - known:
        key, pod = current[name, uid]
        labels = {"app": pod.container}
        item = pod_object(namespace, name, host.name, [pod.container], labels, uid=uid)
        item["status"]["startTime"] = timestamp(key[1])
        cluster.apply("pods", item)


def install(cluster: Cluster, node: str) -> None:
    """Apply what the server's own manifests would: RBAC, Service, Pod and APIService."""
    install_rbac(cluster)
    labels = {"k8s-app": SERVICE}
    metadata = {"namespace": NAMESPACE, "name": SERVICE, "labels": labels}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": SERVICE, "image": "metricsapi"}]},
    }
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    cluster.apply(
        "deployments",
        {"metadata": metadata, "spec": deployment, "status": DEPLOYED},
    )
    cluster.apply(
        "services",
        {
            "metadata": metadata,
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "10.96.0.10",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP"}],
                "selector": labels,
            },
        },
    )
    cluster.apply("pods", pod_object(NAMESPACE, f"{SERVICE}-0", node, [SERVICE], labels))
    cluster.apply(
        "apiservices",
        {
            "metadata": {"name": "v1beta1.metrics.k8s.io", "labels": labels},
            "spec": {
                "service": {"name": SERVICE, "namespace": NAMESPACE, "port": 443},
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    )


def install_rbac(cluster: Cluster) -> None:
    """Create the roles and bindings of the server's manifests, and no other."""
    account = {"kind": "ServiceAccount", "namespace": NAMESPACE, "name": SERVICE}

    def bind(plural: str, namespace: str, name: str, kind: str, role: str) -> None:
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        reference = {"apiGroup": _RBAC, "kind": kind, "name": role}
        cluster.apply(plural, {"metadata": metadata, "roleRef": reference, "subjects": [account]})

    cluster.apply(
        "clusterroles",
        {
            "metadata": {"name": "system:metrics-server"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["nodes/stats", "nodes/metrics"],
                    "verbs": ["get"],
                },
                {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]},
            ],
        },
    )
    bind("clusterrolebindings", "", "system:metrics-server", "ClusterRole", "system:metrics-server")
    bind(
        "clusterrolebindings",
        "",
        "metrics-server:system:auth-delegator",
        "ClusterRole",
        "system:auth-delegator",
    )
    role = "extension-apiserver-authentication-reader"
    bind("rolebindings", NAMESPACE, "metrics-server-auth-reader", "Role", role)
