"""The schemas of everything we serve, in one place: both OpenAPI versions are made from it.

A schema is written as OpenAPI v3 has it in Kubernetes, with `default`s, and with references as
`{"ref": NAME}`; `openapi` spells those out for each version.
"""

from __future__ import annotations

from typing import Any

from metricsapi.api.resource import GROUP, VERSIONS

Schema = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
INFO = "io.k8s.apimachinery.pkg.version.Info"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_KIND = "Kind is a string value representing the REST resource this object represents."
_VERSION = "APIVersion defines the versioned schema of this representation of an object."


def metrics(version: str) -> str:
    """Give what the names of the group's schemas of one version begin with."""
    return f"io.k8s.metrics.pkg.apis.metrics.{version}."


def text(description: str = "", *, required: bool = False) -> Schema:
    return _described({"type": "string"} | ({"default": ""} if required else {}), description)


def boolean(description: str = "", *, required: bool = False) -> Schema:
    return _described({"type": "boolean"} | ({"default": False} if required else {}), description)


def integer(description: str = "") -> Schema:
    return _described({"type": "integer", "format": "int64"}, description)


def reference(name: str, description: str = "", *, default: Any = ()) -> Schema:
    """Refer to another schema; `default` stands beside the reference, () for none."""
    return _described({"ref": name} | ({} if default == () else {"default": default}), description)


def array(items: Schema, description: str = "", *, kind: str = "atomic", **more: str) -> Schema:
    lists = {"x-kubernetes-list-type": kind} if kind else {}
    merges = {f"x-kubernetes-{key.replace('_', '-')}": value for key, value in more.items()}
    return _described({"type": "array", "items": items, **lists, **merges}, description)


def mapping(values: Schema, description: str = "") -> Schema:
    return _described({"type": "object", "additionalProperties": values}, description)


def record(
    description: str,
    properties: dict[str, Schema],
    required: str = "",
    kind: tuple[str, str, str] | None = None,
) -> Schema:
    """Give an object; `required` are names between spaces, `kind` its (group, kind, version)."""
    found: Schema = _described({"type": "object"}, description)
    if required:
        found["required"] = required.split()
    if kind is not None:
        properties = properties | {"apiVersion": text(_VERSION), "kind": text(_KIND)}
        group, name, version = kind
        gvk = {"group": group, "kind": name, "version": version}
        found["x-kubernetes-group-version-kind"] = [gvk]
    if properties:
        found["properties"] = dict(sorted(properties.items()))
    return found


def _described(schema: Schema, description: str) -> Schema:
    return {"description": description, **schema} if description else schema


def own_schemas(version: str) -> dict[str, Schema]:
    """Give the schemas of our group in one version, by full name."""
    prefix = metrics(version)
    usage = mapping(reference(QUANTITY, default={}), "The memory usage is the memory working set.")
    measured = {
        "metadata": reference(META + "ObjectMeta", "Standard object's metadata.", default={}),
        "timestamp": reference(
            META + "Time",
            "The time that usage was measured at: the end of the window. Of a pod, that of its "
            "container with the earliest.",
            default={},
        ),
        "window": reference(
            META + "Duration",
            "The time over which CPU usage is an average: [timestamp-window, timestamp].",
            default=0,
        ),
    }
    containers = array(
        reference(prefix + "ContainerMetrics", default={}),
        "Metrics for all containers are collected within the same time window.",
    )
    found = {
        "ContainerMetrics": record(
            "ContainerMetrics sets resource usage metrics of a container.",
            {
                "name": text(
                    "Container name corresponding to the one from pod.spec.containers.",
                    required=True,
                ),
                "usage": usage,
            },
            "name usage",
        ),
        "NodeMetrics": record(
            "NodeMetrics sets resource usage metrics of a node.",
            {**measured, "usage": usage},
            "timestamp window usage",
            (GROUP, "NodeMetrics", version),
        ),
        "PodMetrics": record(
            "PodMetrics sets resource usage metrics of a pod.",
            {**measured, "containers": containers},
            "timestamp window containers",
            (GROUP, "PodMetrics", version),
        ),
    }
    for kind in ("NodeMetrics", "PodMetrics"):
        found[f"{kind}List"] = record(
            f"{kind}List is a list of {kind}.",
            {
                "metadata": reference(META + "ListMeta", "Standard list metadata.", default={}),
                "items": array(reference(prefix + kind, default={}), f"List of {kind}.", kind=""),
            },
            "items",
            (GROUP, f"{kind}List", version),
        )
    return {prefix + name: schema for name, schema in found.items()}


