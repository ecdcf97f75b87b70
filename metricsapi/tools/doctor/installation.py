"""Finds out what is installed: nothing yet, metrics-server, or this server.

Before an installation a missing Service or APIService is no failure, and the permissions that are
checked are the installer's; afterwards they are those of the server's service account.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from urllib.parse import quote

import msgspec

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import ApiError, InvalidResponse, KubeError, NotFound
from metricsapi.tools.doctor.result import Findings

GROUP = "metrics.k8s.io"
SELF_REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_PREFIX = "system:serviceaccount:"


class State(StrEnum):
    """NONE: nothing is installed. OTHER: metrics-server is. OURS: this server is."""

    NONE = "none"
    OTHER = "other"
    OURS = "ours"


class Installation(msgspec.Struct, frozen=True):
    """What is installed, as which service account, and who we are (empty: not known)."""

    state: State
    account: str  # NAMESPACE:NAME of the server's service account
    user: str = ""

    @property
    def is_us(self) -> bool:
        """Whether we ask as the server's own service account."""
        return self.user == _PREFIX + self.account

    @property
    def as_service_account(self) -> bool:
        """Whether we ask as some service account, so with a token that the cluster issued."""
        return self.user.startswith(_PREFIX)


async def get(client: KubeClient, path: str, **params: str) -> dict[str, Any]:
    """Return a decoded JSON object. Raises KubeError."""
    return await client.request_json("GET", path, dict[str, Any], params=params)


async def post(client: KubeClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post an object that is not stored, such as a review; return it. Raises as `get` does."""
    return await client.request_json("POST", path, dict[str, Any], body=body)


async def find_installation(
    client: KubeClient, settings: Settings, findings: Findings
) -> Installation:
    """Look at the Service and its pods; what we are not allowed to see counts as this server."""
    namespace, name = settings.service.namespace, settings.service.name
    user = await _who_am_i(client)
    account = f"{namespace}:{name}"
    if user.startswith(f"{_PREFIX}{namespace}:"):  # unless pods say otherwise, that is the server
        account = user.removeprefix(_PREFIX)
    try:
        service = await get(client, f"/api/v1/namespaces/{namespace}/services/{name}")
    except NotFound:
        if await _has_api_service(client, namespace, name):
            return Installation(State.OURS, account, user)
        findings.ok("installation", f"nothing yet: there is no Service {namespace}/{name}")
        return Installation(State.NONE, account, user)
    except KubeError:
        return Installation(State.OURS, account, user)
    pods = await _pods(client, namespace, service.get("spec", {}).get("selector") or {})
    accounts = {pod["spec"].get("serviceAccountName") or name for pod in pods}
    if len(accounts) == 1:
        account = f"{namespace}:{accounts.pop()}"
    images = _images(pods)
    is_metrics_server = any("metrics-server" in image.rpartition("/")[2] for image in images)
    if images:
        text = f"{', '.join(images)} behind {namespace}/{name}"
        if is_metrics_server:
            text += ": metrics-server, which this server can replace: see docs/migration.md"
        findings.ok("installation", text)
    state = State.OTHER if is_metrics_server else State.OURS
    return Installation(state, account, user)


async def probe_token(client: KubeClient, installation: Installation) -> str:
    """Return a token of a service account, valid for 10 minutes, to test kubelets with.

    It is the server's own account, or `default` before that exists. Raises KubeError where we are
    not allowed to create one.
    """
    namespace, _, name = installation.account.partition(":")
    if installation.state is State.NONE:
        name = "default"
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{quote(name, safe='')}/token"
    response = await post(client, path, body)
    return str((response.get("status") or {}).get("token") or "")


def _images(pods: list[Any]) -> tuple[str, ...]:
    """Return the images of all containers of these pods, sorted."""
    containers = [container for pod in pods for container in pod["spec"]["containers"]]
    return tuple(sorted({item["image"] for item in containers if item.get("image")}))


async def _who_am_i(client: KubeClient) -> str:
    """Return our user name; empty where the API server has no such API (before 1.28)."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        response = await post(client, SELF_REVIEW, body)
    except (ApiError, InvalidResponse):
        return ""
    info = (response.get("status") or {}).get("userInfo") or {}
    return str(info.get("username") or "")


async def _has_api_service(client: KubeClient, namespace: str, name: str) -> bool:
    """Return whether the APIService names our Service, which is a half installation without it."""
    path = f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.{GROUP}"
    try:
        service = (await get(client, path)).get("spec", {}).get("service") or {}
    except KubeError:
        return False
    return bool((service.get("namespace"), service.get("name")) == (namespace, name))


async def _pods(client: KubeClient, namespace: str, selector: dict[str, str]) -> list[Any]:
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    if not labels:
        return []
    path = f"/api/v1/namespaces/{namespace}/pods"
    try:
        items = (await get(client, path, labelSelector=labels)).get("items")
    except (ApiError, InvalidResponse):
        return []
    return list(items or ())
