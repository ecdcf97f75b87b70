"""Serving TLS whose certificate and trusted authorities change while connections stay open.

`ssl` cannot take an authority out of a context, so each change makes a new context, and the one
that listens hands every handshake over to the newest.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from metricsapi.config.go_tls import CIPHER_SUITES, VERSIONS, offered_curve, openssl_curve
from metricsapi.config.serving import ServingSettings
from metricsapi.kube.bounded_tls import BoundedContext
from metricsapi.kube.key_pair import KeyPair, load_key_pair
from metricsapi.kube.pem import UNREADABLE
from metricsapi.server.tls.sni import by_name, choose

_DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TLSError(ValueError):
    """A certificate, key, version or cipher suite cannot be used; the message says which."""


@dataclass(frozen=True)
class Named:
    """A certificate for clients that ask for a name: one of `names`, or its own without any.

    Names are in lower case; `*` stands for whole leading labels.
    """

    pair: KeyPair
    names: tuple[str, ...] = ()


class ServingTLS:
    """The certificates that the server presents and accepts; both change at any time.

    `context` is for the listening socket; it stays the same.
    """

    def __init__(
        self,
        pair: KeyPair,
        *,
        named: Sequence[Named] = (),
        min_version: str = ServingSettings.min_version,
        cipher_suites: tuple[str, ...] = ServingSettings.cipher_suites,
        curves: tuple[int, ...] = ServingSettings.curve_preferences,
    ) -> None:
        """Take PEM certificates, a version and cipher suites by Go's names, curves by number.

        `pair` is for clients that ask for no name, or for none that is known. Raises TLSError.
        """
        self._min_version = _version(min_version)
        self._ciphers = _ciphers(cipher_suites)
        if cipher_suites and not self._ciphers:  # as in Go: none is left for older versions
            self._min_version = ssl.TLSVersion.TLSv1_3
        self._curve = offered_curve(curves)
        self._names = [each.names for each in named]
        self._use((pair, *(each.pair for each in named)), "")
        self.context = self._build(pair, "")
        # The listening context's own mode is what a handshake asks for, whatever it is handed to.
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.sni_callback = self._hand_over

    @property
    def pair(self) -> KeyPair:
        """The default certificate."""
        return self.pairs[0]

    def present(self, pair: KeyPair, which: int = 0) -> None:
        """Present another certificate from the next handshake on, the default one or a named one.

        `which` counts as in `pairs`. Raises TLSError.
        """
        if pair != self.pairs[which]:
            self._use((*self.pairs[:which], pair, *self.pairs[which + 1 :]), self._authorities)

    def trust(self, authorities: str) -> None:
        """Accept handshakes with client certificates of these authorities (PEM), and no others.

        Which of them may do what is decided per request. Raises TLSError.
        """
        if authorities != self._authorities:
            self._use(self.pairs, authorities)

    def _use(self, pairs: tuple[KeyPair, ...], authorities: str) -> None:
        """Make every context anew: one that fails leaves all as they were. Raises TLSError."""
        contexts = [self._build(pair, authorities) for pair in pairs]
        try:
            self._by_name = by_name(self._names, [pair.leaf for pair in pairs[1:]])
        except UNREADABLE as error:
            raise TLSError(f"the names in a certificate cannot be read: {error}") from error
        self.pairs = pairs  # the default certificate, then the named ones
        self._authorities, self._contexts = authorities, contexts

    def _hand_over(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _old: ssl.SSLContext
    ) -> None:
        connection.context = self._contexts[choose(self._by_name, name)]

    def _build(self, pair: KeyPair, authorities: str) -> ssl.SSLContext:
        context = BoundedContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = self._min_version
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        context.num_tickets = 0  # a resumed session would skip the check of its certificate
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(["http/1.1"])
        try:
            if self._curve is not None:
                context.set_ecdh_curve(openssl_curve(self._curve))
            context.set_ciphers(self._ciphers or _DEFAULT_CIPHERS)
            load_key_pair(context, pair)
            if authorities.strip():
                context.load_verify_locations(cadata=authorities)
        except (ssl.SSLError, ValueError) as error:
            raise TLSError(f"cannot serve with this certificate, key or authority: {error}") from (
                error
            )
        return context


def _version(name: str) -> ssl.TLSVersion:
    try:
        return VERSIONS[name]
    except KeyError:
        raise TLSError(f"{name} is not one of {', '.join(VERSIONS)}") from None


def _ciphers(names: tuple[str, ...]) -> str:
    if unknown := [name for name in names if name not in CIPHER_SUITES]:
        raise TLSError(
            f"unknown cipher suites {', '.join(unknown)}; known are {', '.join(CIPHER_SUITES)}"
        )
    return ":".join(filter(None, (CIPHER_SUITES[name] for name in names)))