def _discovery_schemas() -> dict[str, Schema]:
    names = array(text(required=True))
    version = reference(META + "GroupVersionForDiscovery", default={})
    versions = array(version, "versions are the versions supported in this group.")
    preferred = reference(
        META + "GroupVersionForDiscovery", "The version that clients should use.", default={}
    )
    groups = array(reference(META + "APIGroup", default={}))
    servers = array(reference(META + "ServerAddressByClientCIDR", default={}))
    resources = array(reference(META + "APIResource", default={}))
    resource = {
        "categories": names,
        "group": text(),
        "kind": text("kind of the resource's objects", required=True),
        "name": text("plural name of the resource", required=True),
        "namespaced": boolean("whether the resource is namespaced", required=True),
        "shortNames": names,
        "singularName": text(required=True),
        "storageVersionHash": text(),
        "verbs": array(text(required=True), "verbs that the resource supports", kind=""),
        "version": text(),
    }
    return {
        "APIGroup": record(
            "APIGroup contains the name, the supported versions, and the preferred version.",
            {
                "name": text("name of the group", required=True),
                "preferredVersion": preferred,
                "serverAddressByClientCIDRs": servers,
                "versions": versions,
            },
            "name versions",
            ("", "APIGroup", "v1"),
        ),
        "APIGroupList": record(
            "APIGroupList is a list of APIGroup.",
            {"groups": groups},
            "groups",
            ("", "APIGroupList", "v1"),
        ),
        "APIResource": record(
            "APIResource specifies the name of a resource and whether it is namespaced.",
            resource,
            "name singularName namespaced kind verbs",
        ),
        "APIResourceList": record(
            "APIResourceList is a list of the resources of a group and version.",
            {"groupVersion": text("group/version", required=True), "resources": resources},
            "groupVersion resources",
            ("", "APIResourceList", "v1"),
        ),
        "GroupVersionForDiscovery": record(
            "GroupVersionForDiscovery is a group and version together, and the version.",
            {"groupVersion": text(required=True), "version": text(required=True)},
            "groupVersion version",
        ),
        "ServerAddressByClientCIDR": record(
            "ServerAddressByClientCIDR says which address clients of a network should use.",
            {"clientCIDR": text(required=True), "serverAddress": text(required=True)},
            "clientCIDR serverAddress",
        ),
    }


def _object_schemas() -> dict[str, Schema]:
    time = reference(META + "Time")
    entries = array(reference(META + "ManagedFieldsEntry", default={}))
    owners = array(
        reference(META + "OwnerReference", default={}),
        kind="map",
        patch_merge_key="uid",
        patch_strategy="merge",
    )
    owners["x-kubernetes-list-map-keys"] = ["uid"]
    texts = mapping(text(required=True))
    owner = {
        "apiVersion": text(required=True),
        "blockOwnerDeletion": boolean(),
        "controller": boolean(),
        "kind": text(required=True),
        "name": text(required=True),
        "uid": text(required=True),
    }
    return {
        "Duration": text("Duration is a Go duration, such as 1m30s."),
        "FieldsV1": record("FieldsV1 stores a set of fields.", {}),
        "ListMeta": record(
            "ListMeta describes metadata of lists.",
            {
                "continue": text("Set when there are more items; give it to get the next page."),
                "remainingItemCount": integer("How many items follow; an estimate."),
                "resourceVersion": text("Never set: usage has no versions."),
                "selfLink": text(),
            },
        ),
        "ManagedFieldsEntry": record(
            "ManagedFieldsEntry is a set of fields and who manages it.",
            {
                **{name: text() for name in ("apiVersion", "fieldsType", "manager", "operation")},
                "fieldsV1": reference(META + "FieldsV1"),
                "subresource": text(),
                "time": time,
            },
        ),
        "ObjectMeta": record(
            "ObjectMeta is metadata of objects. Ours have a name, a namespace, labels and the "
            "time of the measurement.",
            {
                "annotations": texts,
                "creationTimestamp": reference(
                    META + "Time", "The time that usage was measured at.", default={}
                ),
                "deletionGracePeriodSeconds": integer(),
                "deletionTimestamp": time,
                "finalizers": array(text(required=True), kind="set", patch_strategy="merge"),
                "generateName": text(),
                "generation": integer(),
                "labels": mapping(text(required=True), "The labels of the node or pod."),
                "managedFields": entries,
                "name": text("The name of the node or pod."),
                "namespace": text("The namespace of the pod."),
                "ownerReferences": owners,
                "resourceVersion": text(),
                "selfLink": text(),
                "uid": text(),
            },
        ),
        "OwnerReference": {
            **record("OwnerReference identifies an owner.", owner, "apiVersion kind name uid"),
            "x-kubernetes-map-type": "atomic",
        },
        "Time": _described(
            {"type": "string", "format": "date-time"}, "Time is a time as RFC 3339 has it."
        ),
    }


def _info() -> Schema:
    required = "major minor gitVersion gitCommit gitTreeState buildDate goVersion compiler platform"
    properties = {name: text(required=True) for name in required.split()}
    optional = (
        "emulationMajor",
        "emulationMinor",
        "minCompatibilityMajor",
        "minCompatibilityMinor",
    )
    properties |= {name: text() for name in optional}
    return record("Info says what a server is.", properties, required)


def all_schemas() -> dict[str, Schema]:
    """Give every schema by its full name, sorted."""
    found = {META + name: schema for name, schema in _discovery_schemas().items()}
    found |= {META + name: schema for name, schema in _object_schemas().items()}
    for version in VERSIONS:
        found |= own_schemas(version)
    found[QUANTITY] = _described(
        {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "Quantity is a fixed-point number with a suffix: 150m, 2, 496Ki.",
    )
    found[INFO] = _info()
    return dict(sorted(found.items()))
