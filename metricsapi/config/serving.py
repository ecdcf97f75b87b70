"""Settings of the HTTPS listener, its certificate and the Service in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metricsapi.config.go_tls import CIPHER_SUITES, CURVES, VERSIONS
from metricsapi.config.groups import GENERIC, SERVER, SERVING
from metricsapi.config.named_certificates import NAMED_CERTIFICATES, NamedCertificate

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_POD_CERT_DIR = Path("apiserver.local.config/certificates")  # the reference's default


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The Service that the APIServices name, and the CA that it is verified with."""

    manage_ca_bundle: bool = SERVER.boolean(
        "manage-ca-bundle",
        False,
        "Keep a CA in a Secret, sign the serving certificate with it and write it to the "
        "APIServices' caBundle.",
    )
    name: str = SERVER.string(
        "service-name",
        "metrics-server",
        "The Service that the APIServices name: for the names in the serving certificate, and "
        "for the doctor.",
    )
    given_namespace: str = SERVER.string(
        "service-namespace",
        "",
        "The namespace of that Service. Empty means the pod's own, or kube-system outside a "
        "cluster.",
    )
    ca_secret_name: str = SERVER.string(
        "ca-secret-name",
        "metrics-server-ca",
        "The Secret, in the namespace of the Service, that holds the CA of --manage-ca-bundle.",
    )

    @property
    def namespace(self) -> str:
        """The namespace of our Service and Secret."""
        if self.given_namespace:
            return self.given_namespace
        try:
            return _OWN_NAMESPACE.read_text().strip() or "kube-system"
        except (OSError, UnicodeDecodeError):
            return "kube-system"


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """The HTTPS listener. Durations in seconds."""

    shutdown_delay: float = GENERIC.duration(
        "shutdown-delay-duration",
        0.0,
        "Time to delay the termination. During that time the server keeps serving requests "
        "normally; /healthz and /livez succeed, /readyz fails at once.",
    )
    strict_transport_security: tuple[str, ...] = GENERIC.strings(
        "strict-transport-security-directives",
        (),
        "Directives for the Strict-Transport-Security header of every response, such as "
        "max-age=31536000,includeSubDomains,preload. Without any there is no such header.",
    )
    bind_address: str = SERVING.string(
        "bind-address",
        "0.0.0.0",
        "The IP address on which to listen for the --secure-port port. If blank or unspecified "
        "(0.0.0.0 or ::), all interfaces and IP address families are used.",
    )
    port: int = SERVING.integer(
        "secure-port",
        443,
        "The port on which to serve HTTPS with authentication and authorization.",
        minimum=0,
        maximum=65535,
    )
    cert_dir: Path | None = SERVING.directory(
        "cert-dir",
        "The directory of the self-signed TLS certificate. Ignored if --tls-cert-file and "
        "--tls-private-key-file are given. Empty means apiserver.local.config/certificates in a "
        "pod, and outside of one metricsapi/certificates in the user's state directory "
        "($XDG_STATE_HOME or ~/.local/state).",
    )
    cert_file: Path | None = SERVING.file(
        "tls-cert-file",
        "File with the certificate for HTTPS and its chain, read again when it changes.",
    )
    private_key_file: Path | None = SERVING.file(
        "tls-private-key-file", "File with the private key matching --tls-cert-file."
    )
    cipher_suites: tuple[str, ...] = SERVING.strings(
        "tls-cipher-suites",
        (),
        "Cipher suites for the server, by their IANA names. If omitted, those with forward "
        "secrecy and authenticated encryption are used. Those of TLS 1.3 are always on; with no"
        " others, older versions are off.",
        choices=tuple(CIPHER_SUITES),
    )
    curve_preferences: tuple[int, ...] = SERVING.integers(
        "tls-curve-preferences",
        (),
        "Key exchanges that the server may use, by their numbers in Go's crypto/tls (CurveID): "
        + ", ".join(f"{number} {name}" for number, name in CURVES.items())
        + ". Python's TLS offers either all that OpenSSL has or a single one: of a list the "
        "first of 23, 29, 24, 25 that is in it, and never the hybrids with ML-KEM. If omitted, "
        "those of OpenSSL are used.",
        choices=tuple(CURVES),
    )
    min_version: str = SERVING.string(
        "tls-min-version", "VersionTLS12", "Minimum TLS version supported.", choices=tuple(VERSIONS)
    )
    named_certificates: tuple[NamedCertificate, ...] = SERVING.declare(
        NAMED_CERTIFICATES,
        "tls-sni-cert-key",
        (),
        "A certificate and its key (certfile,keyfile) for clients that ask for one of its "
        "names, or of the names after a colon (certfile,keyfile:name,*.name). Exact names win "
        "over those with *, given names over those in certificates; any other client gets the "
        "default certificate. Repeat the flag for more. Read again when they change.",
    )
    port_sharing: bool = SERVING.boolean(
        "permit-port-sharing",
        False,
        "Use SO_REUSEPORT when binding the port, so that more than one process can bind the "
        "same address and port.",
    )
    address_sharing: bool = SERVING.boolean(
        "permit-address-sharing",
        True,
        "Use SO_REUSEADDR when binding the port, so that a restart need not wait for old "
        "connections. On unless set to false; in metrics-server it is on whatever the flag "
        "says, as Go sets it on every listener.",
    )

    def certificate_directory(self, environ: Mapping[str, str]) -> Path | None:
        """Return where the self-signed certificate is kept; None where a user has no home.

        Outside a pod it is below the XDG state directory, so that no key lands in the working
        directory, which may be a checkout.
        """
        if self.cert_dir is not None:
            return self.cert_dir
        if "KUBERNETES_SERVICE_HOST" in environ:  # the kubelet sets it in every pod
            return _POD_CERT_DIR
        state = Path(environ.get("XDG_STATE_HOME", ""))
        if not state.is_absolute():  # the specification: to be ignored
            home = Path(environ.get("HOME", ""))
            if not home.is_absolute():
                return None
            state = home / ".local" / "state"
        return state / "metricsapi" / "certificates"
