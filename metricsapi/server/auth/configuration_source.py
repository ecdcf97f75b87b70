"""Keeping the authentication configuration current: the cluster's ConfigMap, and flags' files.

As in k8s.io/apiserver, a flag's file replaces that part of the ConfigMap altogether.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from metricsapi.config.authentication import AuthenticationSettings
from metricsapi.kube.informer import Informer
from metricsapi.server.auth.client_certificates import CertificateAuthorities
from metricsapi.server.auth.configuration import (
    CONFIGMAP,
    NAMESPACE,
    AuthConfiguration,
    ConfigurationError,
    from_configmap,
    front_proxy,
)

PERIOD = 5.0  # seconds between two looks at the files

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
        files = (flags.client_ca_file, flags.requestheader_client_ca_file)
        self._paths = [path for path in files if path]
        self._found = AuthConfiguration()  # in the cluster
        self._seen = self._read_files()
        self._use()
        if cluster is not None:
            cluster.subscribe(self._changed)

    async def run(self) -> None:
        """Follow the ConfigMap and the files until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._cluster is not None:
                group.create_task(self._cluster.run())
            if self._paths:
                group.create_task(self._follow_files())

    async def ready(self, timeout: float) -> bool:
        """Wait until the cluster has been asked; tell whether it answered within `timeout`."""
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
        before = self._found
        try:
            self._found = from_configmap(data)
            self._use()
        except (ValueError, OSError) as error:
            self._found = before
            self._kept(error)

    async def _follow_files(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                content = self._read_files()
                if content != self._seen:
                    self._seen = content
                    self._use()
            except (ValueError, OSError) as error:
                self._kept(error)

    def _read_files(self) -> dict[Path, str]:
        try:
            return {path: path.read_text() for path in self._paths}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read a file of authorities: {error}") from error

    def _use(self) -> None:
        """Apply what the cluster and the files say together. Raises ValueError."""
        flags, made = self._flags, self._found
        if flags.client_ca_file:
            made = replace(made, clients=self._authorities(flags.client_ca_file))
        if flags.requestheader_client_ca_file:
            authorities = self._authorities(flags.requestheader_client_ca_file)
            made = replace(made, front_proxy=front_proxy(flags, authorities))
        self._apply(made)

    def _authorities(self, path: Path) -> CertificateAuthorities:
        try:
            return CertificateAuthorities(self._seen[path])
        except ValueError as error:
            raise ConfigurationError(f"{path} holds no usable certificates: {error}") from error

    def _kept(self, error: Exception) -> None:
        log.warning(
            "keeping the last authentication configuration", extra={"data": {"error": str(error)}}
        )
