"""The fields of an APIService that say which servers its callers verify."""

from __future__ import annotations

from typing import Any

from metricsapi.kube.decoding import json_object
from metricsapi.server.tls.ca_rotation import bundle_certificates

APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
V1, V1BETA1 = "v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"
_DEFAULT_PORT = 443  # of an APIService's Service

Object = dict[str, Any]


def spec_of(item: Object) -> dict[str, Any]:
    """Return the spec; empty for one that is none."""
    return json_object(item.get("spec"))


def port_of(item: Object) -> int:
    """Return the port of the Service."""
    port = json_object(spec_of(item).get("service")).get("port")
    return port if isinstance(port, int) else _DEFAULT_PORT


def certificates_of(item: Object) -> frozenset[bytes]:
    """Return the usable certificates (PEM) of the caBundle."""
    return bundle_certificates(spec_of(item).get("caBundle") or "")


def published_certificates(items: list[Object]) -> frozenset[bytes]:
    """Return the certificates that are in the bundle of every one of these APIServices."""
    bundles = [certificates_of(item) for item in items]
    return frozenset.intersection(*bundles) if bundles else frozenset()


def verifies_nobody(item: Object) -> bool:
    """Return whether the API server refuses every server: it verifies, and has no CA for that."""
    spec = spec_of(item)
    return not spec.get("caBundle") and not spec.get("insecureSkipTLSVerify")
