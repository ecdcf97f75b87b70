"""Kubernetes protobuf read by Google's library, by the published field numbers.

It shares nothing with our encoder: what it gives is what any client would see.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_TYPES = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}
# message: fields as "number name type", repeated with a star. Maps are repeated entries.
_MESSAGES = {
    "TypeMeta": ["1 apiVersion string", "2 kind string"],
    "Unknown": [
        "1 typeMeta TypeMeta",
        "2 raw bytes",
        "3 contentEncoding string",
        "4 contentType string",
    ],
    "StringEntry": ["1 key string", "2 value string"],
    "QuantityEntry": ["1 key string", "2 value Quantity"],
    "Quantity": ["1 string string"],
    "Time": ["1 seconds int64", "2 nanos int32"],
    "Duration": ["1 duration int64"],
    "ListMeta": [
        "1 selfLink string",
        "2 resourceVersion string",
        "3 continue string",
        "4 remainingItemCount int64",
    ],
    "ObjectMeta": [
        "1 name string",
        "2 generateName string",
        "3 namespace string",
        "4 selfLink string",
        "5 uid string",
        "6 resourceVersion string",
        "7 generation int64",
        "8 creationTimestamp Time",
        "11 labels StringEntry*",
        "12 annotations StringEntry*",
    ],
    "NodeMetrics": [
        "1 metadata ObjectMeta",
        "2 timestamp Time",
        "3 window Duration",
        "4 usage QuantityEntry*",
    ],
    "NodeMetricsList": ["1 metadata ListMeta", "2 items NodeMetrics*"],
    "ContainerMetrics": ["1 name string", "2 usage QuantityEntry*"],
    "PodMetrics": [
        "1 metadata ObjectMeta",
        "2 timestamp Time",
        "3 window Duration",
        "4 containers ContainerMetrics*",
    ],
    "PodMetricsList": ["1 metadata ListMeta", "2 items PodMetrics*"],
    "PartialObjectMetadata": ["1 metadata ObjectMeta"],
    "PartialObjectMetadataList": ["1 metadata ListMeta", "2 items PartialObjectMetadata*"],
    "StatusDetails": [
        "1 name string",
        "2 group string",
        "3 kind string",
        "5 retryAfterSeconds int32",
        "6 uid string",
    ],
    "Status": [
        "1 metadata ListMeta",
        "2 status string",
        "3 message string",
        "4 reason string",
        "5 details StatusDetails",
        "6 code int32",
    ],
    "Verbs": ["1 items string*"],
    "APIResource": [
        "1 name string",
        "2 namespaced bool",
        "3 kind string",
        "4 verbs Verbs",
        "5 shortNames string*",
        "6 singularName string",
        "7 categories string*",
        "8 group string",
        "9 version string",
        "10 storageVersionHash string",
    ],
    "APIResourceList": ["1 groupVersion string", "2 resources APIResource*"],
    "GroupVersion": ["1 groupVersion string", "2 version string"],
    "ServerAddress": ["1 clientCIDR string", "2 serverAddress string"],
    "APIGroup": [
        "1 name string",
        "2 versions GroupVersion*",
        "3 preferredVersion GroupVersion",
        "4 serverAddressByClientCIDRs ServerAddress*",
    ],
    "APIGroupList": ["1 groups APIGroup*"],
    "GroupVersionKind": ["1 group string", "2 version string", "3 kind string"],
    "APIResourceDiscovery": [
        "1 resource string",
        "2 responseKind GroupVersionKind",
        "3 scope string",
        "4 singularResource string",
        "5 verbs string*",
        "6 shortNames string*",
        "7 categories string*",
    ],
    "APIVersionDiscovery": [
        "1 version string",
        "2 resources APIResourceDiscovery*",
        "3 freshness string",
    ],
    "APIGroupDiscovery": ["1 metadata ObjectMeta", "2 versions APIVersionDiscovery*"],
    "APIGroupDiscoveryList": ["1 metadata ListMeta", "2 items APIGroupDiscovery*"],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="k8s.proto", package="k8s", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields:
            number, field, kind = text.split()
            repeated, kind = kind.endswith("*"), kind.rstrip("*")
            added = message.field.add(name=field, number=int(number), json_name=field)
            added.label = added.LABEL_REPEATED if repeated else added.LABEL_OPTIONAL
            if kind in _TYPES:
                added.type = _TYPES[kind]
            else:
                added.type, added.type_name = added.TYPE_MESSAGE, f".k8s.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"k8s.{name}"))
        for name in _MESSAGES
    }


CLASSES = _classes()


def decode(body: bytes) -> dict[str, Any]:
    """Return kind, apiVersion and fields; maps as entries. Raises when a byte belongs to none."""
    assert body[:4] == b"k8s\x00"
    unknown = CLASSES["Unknown"].FromString(body[4:])
    kind, version = unknown.typeMeta.kind, unknown.typeMeta.apiVersion
    message = CLASSES[kind].FromString(unknown.raw)
    size = message.ByteSize()
    message.DiscardUnknownFields()
    assert message.ByteSize() == size, "fields that the published schema does not have"
    return {"kind": kind, "apiVersion": version, **json_format.MessageToDict(message)}


def as_json(decoded: dict[str, Any]) -> dict[str, Any]:
    """Return the same object as JSON would have it: maps, texts for quantities, no empty texts."""
    plain = _plain(decoded)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        if value and all(
            isinstance(each, dict) and each.keys() <= {"key", "value"} for each in value
        ):
            return {each["key"]: _plain(each.get("value", "")) for each in value}
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"string"}:
        return value["string"]
    if value.keys() == {"items"} and all(isinstance(each, str) for each in value["items"]):
        return value["items"]  # verbs
    return {name: _plain(each) for name, each in value.items() if each not in ("", None)}
