"""Each permission that the server needs, asked of the API server for our own identity."""

from __future__ import annotations

import asyncio

import msgspec

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError
from metricsapi.tools.doctor.result import Findings

GROUP = "metrics.k8s.io"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ROLE = "manifests/ has the roles: apply them, or grant this to the server's service account."


class _Verdict(msgspec.Struct):
    allowed: bool = False
    reason: str = ""


class _Review(msgspec.Struct):
    status: _Verdict


async def check_permissions(client: KubeClient, settings: Settings, findings: Findings) -> None:
    """Ask about every permission; one that only `auto` would use is a warning."""
    wanted = permissions(settings)
    verdicts = await asyncio.gather(*(_ask(client, attributes) for _, attributes in wanted))
    for (words, _), verdict in zip(wanted, verdicts, strict=True):
        check = "permission"
        if isinstance(verdict, str):
            findings.skip(check, f"{words}: cannot be asked: {verdict}")
        elif verdict.allowed:
            findings.ok(check, words)
        else:
            reason = f": {verdict.reason}" if verdict.reason else ""
            optional = words == "get nodes/metrics" and settings.kubelet.endpoint == "auto"
            (findings.warn if optional else findings.fail)(check, f"no {words}{reason}", ROLE)


async def _ask(client: KubeClient, attributes: dict[str, str]) -> _Verdict | str:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = await client.request("POST", REVIEW, body=body)
        return msgspec.json.decode(answer, type=_Review).status
    except (ApiError, msgspec.DecodeError) as error:
        return str(error)


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
    return [_attributes(*one) for one in wanted]


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
