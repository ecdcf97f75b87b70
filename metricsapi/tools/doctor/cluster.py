"""Checks the API server: whether it can be reached, and the objects of this server there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import (
    ApiError,
    Forbidden,
    InvalidResponse,
    KubeError,
    NotFound,
    Unauthorized,
)
from metricsapi.tools.doctor.api_service import check_api_services
from metricsapi.tools.doctor.certificate import EXPIRES_SOON, read_bundle
from metricsapi.tools.doctor.installation import (
    Installation,
    State,
    find_installation,
    get,
)
from metricsapi.tools.doctor.leader import check_leader
from metricsapi.tools.doctor.permissions import check_permissions
from metricsapi.tools.doctor.result import CLUSTER, Findings, Result

Check = Callable[[KubeClient, Settings, Installation, Findings], Awaitable[None]]
AUTHENTICATION = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
OLDEST = (1, 27)  # Kubernetes; see docs/install.md


async def check_cluster(
    client: KubeClient, settings: Settings
) -> tuple[list[Result], Installation]:
    """Run every check in order; those that need the API server are skipped without it."""
    findings = Findings(CLUSTER)
    installation = Installation(State.OURS, "")
    reached = await _check_api_server(client, findings)
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
        except KubeError as error:
            findings.fail(name, str(error), "See the API server's log.")
        except (AttributeError, KeyError, TypeError) as error:  # JSON of another shape
            text = f"the response of the API server makes no sense: {error}"
            findings.fail(name, text, "Check what listens at the server of the kubeconfig.")
    return findings.results, installation


async def _check_api_server(client: KubeClient, findings: Findings) -> bool:
    where = f"{client.credentials.server}, credentials: {client.credentials.source}"
    try:
        version = str((await get(client, "/version")).get("gitVersion", ""))
        text = f"{version or 'it responds'} at {where}"
        number = re.match(r"v(\d{1,9})\.(\d{1,9})", version)
        if number and tuple(map(int, number.groups())) < OLDEST:
            fix = f"This server is for Kubernetes {'.'.join(map(str, OLDEST))} and newer."
            findings.warn("API server", text, fix)
        else:
            findings.ok("API server", text)
    except Unauthorized as error:
        fix = "The token or certificate is not valid any more: renew it."
        findings.fail("API server", f"{error} ({where})", fix)
        return False
    except (ApiError, InvalidResponse) as error:
        findings.warn(
            "API server", f"/version: {error} ({where})", "It responds, so the checks go on."
        )
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
            bundles[key] = read_bundle(data.get(key, "").encode())
        except ValueError as error:
            findings.fail(name, f"{key}: {error}", "Correct kube-apiserver's flag of this name.")
            return
    proxies = bundles["requestheader-client-ca-file"]
    if not proxies:
        fix = "The aggregation layer needs kube-apiserver's --requestheader-client-ca-file."
        findings.fail(name, "no requestheader-client-ca-file", fix)
        return
    allowed = data.get("requestheader-allowed-names", "[]")
    soonest = min(authority.days_left() for authority in [*proxies, *bundles["client-ca-file"]])
    text = f"front proxy CA {proxies[0].subject!r}, allowed names {allowed}"
    if soonest < EXPIRES_SOON:
        findings.warn(name, f"{text}; a CA expires in {soonest:.0f} days", "Rotate it in time.")
    else:
        findings.ok(name, text)


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
    ports = [f"{port.get('port')}->{port.get('targetPort')}" for port in service["spec"]["ports"]]
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
    try:
        slices = await get(client, path, labelSelector=f"kubernetes.io/service-name={name}")
    except NotFound:
        return _of_endpoints(await get(client, f"/api/v1/namespaces/{namespace}/endpoints/{name}"))
    return _of_slices(slices)


def _of_slices(slices: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return ready and other addresses of an EndpointSliceList."""
    ready: list[str] = []
    unready: list[str] = []
    for item in slices.get("items") or ():
        for endpoint in item.get("endpoints") or ():
            # An absent condition means ready, says the API.
            is_ready = (endpoint.get("conditions") or {}).get("ready", True)
            (ready if is_ready else unready).extend(endpoint.get("addresses") or ())
    return ready, unready


def _of_endpoints(endpoints: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return ready and other addresses of an Endpoints object."""
    ready: list[str] = []
    unready: list[str] = []
    for subset in endpoints.get("subsets") or ():
        ready += [address["ip"] for address in subset.get("addresses") or ()]
        unready += [address["ip"] for address in subset.get("notReadyAddresses") or ()]
    return ready, unready


CHECKS: dict[str, Check] = {
    "permission": check_permissions,
    "authentication ConfigMap": _configmap,
    "APIService": check_api_services,
    "Service": _service,
    "leader": check_leader,
}
