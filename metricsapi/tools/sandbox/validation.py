"""Validates objects as kube-apiserver does, as far as this project depends on it."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from metricsapi.tools.sandbox.faults import ANNOTATION, Fault, fault_named
from metricsapi.tools.sandbox.kinds import Kind
from metricsapi.tools.sandbox.record import Object
from metricsapi.tools.sandbox.responses import status

_NAME = re.compile(r"[^/%]{1,253}")
Problem = tuple[str, str, str]  # field, reason of the cause, message


def refusal(kind: Kind, item: Object, old: Object | None) -> Response | None:
    """Return the 422 for an object that must not be written, None for one that may."""
    problems = list(_metadata(item))
    if kind.kind == "Node":
        problems += _fault(item)
    if kind.kind == "APIService":
        problems += _api_service(item)
    if old and kind.kind in ("RoleBinding", "ClusterRoleBinding"):
        problems += _role_reference(item, old)
    if not problems:
        return None
    name = item.get("metadata", {}).get("name", "")
    whole = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    messages = [f"{field}: {message}" for field, _, message in problems]
    listed = messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]"
    causes = [{"field": f, "reason": r, "message": m} for f, r, m in problems]
    details = {"name": name, "group": kind.group, "kind": kind.kind, "causes": causes}
    return status(422, f'{whole} "{name}" is invalid: {listed}', details=details)


def _metadata(item: Object) -> list[Problem]:
    name = item.get("metadata", {}).get("name")
    if not name:
        return [_required("metadata.name", "name or generateName is required")]
    if not _NAME.fullmatch(name) or name in (".", ".."):
        return [_invalid("metadata.name", name, "may not contain '/' or '%'")]
    return []


def _fault(item: Object) -> list[Problem]:
    """Return the problem of a fault's annotation that names no fault: the sandbox's own rule."""
    name = (item["metadata"].get("annotations") or {}).get(ANNOTATION)
    if name is None or fault_named(name) is not None:
        return []
    rule = f"is none of the faults of the sandbox: {', '.join(Fault)}"
    return [_invalid(f"metadata.annotations[{ANNOTATION}]", name, rule)]


def _api_service(item: Object) -> list[Problem]:
    """Return the problems by kube-aggregator's own validation."""
    spec = item.get("spec") or {}
    group, version = spec.get("group", ""), spec.get("version", "")
    name, wanted = item.get("metadata", {}).get("name", ""), f"{version}.{group}"
    problems = []
    if name != wanted:
        rule = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        problems.append(_invalid("metadata.name", name, rule))
    if not group and version != "v1":
        message = "only v1 may have an empty group and it better be legacy kube"
        problems.append(_required("spec.group", message))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            rule = f"must be positive and less than {most}"
            problems.append(_invalid(f"spec.{field}", value, rule))
    return problems + _service(spec)


def _service(spec: Object) -> list[Problem]:
    bundle, skip, service = (
        spec.get(name) for name in ("caBundle", "insecureSkipTLSVerify", "service")
    )
    problems: list[Problem] = []
    if service is None:
        rule = "local APIServices may not have"
        if bundle:
            problems.append(_invalid("spec.caBundle", f"{len(bundle)} bytes", f"{rule} a caBundle"))
        if skip:
            field = "insecureSkipTLSVerify"
            problems.append(_invalid(f"spec.{field}", skip, f"{rule} {field}"))
        return problems
    needed = ("namespace", "name")
    missing = [field for field in needed if not service.get(field)]
    problems += [_required(f"spec.service.{field}", "") for field in missing]
    if skip and bundle:
        rule = "may not be true if caBundle is present"
        problems.append(_invalid("spec.insecureSkipTLSVerify", skip, rule))
    return problems


def _role_reference(item: Object, old: Object) -> list[Problem]:
    if item.get("roleRef") == old.get("roleRef"):
        return []
    return [_invalid("roleRef", item.get("roleRef"), "cannot change roleRef")]


def _invalid(field: str, value: Any, rule: str) -> Problem:
    shown = str(value).lower() if isinstance(value, bool) else value
    shown = f'"{shown}"' if isinstance(value, str) else shown
    return field, "FieldValueInvalid", f"Invalid value: {shown}: {rule}"


def _required(field: str, message: str) -> Problem:
    messages = f"Required value: {message}" if message else "Required value"
    return field, "FieldValueRequired", messages
