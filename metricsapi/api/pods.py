"""The resource `pods`: PodMetrics."""

from __future__ import annotations

from metricsapi.api.catalog import Catalog
from metricsapi.api.render import json, protobuf
from metricsapi.api.resource import Resource
from metricsapi.kube.field_selectors import NAME, NAMESPACE, NODE_NAME


def pods(catalog: Catalog) -> Resource:
    """Give the resource over a catalog's pods. `spec.nodeName` goes beyond the reference."""
    return Resource(
        name="pods",
        kind="PodMetrics",
        singular="pods",
        namespaced=True,
        fields=(NAME, NAMESPACE, NODE_NAME),
        objects=catalog.pods,
        usages=catalog.pod_usages,
        encode_json=json.pod_item,
        encode_protobuf=protobuf.pod_item,
    )
