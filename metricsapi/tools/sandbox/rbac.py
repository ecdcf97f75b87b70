"""Role-based access control over the cluster's objects, as kube-apiserver decides it.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metricsapi.tools.sandbox.state import Cluster

Object = dict[str, Any]
MASTERS = "system:masters"


@dataclass(frozen=True)
class User:
    """The user of a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Attributes:
    """What a request is about: a resource, or with `path` a non-resource path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def allowed(cluster: Cluster, user: User, attributes: Attributes) -> bool:
    """Return whether any rule bound to the user allows it."""
    if MASTERS in user.groups:
        return True
    return any(
        _permits(rule, attributes) for rule in rules_for(cluster, user, attributes.namespace)
    )


def rules_for(cluster: Cluster, user: User, namespace: str) -> list[Object]:
    """Return every rule bound to a user, cluster-wide and in a namespace."""
    key = "rules", user, namespace
    return cluster.derived(key, _KINDS, lambda: list(_rules_for(cluster, user, namespace)))


_KINDS = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")


def _rules_for(cluster: Cluster, user: User, namespace: str) -> Iterator[Object]:
    for binding in cluster.list("clusterrolebindings"):
        if _binds(binding, user):
            yield from _rules(cluster, binding, "")
    if namespace:
        for binding in cluster.list("rolebindings", namespace):
            if _binds(binding, user):
                yield from _rules(cluster, binding, namespace)


def _binds(binding: Object, user: User) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "Group" and name in user.groups:
            return True
        if kind == "User" and name == user.name:
            return True
        account = f"system:serviceaccount:{subject.get('namespace')}:{name}"
        if kind == "ServiceAccount" and account == user.name:
            return True
    return False


def _rules(cluster: Cluster, binding: Object, namespace: str) -> list[Object]:
    reference = binding["roleRef"]
    if reference["kind"] == "Role":
        role = cluster.get("roles", reference["name"], namespace)
    else:
        role = cluster.get("clusterroles", reference["name"])
    if role is None:
        return []
    rules: list[Object] = list(role.get("rules") or ())
    for selector in role.get("aggregationRule", {}).get("clusterRoleSelectors", ()):
        wanted = selector.get("matchLabels", {}).items()
        for other in cluster.list("clusterroles"):
            if wanted <= (other["metadata"].get("labels") or {}).items():
                rules += other.get("rules") or ()
    return rules


def _permits(rule: Object, attributes: Attributes) -> bool:
    if not _has(rule, "verbs", attributes.verb):
        return False
    if attributes.path:
        return any(_path_matches(p, attributes.path) for p in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    return (
        _has(rule, "apiGroups", attributes.group)
        and _has_resource(rule, attributes)
        and (not names or attributes.name in names)
    )


def _has(rule: Object, key: str, value: str) -> bool:
    values = rule.get(key) or ()
    return "*" in values or value in values


def _has_resource(rule: Object, attributes: Attributes) -> bool:
    values = rule.get("resources") or ()
    if attributes.subresource and f"*/{attributes.subresource}" in values:
        return True
    return "*" in values or attributes.full_resource in values


def _path_matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == path


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def attributes_of(method: str, path: str, query: dict[str, str]) -> Attributes:
    """Return what a request is about, as kube-apiserver's RequestInfo does."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, rest = "", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, rest = parts[1], parts[3:]
    else:
        return Attributes(method.lower(), path=path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and len(rest) == 2:
        namespace = rest[1]
    name = rest[1] if len(rest) > 1 else _selected(query)
    subresource = rest[2] if len(rest) > 2 else ""
    verb = _VERBS.get(method) or ("get" if len(rest) > 1 else "list")
    if verb == "list" and query.get("watch") in ("true", "1"):
        verb = "watch"
    return Attributes(verb, group, rest[0], subresource, namespace, name)


def _selected(query: dict[str, str]) -> str:
    """Return the name that a list or watch selects by field, for which it is authorized."""
    for part in query.get("fieldSelector", "").split(","):
        if part.startswith("metadata.name="):
            return part.removeprefix("metadata.name=").lstrip("=")
    return ""


def forbidden_message(user: User, attributes: Attributes) -> str:
    """Return kube-apiserver's message of a 403."""
    if attributes.path:
        return f'forbidden: User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
    what = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    shown = f'{what} "{attributes.name}"' if attributes.name else what
    scope = (
        f'in the namespace "{attributes.namespace}"'
        if attributes.namespace
        else "at the cluster scope"
    )
    return (
        f'{shown} is forbidden: User "{user.name}" cannot {attributes.verb} resource '
        f'"{attributes.full_resource}" in API group "{attributes.group}" {scope}'
    )
