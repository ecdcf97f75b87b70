"""Why a scrape of a node failed, as a value: a cause to count, and what happened in a sentence.

What to do about each cause is in `telemetry/troubleshooting`.

ScrapeError
+-- IdleClosed   the kept connection was closed before this request
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from enum import StrEnum

from msgspec import Struct, structs

from metricsapi.telemetry.printable import printable
from metricsapi.telemetry.troubleshooting import remedy

LONGEST_MESSAGE = 1000  # characters
# What ends a task on purpose; whatever else is raised in a scrape is a bug, and costs that scrape.
CANCELLED = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


class Cause(StrEnum):
    """The kinds of failed scrapes; each is a label value of a metric, so they are few."""

    NO_ADDRESS = "no_address"
    NAME_NOT_FOUND = "name_not_found"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RESET = "reset"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    NOT_HTTP = "not_http"
    TLS = "tls"
    CERTIFICATE_LACKS_ADDRESS = "certificate_lacks_address"
    CERTIFICATE_SELF_SIGNED = "certificate_self_signed"
    CERTIFICATE_UNKNOWN_CA = "certificate_unknown_ca"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_UNSUITABLE = "certificate_unsuitable"
    CREDENTIALS = "credentials"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    STATUS = "status"
    TOO_MANY_REQUESTS = "too_many_requests"
    DECODE = "decode"
    TOO_MANY_PODS = "too_many_pods"
    TOO_MANY_CONTAINERS = "too_many_containers"
    NO_USAGE = "no_usage"
    API_SERVER = "api_server"
    INTERNAL = "internal"


CERTIFICATE_CAUSES = frozenset(cause for cause in Cause if cause.startswith("certificate_"))


class Failure(Struct, frozen=True):
    """One failed scrape. `message` says what happened where, in one bounded line.

    It quotes what comes from outside: names, certificates, responses.
    """

    cause: Cause
    message: str

    def __post_init__(self) -> None:
        text = printable(self.message[:LONGEST_MESSAGE])[:LONGEST_MESSAGE]
        structs.force_setattr(self, "message", text)

    @property
    def fix(self) -> str:
        """What to do about it."""
        return remedy(self.cause).fix


class ScrapeError(Exception):
    """Carries a Failure up to where the scrape ends; it does not leave `KubeletClient`.

    `other_endpoint` says that the kubelet's other endpoint may be good.
    """

    def __init__(self, cause: Cause, message: str, *, other_endpoint: bool = False) -> None:
        self.cause = cause
        self.failure = Failure(cause, message)
        super().__init__(self.failure.message)
        self.other_endpoint = other_endpoint


class IdleClosed(ScrapeError):
    """The peer had closed a kept connection before our next request: no failure of its own."""


_EXPIRED = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED
_SELF_SIGNED = {18, 19}  # X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, _SELF_SIGNED_CERT_IN_CHAIN
_MISMATCH = {62, 63, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_, _IP_ADDRESS_MISMATCH
# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, _CERT_SIGNATURE_FAILURE (a CA of the same name with another
# key), _UNABLE_TO_GET_ISSUER_CERT_LOCALLY, _UNABLE_TO_VERIFY_LEAF_SIGNATURE, _CERT_UNTRUSTED
_UNKNOWN_CA = {2, 7, 20, 21, 27}
# Reasons of ssl.SSLError for a certificate that OpenSSL refuses without verifying it.
_TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")


def from_connect_error(error: Exception, where: str) -> ScrapeError:
    """Name why a connection to `where` could not be made.

    What is neither an OSError nor a TimeoutError says that this is no host name or port: the codec
    of international names, the resolver and the TLS library each raise what they like.
    """
    if isinstance(error, TimeoutError):
        return ScrapeError(Cause.TIMEOUT, f"no connection to {where} in time")
    if not isinstance(error, OSError):
        return ScrapeError(
            Cause.NAME_NOT_FOUND,
            f"{where!r} is no host name and port that can be connected to: {error}",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _from_verification(error, where)
    if isinstance(error, ssl.SSLError):
        return from_tls_error(error, where)
    if isinstance(error, socket.gaierror):
        return ScrapeError(Cause.NAME_NOT_FOUND, f"{where}: {_lookup_problem(error)}")
    if isinstance(error, ConnectionRefusedError):
        return ScrapeError(Cause.REFUSED, f"{where} refused the connection")
    if isinstance(error, ConnectionError):
        return ScrapeError(Cause.RESET, f"{where} closed the connection while it was being made")
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
        return ScrapeError(Cause.UNREACHABLE, f"{where} is unreachable: {error.strerror}")
    return ScrapeError(Cause.UNREACHABLE, f"cannot connect to {where}: {error.strerror or error}")


def _lookup_problem(error: socket.gaierror) -> str:
    if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
        return "name not found"
    return f"the name could not be looked up: {error.strerror or error}"


def from_tls_error(error: OSError, where: str) -> ScrapeError:
    """Name why TLS with `where` failed, other than by its certificate."""
    reason = getattr(error, "reason", None) or str(error)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return ScrapeError(Cause.CREDENTIALS, f"{where} refused our client certificate: {reason}")
    if reason in _TOO_WEAK:
        return ScrapeError(
            Cause.CERTIFICATE_UNSUITABLE, f"the certificate of {where} is too weak: {reason}"
        )
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        reason += ": this port does not speak TLS"
    return ScrapeError(Cause.TLS, f"TLS with {where} failed: {reason}")


def broken_off(where: str) -> ScrapeError:
    """Return the error of a response of which only the beginning came."""
    return ScrapeError(Cause.TRUNCATED, f"{where} broke off within its answer")


def certificate_cause(code: int) -> Cause:
    """Return the cause for OpenSSL's code of a failed verification (X509_V_ERR_*)."""
    if code in _MISMATCH:
        return Cause.CERTIFICATE_LACKS_ADDRESS
    if code in _SELF_SIGNED:
        return Cause.CERTIFICATE_SELF_SIGNED
    if code in _EXPIRED:
        return Cause.CERTIFICATE_EXPIRED
    return Cause.CERTIFICATE_UNKNOWN_CA if code in _UNKNOWN_CA else Cause.CERTIFICATE_UNSUITABLE


