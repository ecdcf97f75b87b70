"""How settings become trust: what is presented, who is believed, what they may do, what bounds.

`service` puts these around the app and runs them; nothing here decides about a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.informer import Informer
from metricsapi.kube.watch import configmap
from metricsapi.server.auth.authenticator import Authenticator
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.configuration import (
    CONFIGMAP,
    NAMESPACE,
    AuthConfiguration,
)
from metricsapi.server.auth.configuration_source import ConfigurationSource
from metricsapi.server.auth.in_flight import Gate
from metricsapi.server.auth.middleware import AuthMiddleware
from metricsapi.server.auth.tokens import TokenReviewer
from metricsapi.server.tls.ca_bundle_controller import BundleKeeper
from metricsapi.server.tls.context import Named, ServingTLS
from metricsapi.server.tls.serving_certificate import (
    CertificateFiles,
    Names,
    SelfMade,
    names_of_service,
)
from metricsapi.telemetry.metrics import Telemetry

_FIRST_LOOKUP = 5.0  # seconds to wait for the authentication configuration before serving

log = logging.getLogger(__name__)


class Trust:
    """TLS, identity, permission and limits of one server; an async context manager."""

    def __init__(self, settings: Settings, client: KubeClient, telemetry: Telemetry) -> None:
        """Count reviews in `telemetry`.

        Raises CredentialsError, TLSError or ConfigurationError with the file and the fix.
        """
        self._settings = settings
        self._clients = contextlib.AsyncExitStack()
        authentication = self._client(settings.authentication.kubeconfig, client)
        names = _names(settings)
        self._certificate: CertificateFiles | SelfMade = SelfMade(settings.serving.cert_dir, names)
        serving = settings.serving
        if serving.cert_file and serving.private_key_file:
            self._certificate = CertificateFiles(serving.cert_file, serving.private_key_file)
        self._named = [
            CertificateFiles(named.certificate, named.key) for named in serving.named_certificates
        ]
        self.tls = ServingTLS(
            self._certificate.read(),
            named=[
                Named(files.read(), given.names)
                for files, given in zip(self._named, serving.named_certificates, strict=True)
            ],
            min_version=serving.min_version,
            cipher_suites=serving.cipher_suites,
        )
        self._bundle = _bundle_keeper(settings, client, self.tls, names)
        self._tokens = TokenReviewer(
            authentication,
            ttl=settings.authentication.token_cache_ttl,
            observe=partial(telemetry.review, "TokenReview"),
        )
        self._authenticator = Authenticator(tokens=self._tokens)
        self._authorizer = Authorizer(
            self._client(settings.authorization.kubeconfig, client),
            always_allow=settings.authorization.always_allow_paths,
            allowed_ttl=settings.authorization.authorized_ttl,
            denied_ttl=settings.authorization.unauthorized_ttl,
            observe=partial(telemetry.review, "SubjectAccessReview"),
        )
        self.gate = Gate(settings.limits.requests_in_flight)
        looked_up = None
        if not settings.authentication.skip_lookup:
            looked_up = Informer(authentication, configmap(NAMESPACE, CONFIGMAP))
        self._source = ConfigurationSource(
            self._apply, cluster=looked_up, flags=settings.authentication
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._clients.aclose()

    def guard(self, app: Any) -> AuthMiddleware:
        """Put identity, permission and the bound on requests in flight around an app."""
        return AuthMiddleware(app, self._authenticator, self._authorizer, gate=self.gate)

    def caches(self) -> dict[str, tuple[int, int]]:
        """Give hits and misses of each cache."""
        tokens, authorizations = self._tokens.answers, self._authorizer.answers
        return {
            "tokens": (tokens.hits, tokens.misses),
            "authorizations": (authorizations.hits, authorizations.misses),
        }

    async def ready(self) -> None:
        """Wait, but not for long, until it is known whom to believe and what to present.

        Serving before that refuses the aggregation layer's first probes; waiting longer would
        make the health checks depend on the API server.
        """
        if self._bundle is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_LOOKUP):
                    await self._bundle.settled.wait()
        if not await self._source.ready(_FIRST_LOOKUP):
            tolerated = self._settings.authentication.tolerate_lookup_failure
            log.log(
                logging.INFO if tolerated else logging.WARNING,
                "the API server did not tell its authentication configuration yet: until it does, "
                "no certificate of its front proxy is accepted",
            )

    async def run(self) -> None:
        """Keep certificates and authorities current until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._source.run())
            group.create_task(self._certificate.follow(self.tls))
            for which, files in enumerate(self._named, 1):
                group.create_task(files.follow(self.tls, which=which))
            if self._bundle is not None:
                group.create_task(self._bundle.run())

    def _apply(self, configuration: AuthConfiguration) -> None:
        self.tls.trust(configuration.pem)
        self._authenticator.configure(configuration)

    def _client(self, kubeconfig: Path | None, shared: KubeClient) -> KubeClient:
        if not kubeconfig:
            return shared
        client = KubeClient(load_credentials(kubeconfig))
        self._clients.push_async_exit(client)
        return client


def _names(settings: Settings) -> Names:
    own = settings.serving.bind_address
    addresses = () if own in ("", "0.0.0.0", "::") else (own,)
    return names_of_service(
        settings.service.name, settings.service.namespace, addresses, socket.gethostname()
    )


def _bundle_keeper(
    settings: Settings, client: KubeClient, tls: ServingTLS, names: Names
) -> BundleKeeper | None:
    if not settings.service.manage_ca_bundle:
        return None
    return BundleKeeper(
        client,
        tls,
        names,
        namespace=settings.service.namespace,
        service=settings.service.name,
        secret=settings.service.ca_secret_name,
    )
