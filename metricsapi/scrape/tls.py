"""The TLS side of reading kubelets: one shared context, made again when its files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.credentials import verifying_context

log = logging.getLogger(__name__)

_LOOK_AGAIN = 10.0  # seconds between two looks at the files

Stamp = tuple[tuple[int, int, int] | None, ...]


class KubeletTLS:
    """Gives the client context for kubelets. Files are looked at every 10 s, when asked.

    `authority` is the cluster's CA, a file or PEM text, for when no flag names another; None is
    the system's CAs. `generation` grows with each new context: connections of an older one are
    not to be kept.
    """

    def __init__(self, settings: KubeletSettings, authority: Path | str | None) -> None:
        self._settings = settings
        self._authority = settings.certificate_authority or authority
        files = (self._authority, settings.client_certificate, settings.client_key)
        self._files = tuple(file for file in files if isinstance(file, Path))
        self._stamp = _stamp(self._files)
        self._context = self._build()
        self._looked_at = float("-inf")
        self.generation = 0

    def context(self, now: float) -> ssl.SSLContext:
        """Give the context of this moment; one that cannot be made anew stays as it was."""
        if now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            stamp = _stamp(self._files)
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = self._build()
        except (OSError, ValueError) as error:
            log.warning(
                "keeping the last kubelet CA and client certificate",
                extra={"data": {"error": str(error)}},
            )
            return
        self.generation += 1
        files = [str(file) for file in self._files]
        log.info(
            "read the kubelet CA and client certificate again", extra={"data": {"files": files}}
        )

    def _build(self) -> ssl.SSLContext:
        settings = self._settings
        authority = self._authority
        context = verifying_context(
            authority.read_text() if isinstance(authority, Path) else authority
        )
        context.hostname_checks_common_name = False  # as Go; names are in the SAN
        if settings.insecure_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if settings.client_certificate and settings.client_key:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
        return context


def _stamp(files: tuple[Path, ...]) -> Stamp:
    """Tell one state of the files from another; a mounted Secret is a changing symlink."""
    stamps: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(stamps)
