"""Checks each permission that the server needs, by access reviews at the API server."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError, InvalidResponse
from metricsapi.tools.doctor.installation import GROUP, Installation, State
from metricsapi.tools.doctor.result import Findings

SELF_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
REVIEW = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ROLE = "manifests/ has the roles: apply them, or grant this to the server's service account."
# Groups, resources, and whether they are in a namespace: the kinds of manifests/base.
_INSTALLED = (
    ("", "serviceaccounts", True),
    ("", "services", True),
    ("", "secrets", True),
    ("apps", "deployments", True),
    ("rbac.authorization.k8s.io", "roles", True),
    ("rbac.authorization.k8s.io", "rolebindings", True),
    ("rbac.authorization.k8s.io", "clusterroles", False),
    ("rbac.authorization.k8s.io", "clusterrolebindings", False),
    ("apiregistration.k8s.io", "apiservices", False),
)


class _Verdict(msgspec.Struct):
    allowed: bool = False
    reason: str = ""


class _Review(msgspec.Struct):
    status: _Verdict


async def check_permissions(
    client: KubeClient, settings: Settings, installation: Installation, findings: Findings
) -> None:
    """Review every permission; a missing one that only `auto` would use is a warning.

    The reviews are of the server's service account, unless we are that. Before it exists, they are
    of what an installer needs.
    """
    if installation.state is not State.OURS:
        await _check_installer(client, settings, findings)
        return
    account = "" if installation.is_us or not installation.user else installation.account
    wanted = permissions(settings)
    verdicts = await asyncio.gather(
        *(_review_access(client, attributes, account) for _, attributes in wanted)
    )
    fix = ROLE
    if account:
        whose = f"service account {account.replace(':', '/')}"
        findings.ok("permission", f"asked for {whose}")
        fix = f"manifests/ has the roles: apply them, or grant this to {whose}."
    for (words, _), verdict in zip(wanted, verdicts, strict=True):
        optional = words == "get nodes/metrics" and settings.kubelet.endpoint == "auto"
        _report(words, verdict, fix, findings, optional=optional)


def _report(
    words: str, verdict: _Verdict | str, fix: str, findings: Findings, *, optional: bool
) -> None:
    """Add the finding of a permission; a missing one that is `optional` is a warning."""
    check = "permission"
    if isinstance(verdict, str):
        findings.skip(check, f"{words}: cannot be asked: {verdict}")
    elif verdict.allowed:
        findings.ok(check, words)
    else:
        reason = f": {verdict.reason}" if verdict.reason else ""
        add = findings.warn if optional else findings.fail
        add(check, f"no {words}{reason}", fix)


async def _check_installer(client: KubeClient, settings: Settings, findings: Findings) -> None:
    """Review whether we may create the kinds of objects in manifests/."""
    namespace = settings.service.namespace
    wanted = [
        _attributes("create", group, resource, namespace if namespaced else "", "")
        for group, resource, namespaced in _INSTALLED
    ]
    verdicts = await asyncio.gather(
        *(_review_access(client, attributes, "") for _, attributes in wanted)
    )
    missing = [
        words
        for (words, _), verdict in zip(wanted, verdicts, strict=True)
        if not isinstance(verdict, str) and not verdict.allowed
    ]
    if any(isinstance(verdict, str) for verdict in verdicts):
        findings.skip("install", "whether you may install cannot be asked")
    elif missing:
        fix = "Ask an administrator of the cluster to install it, or for these permissions."
        findings.warn("install", f"you may not {', '.join(missing)}", fix)
    else:
        findings.ok("install", f"you may create all that manifests/ holds, in {namespace}")


async def _review_access(
    client: KubeClient, attributes: dict[str, str], account: str
) -> _Verdict | str:
    """Review access of an account, NAMESPACE:NAME, or of our user; return an error as text."""
    spec: dict[str, Any] = {"resourceAttributes": attributes}
    kind, path = "SelfSubjectAccessReview", SELF_REVIEW
    if account:
        namespace = account.partition(":")[0]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        spec["user"] = f"system:serviceaccount:{account}"
        spec["groups"] = [*groups, "system:authenticated"]
        kind, path = "SubjectAccessReview", REVIEW
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    try:
        review: _Review = await client.request_json("POST", path, _Review, body=body)
    except (ApiError, InvalidResponse) as error:
        return str(error)
    return review.status


def permissions(settings: Settings) -> list[tuple[str, dict[str, str]]]:
    """Return each permission that the settings need, in words and as resource attributes."""
    wanted: list[tuple[str, str, str, str, str]] = [
        (verb, "", resource, "", "") for resource in ("nodes", "pods") for verb in ("list", "watch")
    ]
    if settings.kubelet.transport == "apiserver-proxy":
        wanted.append(("get", "", "nodes/proxy", "", ""))
    else:
        if settings.kubelet.endpoint != "resource":
            wanted.append(("get", "", "nodes/stats", "", ""))
        if settings.kubelet.endpoint != "summary":
            wanted.append(("get", "", "nodes/metrics", "", ""))
    wanted += [
        ("create", "authentication.k8s.io", "tokenreviews", "", ""),
        ("create", "authorization.k8s.io", "subjectaccessreviews", "", ""),
    ]
    if not settings.authentication.skip_lookup:
        name = "extension-apiserver-authentication"
        wanted += [(verb, "", "configmaps", "kube-system", name) for verb in ("get", "watch")]
    if settings.service.manage_ca_bundle:
        own = (settings.service.namespace, settings.service.ca_secret_name)
        for verb in ("get", "watch", "update"):
            wanted.append((verb, "", "secrets", *own))
        for verb in ("get", "watch", "update"):
            wanted.append((verb, "apiregistration.k8s.io", "apiservices", "", f"v1beta1.{GROUP}"))
    election = settings.leader_election
    if election.enabled:
        lease = (election.resource_namespace, election.resource_name)
        wanted += [(verb, "coordination.k8s.io", "leases", *lease) for verb in ("get", "update")]
    return [_attributes(*permission) for permission in wanted]


def _attributes(
    verb: str, group: str, resource: str, namespace: str, name: str
) -> tuple[str, dict[str, str]]:
    plural, _, sub = resource.partition("/")
    values = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": sub,
        "namespace": namespace,
        "name": name,
    }
    words = f"{verb} {resource}" + (f" {name}" if name else "")
    return words, {key: value for key, value in values.items() if value}
