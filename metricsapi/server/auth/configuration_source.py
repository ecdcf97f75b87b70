"""Keeps the authentication configuration current: the cluster's ConfigMap, and flags' files.

As in k8s.io/apiserver, a flag's file replaces that part of the ConfigMap altogether.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from metricsapi.config.authentication import AuthenticationSettings
from metricsapi.kube.files import FileError, FollowedFiles
from metricsapi.kube.informer import Informer
from metricsapi.kube.pem import parse_authorities
from metricsapi.server.auth.client_certificates import CertificateAuthorities
from metricsapi.server.auth.configuration import (
    CONFIGMAP,
    NAMESPACE,
    AuthConfiguration,
    ConfigurationError,
    from_configmap,
    front_proxy,
)
from metricsapi.server.task import Task

log = logging.getLogger(__name__)


class ConfigurationSource:
    """Applies each new configuration; one that cannot be used leaves the last one in force."""

    def __init__(
        self,
        apply: Callable[[AuthConfiguration], None],
        *,
        cluster: Informer[dict[str, str]] | None,
        flags: AuthenticationSettings,
    ) -> None:
        """Take an informer of the ConfigMap, or None where it is not to be looked up.

        `apply` raises ValueError for what it cannot use. Raises ConfigurationError when a
        flag's file cannot be used.
        """
        self._apply = apply
        self._cluster = cluster
        self._flags = flags
        self._published = AuthConfiguration()  # by the cluster
        self._clients = _follow(flags.client_ca_file)
        self._front_proxies = _follow(flags.requestheader_client_ca_file)
        self._use()
        if cluster is not None:
            cluster.subscribe(self._changed)

    def tasks(self) -> list[Task]:
        """Return what runs until the process ends: the ConfigMap and each file are followed."""
        tasks = []
        if (cluster := self._cluster) is not None:
            tolerated = self._flags.tolerate_lookup_failure
            failing = (lambda: None) if tolerated else cluster.failing
            tasks.append(Task("authentication-configuration", cluster.run, failing))
        followed = {
            "client-ca-file": self._clients,
            "requestheader-client-ca-file": self._front_proxies,
        }
        for name, files in followed.items():
            if files is not None:
                follow = partial(files.follow, lambda _: self._use())
                tasks.append(Task(name, follow, files.failing))
        return tasks

    async def ready(self, timeout: float) -> bool:
        """Wait for the ConfigMap; return whether the API server responded within `timeout` (s)."""
        if self._cluster is None:
            return True
        try:
            async with asyncio.timeout(timeout):
                await self._cluster.synced.wait()
        except TimeoutError:
            return False
        if not self._cluster.objects:
            log.warning(
                "the cluster has no configuration of its aggregation layer, so no certificate of "
                "its front proxy is accepted",
                extra={"data": {"configmap": f"{NAMESPACE}/{CONFIGMAP}"}},
            )
        return True

    def _changed(self, _: dict[str, str] | None, data: dict[str, str] | None) -> None:
        if data is None:
            log.warning("the authentication ConfigMap is gone; its last content stays in force")
            return
        before = self._published
        try:
            self._published = from_configmap(data)
            self._use()
        except (ValueError, OSError) as error:
            self._published = before
            log.warning(
                "keeping the last authentication configuration",
                extra={"data": {"error": str(error)}},
            )

    def _use(self) -> None:
        """Apply the ConfigMap's configuration with the files' parts. Raises ValueError."""
        configuration = self._published
        if self._clients is not None:
            configuration = replace(configuration, clients=self._clients.value)
        if self._front_proxies is not None:
            proxies = front_proxy(self._flags, self._front_proxies.value)
            configuration = replace(configuration, front_proxy=proxies)
        self._apply(configuration)


def _follow(path: Path | None) -> FollowedFiles[CertificateAuthorities] | None:
    """Follow a file of authorities, if there is one. Raises ConfigurationError."""
    if path is None:
        return None

    def parse(contents: Sequence[bytes]) -> CertificateAuthorities:
        bundle = parse_authorities(contents[0], str(path))
        bundle.warn(log)
        return CertificateAuthorities(bundle)

    try:
        return FollowedFiles([path], parse)
    except FileError as error:
        raise ConfigurationError(str(error)) from error
