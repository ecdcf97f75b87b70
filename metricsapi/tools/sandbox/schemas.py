"""OpenAPI v3 documents of the API server's own kinds: as much as kubectl needs to write them.

Their fields are not described. kubectl finds that objects are validated here, so it does not ask
for the schemas that it would validate them by.
"""

from __future__ import annotations

from typing import Any

from metricsapi.tools.sandbox.kinds import KINDS, Kind

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def own_paths() -> dict[str, Any]:
    """Return the entries of `/openapi/v3` for the API server's own group versions."""
    return {
        kind.prefix.removeprefix("/"): {"serverRelativeURL": f"/openapi/v3{kind.prefix}"}
        for kind in KINDS
    }


def document(group: str, version: str) -> dict[str, Any] | None:
    """Return the document of one group version; None when it is not the API server's own."""
    kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
    if not kinds:
        return None
    paths: dict[str, Any] = {}
    for kind in kinds:
        within = "/namespaces/{namespace}" if kind.namespaced else ""
        where = f"{kind.prefix}{within}/{kind.plural}"
        paths[where] = _operations(kind, get="list", post="post")
        paths[f"{where}/{{name}}"] = _operations(
            kind, get="get", put="put", patch="patch", delete="delete"
        )
    schemas = {_name(kind): _schema(kind) for kind in kinds}
    metadata = {"type": "object", "description": "ObjectMeta is metadata that all objects have."}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": {**schemas, _METADATA: metadata}},
    }


def _operations(kind: Kind, **actions: str) -> dict[str, Any]:
    operations = {}
    for method, action in actions.items():
        operation: dict[str, Any] = {
            "operationId": f"{action}{kind.version.capitalize()}{kind.kind}",
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(kind),
            "responses": {"200": {"description": "OK", "content": _content(kind)}},
        }
        if method in ("post", "put", "patch"):
            operation["parameters"] = [
                {"name": name, "in": "query", "schema": {"type": "string"}}
                for name in ("dryRun", "fieldManager", "fieldValidation")
            ]
        operations[method] = operation
    return operations


def _schema(kind: Kind) -> dict[str, Any]:
    text, anything = {"type": "string"}, {"type": "object"}
    metadata = {"allOf": [{"$ref": f"#/components/schemas/{_METADATA}"}], "default": {}}
    return {
        "type": "object",
        "description": f"{kind.kind} as the sandbox keeps it, whatever its fields are.",
        "properties": {
            "apiVersion": text,
            "kind": text,
            "metadata": metadata,
            "spec": anything,
            "status": anything,
        },
        "x-kubernetes-group-version-kind": [_gvk(kind)],
    }


def _content(kind: Kind) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{_name(kind)}"}}}


def _gvk(kind: Kind) -> dict[str, str]:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _name(kind: Kind) -> str:
    return f"io.k8s.api.{kind.group.partition('.')[0] or 'core'}.{kind.version}.{kind.kind}"
