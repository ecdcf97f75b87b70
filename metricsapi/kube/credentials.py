"""How to reach one API server, and as whom: in-cluster, or from a kubeconfig file."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricsapi.kube.errors import CredentialsError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_LIFE = 60.0  # seconds a token file's content is used before it is read again (client-go)


def no_token() -> str | None:
    """Stand for credentials without a bearer token."""
    return None


@dataclass(frozen=True)
class Credentials:
    """One API server and one identity there.

    `server` is an https URL; `ssl_context` verifies the server and carries the client
    certificate, if any; `token` gives the bearer token of this moment or None. `authority` is the
    PEM text that verifies the server, and `authority_file` where it was read, if in a file.
    """

    server: str
    ssl_context: ssl.SSLContext
    token: Callable[[], str | None]
    source: str
    server_name: str | None = None
    authority: str | None = None
    authority_file: Path | None = None


class TokenFile:
    """A bearer token in a file that someone rotates: read again once a minute.

    When it cannot be read, the last token read is used: it may still be valid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._token: str | None = None
        self._read_at = float("-inf")

    def __call__(self) -> str | None:
        now = time.monotonic()
        if now - self._read_at >= _TOKEN_LIFE:
            try:
                self._token = self.path.read_text().strip() or None
                self._read_at = now
            except OSError:
                if self._token is None:
                    raise
        return self._token

    def forget(self) -> None:
        """Read the file again at the next use, as after a 401."""
        self._read_at = float("-inf")


def load_credentials(kubeconfig: Path | str | None = None) -> Credentials:
    """Give the credentials of a kubeconfig file, or of the pod's service account for None.

    Raises CredentialsError with the file and the fix.
    """
    return _from_kubeconfig(Path(kubeconfig)) if kubeconfig else _in_cluster()


def _in_cluster() -> Credentials:
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise CredentialsError(
            "not running in a pod (KUBERNETES_SERVICE_HOST is not set) and no --kubeconfig given: "
            "name a kubeconfig file with --kubeconfig=FILE"
        )
    token = TokenFile(SERVICE_ACCOUNT / "token")
    try:
        token()
        authority = (SERVICE_ACCOUNT / "ca.crt").read_text()
        context = verifying_context(authority)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise CredentialsError(
            f"cannot read the service account in {SERVICE_ACCOUNT}: {error}; "
            "is automountServiceAccountToken off?"
        ) from error
    address = f"[{host}]" if ":" in host else host
    return Credentials(
        f"https://{address}:{port}",
        context,
        token,
        "in-cluster",
        authority=authority,
        authority_file=SERVICE_ACCOUNT / "ca.crt",
    )


def _from_kubeconfig(path: Path) -> Credentials:
    import yaml  # noqa: PLC0415  a megabyte that no server in a cluster needs

    try:
        config = yaml.safe_load(path.read_text())
    except OSError as error:
        raise CredentialsError(
            f"cannot read kubeconfig {path}: {error.strerror or error}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CredentialsError(f"kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(config, dict):
        raise CredentialsError(f"kubeconfig {path} holds no configuration")
    context = _named(config, "contexts", "context", config.get("current-context"), path)
    cluster = _named(config, "clusters", "cluster", context.get("cluster"), path)
    user = _named(config, "users", "user", context.get("user"), path)
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith("https://"):
        raise CredentialsError(f"kubeconfig {path}: the cluster's server must be an https:// URL")
    authority = _material(cluster, "certificate-authority", path)
    file = cluster.get("certificate-authority")
    return Credentials(
        server.rstrip("/"),
        _ssl_context(cluster, user, authority, path),
        _token_source(user, path),
        str(path),
        cluster.get("tls-server-name"),
        authority=authority.decode() if authority else None,
        authority_file=path.parent / str(file) if file else None,
    )


def _named(config: dict[str, Any], section: str, kind: str, name: Any, path: Path) -> Any:
    for entry in config.get(section) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(kind) or {}
    raise CredentialsError(f"kubeconfig {path} has no {kind} named {name!r}")


def _token_source(user: dict[str, Any], path: Path) -> Callable[[], str | None]:
    if token := user.get("token"):
        return lambda: str(token)
    if file := user.get("tokenFile"):
        return TokenFile(path.parent / file)
    for unsupported in ("exec", "auth-provider", "username"):
        if unsupported in user:
            raise CredentialsError(
                f"kubeconfig {path}: users with {unsupported!r} are not supported; use a token, "
                "a tokenFile or a client certificate (`kubectl create token` makes a token)"
            )
    return no_token


def _ssl_context(
    cluster: dict[str, Any], user: dict[str, Any], authority: bytes | None, path: Path
) -> ssl.SSLContext:
    certificate = _material(user, "client-certificate", path)
    key = _material(user, "client-key", path)
    try:
        context = verifying_context(authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate and key:
            load_client_certificate(context, certificate, key)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CredentialsError(
            f"kubeconfig {path}: a certificate or key in it cannot be used: {error}"
        ) from error
    return context


def verifying_context(authorities: str | None) -> ssl.SSLContext:
    """Give a client context that trusts these PEM certificates, or the system's for None.

    As Go does, it takes an intermediate as a trust anchor, and does not ask for the extensions
    that OpenSSL's strict mode (the default from Python 3.13 on) misses in clusters' own CAs.
    """
    context = ssl.create_default_context(cadata=authorities)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Put a PEM certificate and key into a context; `ssl` takes them from a file only."""
    with _private_file(certificate + b"\n" + key) as name:
        context.load_cert_chain(name)


@contextlib.contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """Give the name of a file that nobody else reads.

    Where there is a /proc it is in memory: keys stay off disks, and no folder need be writable.
    """
    if Path("/proc/self/fd").is_dir() and hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("metricsapi"), "wb") as memory:
            memory.write(content)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="metricsapi-") as file:  # mode 0600
            file.write(content)
            file.flush()
            yield file.name


def _material(section: dict[str, Any], name: str, path: Path) -> bytes | None:
    """Read `NAME-data` (base64) or the file that `NAME` names, relative to the kubeconfig."""
    if data := section.get(f"{name}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise CredentialsError(f"kubeconfig {path}: {name}-data is not base64") from error
    if file := section.get(name):
        try:
            return (path.parent / str(file)).read_bytes()
        except OSError as error:
            raise CredentialsError(
                f"kubeconfig {path}: cannot read {name} {file}: {error.strerror or error}"
            ) from error
    return None
