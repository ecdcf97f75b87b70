"""Checks the APIServices: where the API server sends requests, and how it verifies us."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import NotFound
from metricsapi.tools.doctor.certificate import read_bundle
from metricsapi.tools.doctor.installation import GROUP, Installation, State, get
from metricsapi.tools.doctor.result import Findings


async def check_api_services(
    client: KubeClient, settings: Settings, installation: Installation, findings: Findings
) -> None:
    """Check where requests of each version go, whether it is available, and how we are verified."""
    for version in ("v1beta1", "v1"):
        name = f"{version}.{GROUP}"
        try:
            api_service = await get(client, f"/apis/apiregistration.k8s.io/v1/apiservices/{name}")
        except NotFound:
            if version == "v1":
                findings.skip("APIService", f"{name} does not exist; it is optional")
            elif installation.state is State.NONE:
                findings.ok("APIService", f"{name} does not exist yet: apply it last")
            else:
                fix = "Apply manifests/: without it nobody is sent here."
                findings.fail("APIService", f"{name} does not exist", fix)
            continue
        _api_service(name, api_service, settings, installation, findings)


def _api_service(
    name: str, api_service: Any, settings: Settings, installation: Installation, findings: Findings
) -> None:
    spec = api_service.get("spec", {})
    service = spec.get("service") or {}
    whose = f"{service.get('namespace')}/{service.get('name')}"
    ours = f"{settings.service.namespace}/{settings.service.name}"
    if whose != ours and installation.state is not State.OURS:
        fix = "Applying our APIService takes it over; what serves it now then serves nobody."
        findings.warn("APIService", f"{name} belongs to {whose}", fix)
        return
    if whose != ours:
        fix = f"Something else serves it. If it is to be us, point it at {ours}: apply manifests/."
        findings.fail("APIService", f"{name} belongs to {whose}", fix)
        return
    conditions = api_service.get("status", {}).get("conditions") or []
    available: dict[str, str] = next((c for c in conditions if c.get("type") == "Available"), {})
    reason = f"{available.get('reason', '')}: {available.get('message', '')}".strip(": ")
    if available.get("status") == "True":
        findings.ok("APIService", f"{name} is available, served by {whose}")
    else:
        fix = "The reason says where: no endpoints, no route, TLS, or a 4xx from the server itself."
        findings.fail("APIService", f"{name} is not available: {reason or 'no condition'}", fix)
    if installation.state is State.OURS:
        _ca_bundle(name, spec, findings)


def _ca_bundle(name: str, spec: Any, findings: Findings) -> None:
    if spec.get("insecureSkipTLSVerify"):
        fix = "Run with --manage-ca-bundle and set insecureSkipTLSVerify: false."
        findings.warn("caBundle", f"{name}: insecureSkipTLSVerify: nobody verifies us", fix)
        return
    try:
        bundle = read_bundle(base64.b64decode(spec.get("caBundle") or "", validate=True))
    except (ValueError, binascii.Error) as error:
        findings.fail("caBundle", f"{name}: {error}", "Write a PEM bundle, base64-encoded.")
        return
    if not bundle:
        fix = "Run with --manage-ca-bundle, or write the CA of the serving certificate there."
        findings.fail("caBundle", f"{name}: empty, so the system's CAs are asked", fix)
        return
    text = "; ".join(
        f"{authority.subject!r} until {authority.not_after:%Y-%m-%d}" for authority in bundle
    )
    if all(ca.days_left() < 0 for ca in bundle):
        fix = "Renew it; --manage-ca-bundle does so in time."
        findings.fail("caBundle", f"{name}: expired: {text}", fix)
    else:
        findings.ok("caBundle", f"{name}: {text}")
