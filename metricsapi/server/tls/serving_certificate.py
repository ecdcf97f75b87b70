"""Where the serving certificate comes from: files that someone else rotates, or our own making."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from metricsapi.kube.pem import UNREADABLE, PEMError, read_pair
from metricsapi.server.tls.context import ServingTLS, TLSError
from metricsapi.server.tls.issue import KeyPair, make_serving

PERIOD = 5.0  # seconds between two looks at files
LIFETIME = 365 * 86400.0  # seconds that a certificate of our own making is good for

_NAMES = ("apiserver.crt", "apiserver.key")  # as the reference names them

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServingNames:
    """What a serving certificate is for: DNS names and IP addresses."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...] = ()


def service_names(
    service: str, namespace: str, addresses: tuple[str, ...] = (), hostname: str = ""
) -> ServingNames:
    """Give the names that callers use: the aggregation layer's `SERVICE.NAMESPACE.svc` first."""
    base = f"{service}.{namespace}"
    dns = (f"{base}.svc", base, service, f"{base}.svc.cluster.local", "localhost", hostname)
    return ServingNames(tuple(name for name in dns if name), ("127.0.0.1", "::1", *addresses))


class CertificateFiles:
    """A certificate and its key that flags name, read again when they change."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = (certificate, key)

    def read(self) -> KeyPair:
        """Read both. Raises TLSError with the file."""
        try:
            return KeyPair(*read_pair(*self._paths))
        except PEMError as error:
            raise TLSError(str(error)) from error

    async def follow(self, tls: ServingTLS, period: float = PERIOD, which: int = 0) -> None:
        """Present what the files hold, until cancelled; a pair that does not fit is waited out.

        They hold number `which` of the server's certificates.
        """
        failed = ""
        while True:
            await asyncio.sleep(period)
            try:
                pair = self.read()
                if pair != tls.pairs[which]:
                    tls.present(pair, which)
                    log.info("presenting another certificate", extra={"data": describe(pair)})
                failed = ""
            except TLSError as error:
                # A rotation replaces two files one after the other, so once may be chance.
                if failed != str(error):
                    log.warning(
                        "keeping the last certificate", extra={"data": {"error": str(error)}}
                    )
                failed = str(error)


class SelfSigned:
    """A self-signed certificate, kept in `--cert-dir` so that a restart presents the same one."""

    def __init__(
        self,
        directory: Path | None,
        names: ServingNames,
        *,
        lifetime: float = LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the lifetime in seconds; `clock` gives epoch seconds.

        Without a directory each start makes a certificate of its own.
        """
        self._directory = directory
        self._names = names
        self._lifetime = lifetime
        self._clock = clock

    def read(self) -> KeyPair:
        """Give the certificate of the directory if it will do for some time, else a new one."""
        kept = self._kept()
        if kept is not None:
            return kept
        made = make_serving(
            self._names.dns, self._names.addresses, now=self._clock(), lifetime=self._lifetime
        )
        self._keep(made)
        return made

    async def follow(self, tls: ServingTLS, period: float = 60.0) -> None:
        """Replace the certificate before it expires, until cancelled."""
        while True:
            await asyncio.sleep(period)
            if tls.pair.renew_at() <= self._clock():
                tls.present(self.read())
                log.info("presenting another certificate", extra={"data": describe(tls.pair)})

    def _kept(self) -> KeyPair | None:
        if self._directory is None:
            return None
        try:
            pair = KeyPair(*((self._directory / name).read_bytes() for name in _NAMES))
            ServingTLS(pair)  # the key fits
            names = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            wanted = set(self._names.dns) <= set(names.value.get_values_for_type(x509.DNSName))
            return pair if wanted and pair.renew_at() > self._clock() else None
        except (OSError, x509.ExtensionNotFound, *UNREADABLE):
            return None

    def _keep(self, pair: KeyPair) -> None:
        """Write the pair; where that fails, as in a read-only container, it is in memory only."""
        if self._directory is None:
            _not_kept("", "neither $XDG_STATE_HOME nor $HOME is set")
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._directory / _NAMES[0], pair.certificate, 0o644)
            _write(self._directory / _NAMES[1], pair.key, 0o600)
        except OSError as error:
            _not_kept(str(self._directory), error.strerror or str(error))


def _not_kept(directory: str, why: str) -> None:
    log.warning(
        "the self-signed certificate is not kept, so a restart presents another one; "
        "to keep it, name a directory that can be written: --cert-dir",
        extra={"data": {"directory": directory, "error": why}},
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file at once; a failure leaves it as it was, and nothing beside it."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def describe(pair: KeyPair) -> dict[str, str]:
    """Give what a log line tells of a certificate."""
    leaf = pair.leaf
    return {
        "subject": leaf.subject.rfc4514_string(),
        "issuer": leaf.issuer.rfc4514_string(),
        "expires": leaf.not_valid_after_utc.isoformat(),
    }
