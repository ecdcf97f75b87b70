"""The security of the server, built from its settings: TLS, authentication, authorization, limits.

`run` puts these around the app; nothing here decides about a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.informer import Informer
from metricsapi.kube.key_pair import KeyPair
from metricsapi.kube.watch import configmap
from metricsapi.server.auth.authenticator import Authenticator
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.configuration import (
    CONFIGMAP,
    NAMESPACE,
    AuthConfiguration,
)
from metricsapi.server.auth.configuration_source import ConfigurationSource
from metricsapi.server.auth.in_flight import InFlightLimit
from metricsapi.server.auth.tokens import TokenReviewer
from metricsapi.server.replicas.certificate_identity import CertificateIdentity
from metricsapi.server.replicas.identity import ReplicaIdentity
from metricsapi.server.replicas.token_identity import AUDIENCE, TTL, TokenIdentity
from metricsapi.server.task import Task
from metricsapi.server.tls.serving_certificate import CertificateFiles
from metricsapi.server.tls.setup import (
    ca_bundle_controller,
    default_certificate,
    serving_names,
    serving_tls,
)
from metricsapi.telemetry.metrics import Telemetry

_FIRST_LOOKUP = 5.0  # seconds to wait for the authentication configuration before serving

log = logging.getLogger(__name__)


class Security:
    """TLS, authentication, authorization and limits of one server."""

    def __init__(
        self,
        settings: Settings,
        client: KubeClient,
        telemetry: Telemetry,
        is_ready: Callable[[], bool],
        stack: contextlib.AsyncExitStack,
    ) -> None:
        """Count reviews in `telemetry`; `is_ready` tells whether this replica is.

        `stack` closes the clients that are made of kubeconfigs for reviews.

        Raises CredentialsError, TLSError or ConfigurationError with the file and the fix.
        """
        self._settings = settings
        self._stack = stack
        names = serving_names(settings)
        self._certificate = default_certificate(settings, names)
        self._named_certificates = [
            CertificateFiles(named.certificate, named.key)
            for named in settings.serving.named_certificates
        ]
        self.tls = serving_tls(settings, self._certificate, self._named_certificates)
        self._replica_certificates = CertificateIdentity(clock=time.time)
        self._ca_bundle = ca_bundle_controller(
            settings, client, self.tls, names, is_ready, self._on_authorities
        )
        authentication = self._client(settings.authentication.kubeconfig, client)
        authorization = self._client(settings.authorization.kubeconfig, client)
        self._tokens = _token_reviewer(settings, authentication, telemetry)
        self.authenticator = Authenticator(tokens=self._tokens)
        self.authorizer = _authorizer(settings, authorization, telemetry)
        self.in_flight = InFlightLimit(settings.limits.requests_in_flight)
        tokens = _token_identity(settings, authentication, telemetry)
        self.replica_identity: ReplicaIdentity = tokens or self._replica_certificates
        # Files that are read when they are used.
        self.files = [
            *(
                files
                for each in (client, authentication, authorization)
                for files in each.credentials.files
            ),
            *(tokens.files if tokens else ()),
        ]
        self._configuration = self._configuration_source(authentication)

    def caches(self) -> dict[str, tuple[int, int]]:
        """Return hits and misses of each review cache."""
        tokens, authorizations = self._tokens.cache, self.authorizer.cache
        return {
            "tokens": (tokens.hits, tokens.misses),
            "authorizations": (authorizations.hits, authorizations.misses),
        }

    async def ready(self) -> None:
        """Wait up to 5 s for the authentication configuration and the serving certificate.

        Serving before that refuses the aggregation layer's first probes; waiting longer would
        make the health checks depend on the API server.
        """
        if self._ca_bundle is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_LOOKUP):
                    await self._ca_bundle.reconciled.wait()
        if not await self._configuration.ready(_FIRST_LOOKUP):
            tolerated = self._settings.authentication.tolerate_lookup_failure
            log.log(
                logging.INFO if tolerated else logging.WARNING,
                "the authentication configuration is not known yet: until the API server sends it, "
                "no certificate of the front proxy is accepted",
            )

    def tasks(self) -> list[Task]:
        """Return what keeps certificates and authorities current, until the process ends."""
        own = self._certificate
        tasks = [
            *self._configuration.tasks(),
            Task("serving-certificate", partial(own.follow, self.tls), own.failing),
        ]
        for which, files in enumerate(self._named_certificates, 1):
            run = partial(files.follow, self.tls, which=which)
            tasks.append(Task(f"sni-certificate-{which}", run, files.failing))
        if self._ca_bundle is not None:
            tasks += self._ca_bundle.tasks()
        return tasks

    def _configuration_source(self, client: KubeClient) -> ConfigurationSource:
        informer = None
        if not self._settings.authentication.skip_lookup:
            informer = Informer(client, configmap(NAMESPACE, CONFIGMAP))
        return ConfigurationSource(
            self._configure, cluster=informer, flags=self._settings.authentication
        )

    def _configure(self, configuration: AuthConfiguration) -> None:
        self.authenticator.configure(configuration)
        self._trust()

    def _on_authorities(self, authorities: Sequence[KeyPair], signer: KeyPair) -> None:
        if self._settings.leader_election.enabled:
            self._replica_certificates.update(authorities, signer)
            self._trust()

    def _trust(self) -> None:
        """Accept handshakes with certificates of any authority that is trusted for some use."""
        pem = self.authenticator.configuration.pem
        self.tls.trust("\n".join(filter(None, (pem, self.replica_identity.pem))))

    def _client(self, kubeconfig: Path | None, shared: KubeClient) -> KubeClient:
        if not kubeconfig:
            return shared
        client = KubeClient(load_credentials(kubeconfig))
        self._stack.push_async_exit(client)
        return client


def _token_reviewer(settings: Settings, client: KubeClient, telemetry: Telemetry) -> TokenReviewer:
    return TokenReviewer(
        client,
        ttl=settings.authentication.token_cache_ttl,
        observe=partial(telemetry.review, "TokenReview"),
    )


def _token_identity(
    settings: Settings, client: KubeClient, telemetry: Telemetry
) -> TokenIdentity | None:
    election, service = settings.leader_election, settings.service
    token, authorities = election.replica_token_file, election.replica_certificate_authority
    if not (election.enabled and token and authorities):
        return None
    reviewer = TokenReviewer(
        client,
        audiences=[AUDIENCE],
        ttl=TTL,
        observe=partial(telemetry.review, "TokenReview"),
    )
    return TokenIdentity(token, authorities, f"{service.name}.{service.namespace}.svc", reviewer)


def _authorizer(settings: Settings, client: KubeClient, telemetry: Telemetry) -> Authorizer:
    return Authorizer(
        client,
        always_allow=settings.authorization.always_allow_paths,
        allowed_ttl=settings.authorization.authorized_ttl,
        denied_ttl=settings.authorization.unauthorized_ttl,
        observe=partial(telemetry.review, "SubjectAccessReview"),
    )
