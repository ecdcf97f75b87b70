"""TLS of our clients: to API servers and to kubelets."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metricsapi.kube.bounded_tls import BoundedContext
from metricsapi.kube.files import FollowedFiles
from metricsapi.kube.key_pair import KeyPair, load_key_pair
from metricsapi.kube.pem import parse_authorities

PERIOD = 10.0  # seconds between two reads of a file of authorities

log = logging.getLogger(__name__)

Authorities = Callable[[], str | None]
Certificate = Callable[[], KeyPair | None]


def no_certificate() -> None:
    """Return None: a client without a certificate."""


def system_authorities() -> None:
    """Return None: the authorities of the operating system."""


def follow_authorities(path: Path) -> FollowedFiles[str]:
    """Follow a file of authorities, which may be replaced; its value is PEM text.

    Raises FileError for a file that cannot be used now.
    """

    def parse(contents: Sequence[bytes]) -> str:
        bundle = parse_authorities(contents[0], str(path))
        bundle.warn(log)
        return bundle.pem

    return FollowedFiles([path], parse, period=PERIOD)


class ClientTLS:
    """The current client context, made again when an authority or our certificate changes.

    `authorities` returns PEM text, None for those of the system; `certificate` what we present.
    `server_name` is verified in place of the name that is connected to. `generation` grows with
    each new context: connections of an older one are to be replaced.
    """

    def __init__(
        self,
        authorities: Authorities = system_authorities,
        certificate: Certificate = no_certificate,
        *,
        server_name: str | None = None,
        insecure: bool = False,
        bounded: bool = True,
    ) -> None:
        """Build the first context. Raises OSError (ssl.SSLError is one) or ValueError.

        Without `bounded`, whoever uses the contexts bounds the records of the server.
        """
        self.insecure = insecure
        self._bounded = bounded
        self.server_name = server_name
        self.authorities = authorities
        self.certificate = certificate
        self.generation = 0
        self._parts = (authorities(), certificate())
        self._context = self._build()

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """The files that authorities and certificate are in, as far as they are in files."""
        parts = (self.authorities, self.certificate)
        return [part for part in parts if isinstance(part, FollowedFiles)]

    def context(self) -> ssl.SSLContext:
        """Return the context; when a new one cannot be made, the last one stays."""
        parts = (self.authorities(), self.certificate())
        if parts != self._parts:
            self._parts = parts
            try:
                self._context = self._build()
            except (OSError, ValueError) as error:
                log.warning("keeping the last TLS context", extra={"data": {"error": str(error)}})
            else:
                self.generation += 1
                log.info("authorities or client certificate have changed")
        return self._context

    def _build(self) -> ssl.SSLContext:
        authorities, pair = self._parts
        context = verifying_context(authorities, self.server_name)
        if not self._bounded:
            context.sslobject_class = ssl.SSLObject
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if pair is not None:
            load_key_pair(context, pair)
        return context


class _NamedContext(BoundedContext):
    """A context that asks for, and verifies, one name, whatever name is connected to.

    httpx has an extension for that, but does not heed it through a proxy.
    """

    server_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        name = self.server_name or server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, name, session)

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        if self.server_name:
            options["server_hostname"] = self.server_name
        return super().wrap_socket(sock, *args, **options)


def verifying_context(authorities: str | None, server_name: str | None = None) -> ssl.SSLContext:
    """Return a client context that trusts these PEM certificates, or the system's for None.

    As Go does, it takes an intermediate as a trust anchor, takes names from the SAN alone, and
    does not ask for the extensions that OpenSSL's strict mode (the default from Python 3.13 on)
    misses in clusters' own CAs. A server's request to renegotiate is refused, too, and a
    server that sends records without content is disconnected.
    """
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = server_name
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authorities)
    return context


def unverified_context() -> ssl.SSLContext:
    """Return a client context that takes any certificate, to read it; nothing is to be sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # else a weak certificate is not even shown
    return context
