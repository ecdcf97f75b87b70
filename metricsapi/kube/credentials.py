"""How to reach one API server, and as whom: in a pod, or from a kubeconfig."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from metricsapi.kube.addresses import host_port
from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.exec_config import exec_plugin
from metricsapi.kube.exec_identity import ExecIdentity
from metricsapi.kube.files import FileError, FollowedFiles
from metricsapi.kube.identity import Identity
from metricsapi.kube.key_pair import parse_pair
from metricsapi.kube.kubeconfig import Entry, load_kubeconfig
from metricsapi.kube.pem import parse_authorities
from metricsapi.kube.proxy import checked_proxy, proxy_for
from metricsapi.kube.tls import ClientTLS, follow_authorities, system_authorities

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
log = logging.getLogger(__name__)
_AUTHORITIES = ("certificate-authority", "certificate-authority-data")
_IMPERSONATION = (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid"))


@dataclass(frozen=True)
class Credentials:
    """One API server and one identity there.

    `server` is an https URL; `tls` verifies the server and presents the client certificate of
    `identity`, which kubelets are shown too. `source` says where this comes from. `proxy` is the
    URL of the proxy to the API server; `headers` are sent with each request to it.
    """

    server: str
    tls: ClientTLS
    identity: Identity
    source: str
    proxy: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    context: str = ""  # of the kubeconfig

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """The files that these are in and that may be replaced."""
        return [*self.tls.files, *self.identity.files]

    @property
    def cluster(self) -> str:
        """What people call the cluster: the kubeconfig's context, or else the server's URL."""
        return self.context or self.server


def load_credentials(
    kubeconfig: Path | str | Sequence[Path] | None = None, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """Return the credentials of a kubeconfig, of several, or of the pod's service account for None.

    Raises CredentialsError with the file and the fix.
    """
    if kubeconfig is None or kubeconfig == "":
        return _in_cluster(environ)
    paths = [Path(kubeconfig)] if isinstance(kubeconfig, (str, Path)) else list(kubeconfig)
    return _from_kubeconfig(paths, environ)


def default_kubeconfigs(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the kubeconfigs that kubectl would load: those of $KUBECONFIG, or ~/.kube/config.

    Raises CredentialsError when there is neither.
    """
    named = [Path(name) for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    try:
        return named or [Path.home() / ".kube" / "config"]
    except RuntimeError as error:  # an account without a home, as in a container
        raise CredentialsError(
            "there is neither $KUBECONFIG nor a home directory: name a kubeconfig with --kubeconfig"
        ) from error


def _in_cluster(environ: Mapping[str, str]) -> Credentials:
    host = environ.get("KUBERNETES_SERVICE_HOST")
    port = environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise CredentialsError(
            "not running in a pod (KUBERNETES_SERVICE_HOST is not set) and no --kubeconfig given: "
            "name a kubeconfig file with --kubeconfig=FILE"
        )
    try:
        identity = Identity(token_file=SERVICE_ACCOUNT / "token")
        tls = ClientTLS(follow_authorities(SERVICE_ACCOUNT / "ca.crt"))
    except (OSError, ValueError, CredentialsError) as error:
        raise CredentialsError(
            f"cannot read the service account in {SERVICE_ACCOUNT}: {error}; "
            "is automountServiceAccountToken off?"
        ) from error
    server = _checked_server(f"https://{host_port(host, port)}")
    return Credentials(server, tls, identity, "in-cluster", proxy_for(server, environ))


def _from_kubeconfig(paths: Sequence[Path], environ: Mapping[str, str]) -> Credentials:
    config = load_kubeconfig(paths)
    cluster, user = config.selected()
    server = _server(cluster)
    identity = _identity(cluster, user)
    proxy = cluster.text("proxy-url")
    return Credentials(
        server,
        _tls(cluster, user, identity),
        identity,
        ":".join(map(str, paths)),
        checked_proxy(proxy, f"kubeconfig {cluster.file}: proxy-url")
        if proxy
        else proxy_for(server, environ),
        tuple(_impersonation(user)),
        config.current_context,
    )


def _server(cluster: Entry) -> str:
    try:
        return _checked_server(cluster.text("server"))
    except CredentialsError as error:
        raise cluster.error(str(error)) from error


def _checked_server(server: str) -> str:
    try:
        url = httpx.URL(server)
    except (httpx.InvalidURL, ValueError) as error:
        raise CredentialsError(f"the server {server!r} is no URL: {error}") from error
    if url.scheme != "https" or not url.host:
        raise CredentialsError(f"the cluster's server must be an https:// URL, not {server!r}")
    return server.rstrip("/")


def _tls(cluster: Entry, user: Entry, identity: Identity) -> ClientTLS:
    insecure = cluster.flag("insecure-skip-tls-verify")
    if insecure and any(cluster.text(key) for key in _AUTHORITIES):
        raise cluster.error(
            "certificate-authority is not used with insecure-skip-tls-verify: remove one of them"
        )
    try:
        return ClientTLS(
            _authorities(cluster),
            identity.certificate,
            server_name=cluster.text("tls-server-name") or None,
            insecure=insecure,
        )
    except FileError as error:
        raise cluster.error(f"certificate-authority: {error}") from error
    except (ssl.SSLError, OSError, ValueError) as error:
        raise user.error(f"a certificate or key in it cannot be used: {error}") from error


def _authorities(cluster: Entry) -> Callable[[], str | None]:
    """Return a function for the current PEM text of the cluster's CA."""
    data = cluster.data("certificate-authority")
    if data is not None:
        bundle = parse_authorities(data, f"certificate-authority-data in {cluster.file}")
        bundle.warn(log)
        return lambda: bundle.pem
    path = cluster.path("certificate-authority")
    return follow_authorities(path) if path else system_authorities


def _identity(cluster: Entry, user: Entry) -> Identity:
    """Return the user's identity: a token or a certificate wins over `exec`, as in client-go."""
    for refused, fix in _REFUSED.items():
        if user.values.get(refused):
            raise user.error(f"{refused} is not supported{fix}")
    token, token_file = user.text("token"), user.path("tokenFile")
    certificate, key = user.content("client-certificate"), user.content("client-key")
    if (certificate is None) != (key is None):
        raise user.error("client-certificate and client-key are needed both")
    if user.values.get("exec") and not (token or token_file or certificate):
        return ExecIdentity(exec_plugin(cluster, user))
    try:
        if certificate is None or key is None:
            return Identity(token, token_file=token_file)
        if (files := _pair_files(user)) is not None:
            return Identity(token, token_file=token_file, pair_files=files)
        pair = parse_pair(certificate, key, "client-certificate", "client-key")
        return Identity(token, token_file=token_file, pair=pair)
    except (FileError, CredentialsError) as error:
        raise user.error(f"{error}") from error


def _pair_files(user: Entry) -> tuple[Path, Path] | None:
    """Return the files of certificate and key; None where one of them is in the kubeconfig."""
    certificate, key = user.path("client-certificate"), user.path("client-key")
    inline = user.text("client-certificate-data") or user.text("client-key-data")
    return None if inline or certificate is None or key is None else (certificate, key)


_REFUSED = {
    "username": ": basic authentication was removed from Kubernetes 1.19; use a token, a "
    "tokenFile, a client certificate or exec (`kubectl create token` makes a token)",
    "auth-provider": ": it was removed from client-go 1.26; use the provider's exec plugin",
}


def _impersonation(user: Entry) -> list[tuple[str, str]]:
    headers = [(header, text) for key, header in _IMPERSONATION if (text := user.text(key))]
    headers += [("Impersonate-Group", group) for group in user.texts("as-groups")]
    extra = user.values.get("as-user-extra") or {}
    if not isinstance(extra, dict):
        raise user.error("as-user-extra must have lists of strings")
    extras = Entry("as-user-extra of user", user.name, extra, user.file)
    for key in extra:
        header = f"Impersonate-Extra-{quote(str(key), safe='')}"
        headers += [(header, text) for text in extras.texts(key)]
    if headers and not user.text("as"):
        raise user.error("as-uid, as-groups and as-user-extra need a user to impersonate: as")
    return headers
