"""Kubeconfigs, and HTTP clients with a user's token."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping

import httpx
import yaml


def kubeconfig(url: str, authority: bytes, name: str, credential: Mapping[str, str]) -> str:
    """Return a kubeconfig; `credential` is the content of its `user`, `authority` is PEM."""
    cluster = {
        "server": url,
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": name}}],
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": name, "user": dict(credential)}],
    }
    return yaml.safe_dump(config)


def admin_client(url: str, authority: bytes, token: str) -> httpx.AsyncClient:
    """Return an HTTP client of the API server, as the user of a bearer token."""
    return httpx.AsyncClient(
        base_url=url,
        verify=ssl.create_default_context(cadata=authority.decode()),
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
