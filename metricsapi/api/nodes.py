"""The resource `nodes`: NodeMetrics."""

from __future__ import annotations

from metricsapi.api.catalog import Catalog
from metricsapi.api.render import json, protobuf
from metricsapi.api.resource import Resource
from metricsapi.kube.field_selectors import NAME, NAMESPACE


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
