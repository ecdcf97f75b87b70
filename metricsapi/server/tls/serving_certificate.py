"""The serving certificate: from files that others rotate, or self-signed."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from metricsapi.kube.files import PERIOD, FileError, FollowedFiles
from metricsapi.kube.key_pair import KeyPair, parse_pair, read_pair
from metricsapi.kube.pem import UNREADABLE
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.server.tls.context import ServingTLS, TLSError
from metricsapi.server.tls.issue import is_current, make_serving

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
    """Return the names that callers use: the aggregation layer's `SERVICE.NAMESPACE.svc` first."""
    base = f"{service}.{namespace}"
    dns = (f"{base}.svc", base, service, f"{base}.svc.cluster.local", "localhost", hostname)
    return ServingNames(tuple(name for name in dns if name), ("127.0.0.1", "::1", *addresses))


class CertificateFiles:
    """A certificate and its key that flags name, read again when they change."""

    def __init__(self, certificate: Path, key: Path, period: float = PERIOD) -> None:
        """Read both; `period` in seconds. Raises TLSError with the file."""
        try:
            self._files = FollowedFiles(
                (certificate, key),
                lambda contents: parse_pair(contents[0], contents[1], str(certificate), str(key)),
                period=period,
            )
        except FileError as error:
            raise TLSError(str(error)) from error

    def read(self) -> KeyPair:
        """Return the pair of the last time that the files were read."""
        return self._files.value

    def failing(self) -> tuple[float, str] | None:
        """Return since when (monotonic seconds) and why the files are unusable; None if usable."""
        return self._files.failing()

    async def follow(
        self, tls: ServingTLS, progress: Progress = unobserved, *, which: int = 0
    ) -> None:
        """Present what the files hold, as number `which` of the certificates, until cancelled."""

        def present(pair: KeyPair) -> None:
            tls.present(pair, which)
            log.info("presenting another certificate", extra={"data": describe(pair)})

        await self._files.follow(present, progress)


class SelfSigned:
    """A self-signed certificate, kept in `--cert-dir` so that a restart presents the same one."""

    def __init__(
        self,
        directory: Path | None,
        names: ServingNames,
        *,
        lifetime: float = LIFETIME,
        period: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the lifetime and the time between two checks; `clock` gives epoch seconds.

        Without a directory each start makes a certificate of its own.
        """
        self._period = period
        self._directory = directory
        self._names = names
        self._lifetime = lifetime
        self._clock = clock
        self._own: KeyPair | None = None

    def read(self) -> KeyPair:
        """Return the certificate of the directory if it will do for some time, else a new one."""
        self._own = self._kept() or self._make()
        return self._own

    def failing(self) -> None:
        """Return None: it depends on nothing that can fail."""

    async def follow(self, tls: ServingTLS, progress: Progress = unobserved) -> None:
        """Replace the certificate before it expires, or if a clock jumped, until cancelled.

        Not if it is another's: that of `--manage-ca-bundle` is replaced by its controller.
        """
        while True:
            progress()
            await asyncio.sleep(self._period)
            if tls.pair == self._own and not is_current(tls.pair, self._clock()):
                tls.present(self.read())
                log.info("presenting another certificate", extra={"data": describe(tls.pair)})

    def _make(self) -> KeyPair:
        made = make_serving(
            self._names.dns, self._names.addresses, now=self._clock(), lifetime=self._lifetime
        )
        self._keep(made)
        return made

    def _kept(self) -> KeyPair | None:
        if self._directory is None:
            return None
        try:
            pair = read_pair(*(self._directory / name for name in _NAMES))
            names = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            wanted = set(self._names.dns) <= set(names.value.get_values_for_type(x509.DNSName))
            return pair if wanted and is_current(pair, self._clock()) else None
        except (*UNREADABLE, x509.ExtensionNotFound):
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
    """Return the fields of a certificate for a log line."""
    leaf = pair.leaf
    return {
        "subject": leaf.subject.rfc4514_string(),
        "issuer": leaf.issuer.rfc4514_string(),
        "expires": leaf.not_valid_after_utc.isoformat(),
    }