_VERIFICATION = {
    Cause.CERTIFICATE_LACKS_ADDRESS: "lacks this address: {}",
    Cause.CERTIFICATE_SELF_SIGNED: (
        "is self-signed by the kubelet: its serving CSR was never approved"
    ),
    Cause.CERTIFICATE_EXPIRED: "is not valid now: {}",
    Cause.CERTIFICATE_UNSUITABLE: "may not be used for this: {}",
    Cause.CERTIFICATE_UNKNOWN_CA: "is signed by a CA that is not trusted here: {}",
}


def _from_verification(error: ssl.SSLCertVerificationError, where: str) -> ScrapeError:
    cause = certificate_cause(error.verify_code)
    text = _VERIFICATION[cause].format(error.verify_message)
    return ScrapeError(cause, f"the certificate of {where} {text}")


_BY_STATUS = {
    401: Cause.UNAUTHORIZED,
    403: Cause.FORBIDDEN,
    404: Cause.NOT_FOUND,
    429: Cause.TOO_MANY_REQUESTS,
}
_OTHER_ENDPOINT = frozenset({403, 404, 405, 501})


def from_status(
    status: int, body: bytes | bytearray, where: str, permission: str, location: str = ""
) -> ScrapeError:
    """Name why `where` answered other than 200; `permission` is the resource that a 403 is about.

    `location` is where a redirect points.
    """
    text = " ".join(body[:300].decode("utf-8", "replace").split())
    cause = _BY_STATUS.get(status, Cause.STATUS)
    more = ""
    if cause is Cause.FORBIDDEN:
        more = (
            f'; the ClusterRole lacks the rule apiGroups: [""], resources: ["{permission}"], '
            'verbs: ["get"]'
        )
    if 300 <= status < 400 and location:
        more = f"; a redirect to {location[:200]!r} is not followed"
    message = f"{where} answered {status}: {text}{more}"
    return ScrapeError(cause, message, other_endpoint=status in _OTHER_ENDPOINT)
