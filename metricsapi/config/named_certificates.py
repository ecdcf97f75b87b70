"""Values of `--tls-sni-cert-key`, in the syntax of k8s.io/component-base (`NamedCertKey`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metricsapi.config.flags import Kind, parse_string


@dataclass(frozen=True)
class NamedCertificate:
    """The files of a certificate and its key, and the names that it is for.

    `names` are DNS names, with `*` for whole leading segments; none means the certificate's own.
    """

    certificate: Path
    key: Path
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        files = f"{self.certificate},{self.key}"
        return f"{files}:{','.join(self.names)}" if self.names else files


def parse_named_certificates(text: str) -> tuple[NamedCertificate, ...]:
    """Parse `certfile,keyfile` or `certfile,keyfile:name,*.name`; several are separated by `;`.

    The flag is repeated for several; an environment variable is not, and /flagz shows one text.
    Raises ValueError.
    """
    return tuple(_named_certificate(part) for part in text.split(";"))


def _named_certificate(text: str) -> NamedCertificate:
    if "\0" in text:
        raise ValueError("must be paths, and a path has no NUL character")
    files, colon, rest = text.partition(":")
    parts = [part.strip() for part in files.split(",")]
    if len(parts) != 2 or not all(parts):
        raise ValueError("must be certfile,keyfile or certfile,keyfile:name,*.name")
    names = [name.strip() for name in parse_string(rest).split(",")] if colon else []
    if not all(names):
        raise ValueError(
            "has an empty name after the ':'; omit the ':' to use the names in the certificate"
        )
    return NamedCertificate(Path(parts[0]), Path(parts[1]), tuple(name.lower() for name in names))


def _format(values: tuple[NamedCertificate, ...]) -> str:
    return ";".join(map(str, values))


NAMED_CERTIFICATES = Kind("namedCertKey", parse_named_certificates, _format, repeats=True)
