"""The API server's side: whether it can be reached, and what it is told about us."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError, Forbidden, KubeError, NotFound, Unauthorized
from metricsapi.tools.doctor.certificate import Certificate, read_certificate
from metricsapi.tools.doctor.installation import (
    GROUP,
    Installation,
    State,
    find_installation,
    get,
)
from metricsapi.tools.doctor.permissions import check_permissions
from metricsapi.tools.doctor.result import CLUSTER, Findings, Result

Check = Callable[[KubeClient, Settings, Installation, Findings], Awaitable[None]]
AUTHENTICATION = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
_EXPIRES_SOON = 14.0  # days


async def check_cluster(
    client: KubeClient, settings: Settings
) -> tuple[list[Result], Installation]:
    """Run every check in order; those that need the API server are skipped without it."""
    findings = Findings(CLUSTER)
    installation = Installation(State.OURS, "")
    reached = await _reach(client, findings)
    if reached:
        with contextlib.suppress(AttributeError, KeyError, TypeError):  # JSON of another shape
            installation = await find_installation(client, settings, findings)
    for name, check in CHECKS.items():
        if not reached:
            findings.skip(name, "the API server cannot be reached")
            continue
        try:
            await check(client, settings, installation, findings)
        except Forbidden as error:
            findings.skip(name, f"not permitted: {error.message}")
        except (KubeError, msgspec.DecodeError) as error:
            findings.fail(name, str(error), "See the API server's log.")
        except (AttributeError, KeyError, TypeError) as error:  # JSON of another shape
            text = f"what the API server answered makes no sense: {error}"
            findings.fail(name, text, "Check what answers at the kubeconfig's server.")
    return findings.results, installation


async def _reach(client: KubeClient, findings: Findings) -> bool:
    where = f"{client.credentials.server}, credentials: {client.credentials.source}"
    try:
        version = await get(client, "/version")
        findings.ok("API server", f"{version.get('gitVersion', 'answers')} at {where}")
    except Unauthorized as error:
        fix = "The token or certificate is not valid any more: renew it."
        findings.fail("API server", f"{error} ({where})", fix)
        return False
    except (ApiError, msgspec.DecodeError) as error:
        findings.warn("API server", f"/version: {error} ({where})", "It answers; going on.")
    except KubeError as error:
        fix = "Check address, port and CA in the kubeconfig; in a pod, its network policies."
        findings.fail("API server", f"{error} ({where})", fix)
        return False
    return True


async def _configmap(
    client: KubeClient, settings: Settings, _: Installation, findings: Findings
) -> None:
    name = "authentication ConfigMap"
    if settings.authentication.skip_lookup:
        findings.skip(name, "--authentication-skip-lookup")
        return
    try:
        data = (await get(client, AUTHENTICATION)).get("data") or {}
    except NotFound as error:
        fix = "kube-apiserver writes it: is it run with --requestheader-client-ca-file?"
        findings.fail(name, str(error), fix)
        return
    bundles = {}
    for key in ("requestheader-client-ca-file", "client-ca-file"):
        try:
            bundles[key] = _certificates(data.get(key, "").encode())
        except ValueError as error:
            findings.fail(name, f"{key}: {error}", "Correct kube-apiserver's flag of this name.")
            return
    proxies = bundles["requestheader-client-ca-file"]
    if not proxies:
        fix = "The aggregation layer needs kube-apiserver's --requestheader-client-ca-file."
        findings.fail(name, "no requestheader-client-ca-file", fix)
        return
    allowed = data.get("requestheader-allowed-names", "[]")
    soonest = min(one.days_left() for one in [*proxies, *bundles["client-ca-file"]])
    text = f"front proxy CA {proxies[0].subject!r}, allowed names {allowed}"
    if soonest < _EXPIRES_SOON:
        findings.warn(name, f"{text}; a CA expires in {soonest:.0f} days", "Rotate it in time.")
    else:
        findings.ok(name, text)


async def _api_services(
    client: KubeClient, settings: Settings, installation: Installation, findings: Findings
) -> None:
    for version in ("v1beta1", "v1"):
        name = f"{version}.{GROUP}"
        try:
            found = await get(client, f"/apis/apiregistration.k8s.io/v1/apiservices/{name}")
        except NotFound:
            if version == "v1":
                findings.skip("APIService", f"{name} does not exist; it is optional")
            elif installation.state is State.NONE:
                findings.ok("APIService", f"{name} does not exist yet: apply it last")
            else:
                fix = "Apply manifests/: without it nobody is sent here."
                findings.fail("APIService", f"{name} does not exist", fix)
            continue
        _api_service(name, found, settings, installation, findings)


def _api_service(
    name: str, found: Any, settings: Settings, installation: Installation, findings: Findings
) -> None:
    spec = found.get("spec", {})
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
    conditions = found.get("status", {}).get("conditions") or []
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
        bundle = _certificates(base64.b64decode(spec.get("caBundle") or "", validate=True))
    except (ValueError, binascii.Error) as error:
        findings.fail("caBundle", f"{name}: {error}", "Write a PEM bundle, base64-encoded.")
        return
    if not bundle:
        fix = "Run with --manage-ca-bundle, or write the CA of the serving certificate there."
        findings.fail("caBundle", f"{name}: empty, so the system's CAs are asked", fix)
        return
    text = "; ".join(f"{one.subject!r} until {one.not_after:%Y-%m-%d}" for one in bundle)
    if all(one.days_left() < 0 for one in bundle):
        fix = "Renew it; --manage-ca-bundle does so in time."
        findings.fail("caBundle", f"{name}: expired: {text}", fix)
    else:
        findings.ok("caBundle", f"{name}: {text}")


async def _service(
    client: KubeClient, settings: Settings, installation: Installation, findings: Findings
) -> None:
    namespace, name = settings.service.namespace, settings.service.name
    try:
        service = await get(client, f"/api/v1/namespaces/{namespace}/services/{name}")
    except NotFound:
        if installation.state is not State.NONE:  # else that is what `installation` says
            findings.fail("Service", f"{namespace}/{name} does not exist", "Apply manifests/.")
        return
    ports = [f"{one.get('port')}->{one.get('targetPort')}" for one in service["spec"]["ports"]]
    findings.ok("Service", f"{namespace}/{name}, ports {', '.join(ports)}")
    try:
        ready, unready = await _endpoints(client, namespace, name)
    except NotFound as error:
        findings.skip("endpoints", f"the API server does not show them: {error}")
        return
    if ready:
        findings.ok("endpoints", f"{len(ready)} ready: {', '.join(ready)}")
    elif unready:
        fix = "See /readyz?verbose and the log of these pods."
        findings.fail("endpoints", f"none ready; not ready: {', '.join(unready)}", fix)
    else:
        fix = "Is the Deployment scaled to 0, or do the Service's labels match no pod?"
        findings.fail("endpoints", "none", fix)


async def _endpoints(client: KubeClient, namespace: str, name: str) -> tuple[list[str], list[str]]:
    """Return ready and other addresses, from EndpointSlices or, where there are none, Endpoints."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    ready: list[str] = []
    unready: list[str] = []
    try:
        found = await get(client, path, labelSelector=f"kubernetes.io/service-name={name}")
    except NotFound:
        found = await get(client, f"/api/v1/namespaces/{namespace}/endpoints/{name}")
        for subset in found.get("subsets") or ():
            ready += [one["ip"] for one in subset.get("addresses") or ()]
            unready += [one["ip"] for one in subset.get("notReadyAddresses") or ()]
        return ready, unready
    for part in found.get("items") or ():
        for endpoint in part.get("endpoints") or ():
            # An absent condition means ready, says the API.
            is_ready = (endpoint.get("conditions") or {}).get("ready", True)
            (ready if is_ready else unready).extend(endpoint.get("addresses") or ())
    return ready, unready


def _certificates(pem: bytes) -> list[Certificate]:
    """Read every certificate of a PEM bundle; raises ValueError if it is not one."""
    if not pem.strip():
        return []
    return [
        read_certificate(certificate.public_bytes(Encoding.DER))
        for certificate in x509.load_pem_x509_certificates(pem)
    ]


CHECKS: dict[str, Check] = {
    "permission": check_permissions,
    "authentication ConfigMap": _configmap,
    "APIService": _api_services,
    "Service": _service,
}
