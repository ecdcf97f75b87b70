"""The values of metrics-server's chart, and how Helm merges values."""

import copy

PROBE = {"periodSeconds": 10, "failureThreshold": 3}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
    "capabilities": {"drop": ["ALL"]},
}
# Every key of metrics-server's chart 3.13.1 and of its unreleased version, with its default;
# serviceMonitor.jobLabel, which its ServiceMonitor sets to a constant, is here too.
ITS_VALUES = {
    **dict.fromkeys(("nameOverride", "fullnameOverride", "namespaceOverride", "schedulerName"), ""),
    **{
        key: {}
        for key in (
            *("commonLabels", "podLabels", "podAnnotations", "deploymentAnnotations"),
            *("podSecurityContext", "updateStrategy", "nodeSelector", "affinity", "dnsConfig"),
        )
    },
    **{
        key: []
        for key in (
            *("imagePullSecrets", "args", "tolerations", "topologySpreadConstraints"),
            *("extraVolumes", "extraVolumeMounts"),
        )
    },
    "image": {
        "repository": "registry.k8s.io/metrics-server/metrics-server",
        "tag": "",
        "pullPolicy": "IfNotPresent",
    },
    "serviceAccount": {"create": True, "annotations": {}, "name": "", "secrets": []},
    "rbac": {"create": True, "pspEnabled": False},
    "apiService": {
        "create": True,
        "annotations": {},
        "insecureSkipTLSVerify": True,
        "caBundle": "",
    },
    "hostUsers": None,
    "securityContext": RESTRICTED,
    "priorityClassName": "system-cluster-critical",
    "containerPort": 10250,
    "hostNetwork": {"enabled": False},
    "replicas": 1,
    "revisionHistoryLimit": None,
    "podDisruptionBudget": {
        "enabled": False,
        "minAvailable": None,
        "maxUnavailable": None,
        "unhealthyPodEvictionPolicy": None,
    },
    "defaultArgs": [
        "--cert-dir=/tmp",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        "--kubelet-use-node-status-port",
        "--metric-resolution=15s",
    ],
    "livenessProbe": {
        "httpGet": {"path": "/livez", "port": "https", "scheme": "HTTPS"},
        "initialDelaySeconds": 0,
        **PROBE,
    },
    "readinessProbe": {
        "httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"},
        "initialDelaySeconds": 20,
        **PROBE,
    },
    "service": {"type": "ClusterIP", "port": 443, "annotations": {}, "labels": {}},
    "addonResizer": {
        "enabled": False,
        "image": {"repository": "registry.k8s.io/autoscaling/addon-resizer", "tag": "1.8.23"},
        "securityContext": RESTRICTED,
        "resources": {kind: {"cpu": "40m", "memory": "25Mi"} for kind in ("requests", "limits")},
        "nanny": {
            "cpu": "0m",
            "extraCpu": "1m",
            "memory": "0Mi",
            "extraMemory": "2Mi",
            "minClusterSize": 100,
            "pollPeriod": 300000,
            "threshold": 5,
        },
    },
    "metrics": {"enabled": False},
    "serviceMonitor": {
        "enabled": False,
        "jobLabel": "",
        "additionalLabels": {},
        "interval": "1m",
        "scrapeTimeout": "10s",
        "metricRelabelings": [],
        "relabelings": [],
    },
    "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}},
    "tmpVolume": {"emptyDir": {}},
    "tls": {
        "type": "metrics-server",
        "clusterDomain": "cluster.local",
        "certManager": {
            "addInjectorAnnotations": True,
            "existingIssuer": {"enabled": False, "kind": "Issuer", "name": "my-issuer"},
            "duration": "",
            "renewBefore": "",
            "annotations": {},
            "labels": {},
        },
        "helm": {"lookup": True, "certDurationDays": 365},
        "existingSecret": {"name": "", "lookup": True},
    },
}


def its_values(**changed):
    """metrics-server's whole values with an image of ours, and these sections merged in."""
    values = copy.deepcopy(ITS_VALUES)
    values["image"]["repository"] = "registry.example/metricsapi"
    for section, content in changed.items():
        if isinstance(content, dict) and isinstance(values.get(section), dict):
            values[section] = merged(values[section], content)
        else:
            values[section] = content
    return values


def merged(values, change):
    """Values with a change, as Helm merges them: maps by key, everything else as a whole."""
    both = {
        key: merged(values[key], value)
        for key, value in change.items()
        if isinstance(value, dict) and isinstance(values.get(key), dict)
    }
    return values | change | both
