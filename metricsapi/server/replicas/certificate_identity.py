"""Replicas know each other by certificates that the CA of `--manage-ca-bundle` signed.

Every replica reads that CA from its Secret and signs itself a client certificate with a name that
nothing else has, `URI`. A follower shows it to the leader, whose serving certificate the same CA
signed. It works while the API server is away. Certificates of any authority in the Secret are
accepted, so that rotation overlaps as that of the `caBundle` does.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509

from metricsapi.kube.key_pair import KeyPair, load_key_pair
from metricsapi.kube.pem import Bundle, read_bundle
from metricsapi.kube.tls import verifying_context
from metricsapi.server.auth.client_certificates import CertificateAuthorities, PeerCertificates
from metricsapi.server.replicas.identity import NoIdentityError, Shown
from metricsapi.server.tls.ca_rotation import ca_bundle
from metricsapi.server.tls.issue import is_current, make_client

URI = "urn:metricsapi:replica"
LIFETIME = 86400.0  # seconds; one is made anew after four fifths of it
_USE = "replica"


class CertificateIdentity:
    """This replica's client certificate, and who else is a replica. `clock`: epoch seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._authorities = CertificateAuthorities(Bundle())
        self._bundle = b""
        self._signer: KeyPair | None = None
        self._pair: KeyPair | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def pem(self) -> str:
        """The authorities of replicas, for the TLS of the server; empty while there are none."""
        return self._authorities.pem

    def update(self, authorities: Sequence[KeyPair], signer: KeyPair) -> None:
        """Take the authorities of the Secret."""
        bundle = ca_bundle(authorities)
        if bundle != self._bundle or signer != self._signer:
            self._bundle, self._signer = bundle, signer
            self._authorities = CertificateAuthorities(read_bundle(bundle, "the CA Secret"))
            self._pair = self._context = None

    def shown(self) -> Shown:
        """Return what to show to the leader now. Raises NoIdentityError before there is a CA."""
        now = self._clock()
        if self._signer is None:
            raise NoIdentityError(
                "this replica has no certificate to show to the leader: followers need "
                "--manage-ca-bundle and the Secret of its CA, or --replica-token-file"
            )
        if self._pair is None or not is_current(self._pair, now):
            self._pair, self._context = make_client(URI, self._signer, now, LIFETIME), None
        if self._context is None:
            context = verifying_context(self._bundle.decode())
            load_key_pair(context, self._pair)
            self._context = context
        return Shown(self._context, {})

    async def refusal(self, scope: Any) -> str | None:
        """Return why the client of an ASGI request is no replica; None if it is."""
        return self.fault(scope["state"].get("peer"), self._clock())

    def fault(self, peer: PeerCertificates | None, now: float) -> str | None:
        """Return why a connection's peer is no replica at epoch seconds `now`; None if it is."""
        if peer is None:
            return "it shows no certificate"
        if (fault := peer.fault(_USE, self._authorities, now)) is not None:
            return fault
        try:
            names = peer.certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value.get_values_for_type(x509.UniformResourceIdentifier)
        except (x509.ExtensionNotFound, ValueError):
            names = []
        return None if URI in names else f"its certificate is not for {URI}"
