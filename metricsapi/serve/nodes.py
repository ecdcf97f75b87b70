"""The resource `nodes`: NodeMetrics."""

from __future__ import annotations

from metricsapi.kube.fields import NAME, NAMESPACE
from metricsapi.serve.catalog import Catalog
from metricsapi.serve.render import json, protobuf
from metricsapi.serve.resource import Resource


def nodes(catalog: Catalog) -> Resource:
    """Give the resource over a catalog's nodes."""
    return Resource(
        name="nodes",
        kind="NodeMetrics",
        singular="node",
        namespaced=False,
        fields=(NAME, NAMESPACE),
        objects=catalog.nodes,
        usages=catalog.node_usages,
        encode_json=json.node_item,
        encode_protobuf=protobuf.node_item,
    )
