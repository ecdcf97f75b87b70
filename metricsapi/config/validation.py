"""What cannot work in `Settings`, all of it at once, and what works but deserves a warning.

Each text names its flag. Files are looked at.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from metricsapi.config.flags import DURATION, INT, flags_of, format_duration
from metricsapi.kube.pem import PEMError, read_authorities, read_pair, validity_problem
from metricsapi.kube.selectors import SelectorError, parse_labels

if TYPE_CHECKING:
    from metricsapi.config.settings import Settings

# The kubelet's housekeeping reads cgroups every 10 s, so a shorter resolution reads again
# what has not changed for nodes, and costs the node its CPU time for each read.
KUBELET_PERIOD = 10.0

_HSTS = re.compile("max-age=[0-9]+|includeSubDomains|preload")

_AUTHORITIES = (
    "kubelet_certificate_authority",
    "client_ca_file",
    "requestheader_client_ca_file",
)
_PAIRS = (
    ("kubelet_client_certificate", "kubelet_client_key"),
    ("tls_cert_file", "tls_private_key_file"),
)
_FILES = (
    "kubeconfig",
    "authentication_kubeconfig",
    "authorization_kubeconfig",
    *(name for pair in _PAIRS for name in pair),
)
_RANGES = {
    "metric-resolution": (1.0, float("inf")),
    "request-timeout": (0.001, float("inf")),
    "kubelet-request-timeout": (0.001, float("inf")),
    "kubelet-port": (1, 65535),
    "secure-port": (0, 65535),
    "scrape-concurrency": (1, float("inf")),
    "scrape-failed-concurrency": (1, float("inf")),
    "kubelet-max-response-bytes": (4096, float("inf")),
    "max-connections": (1, float("inf")),
    "max-header-bytes": (1024, float("inf")),
    "max-header-count": (16, float("inf")),
    "max-target-bytes": (256, float("inf")),
    "header-timeout": (0.1, float("inf")),
    "idle-timeout": (1.0, float("inf")),
}


def problems(settings: Settings) -> list[str]:
    """Name every value that cannot work, alone or beside another."""
    return [
        *_kubelet_problems(settings),
        *_serving_problems(settings),
        *_file_problems(settings),
        *_number_problems(settings),
    ]


def warnings(settings: Settings, now: float) -> list[str]:
    """Name what works but is worth a line in the log at start; `now` is in epoch seconds."""
    found = []
    if settings.metric_resolution < KUBELET_PERIOD:
        found.append(
            f"--metric-resolution={format_duration(settings.metric_resolution)} is below the "
            "kubelet's own period of 10s: node usage will not be newer, and every read "
            "costs the node CPU time"
        )
    if settings.kubelet_insecure_tls:
        found.append("--kubelet-insecure-tls: kubelets are not verified")
    if settings.deprecated_kubelet_completely_insecure:
        found.append("--deprecated-kubelet-completely-insecure: kubelets are read over HTTP")
    for flag, certificate, key in _pairs(settings):
        try:
            fault = validity_problem(read_pair(certificate, key)[0], now)
        except PEMError:
            continue  # a problem, not a warning
        if fault:
            found.append(f"{flag}: the certificate in {certificate} {fault}")
    names = [name for one in settings.tls_sni_cert_key for name in one.names]
    if addresses := list(filter(_is_address, names)):
        found.append(
            f"--tls-sni-cert-key: {', '.join(addresses)}: whoever connects to an IP address asks "
            "for no name, and gets the default certificate"
        )
    return found


def _kubelet_problems(settings: Settings) -> list[str]:
    insecure, plain = "--kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure"
    given = {
        "--kubelet-certificate-authority": bool(settings.kubelet_certificate_authority),
        "--kubelet-client-key": bool(settings.kubelet_client_key),
        "--kubelet-client-certificate": bool(settings.kubelet_client_certificate),
        insecure: settings.kubelet_insecure_tls,
        plain: settings.deprecated_kubelet_completely_insecure,
    }
    found = []
    if given["--kubelet-client-key"] != given["--kubelet-client-certificate"]:
        found.append("need both --kubelet-client-key and --kubelet-client-certificate")
    clashes = [("--kubelet-certificate-authority", insecure)]
    clashes += [(name, plain) for name in given if name != plain]
    found += [f"cannot use both {a} and {b}" for a, b in clashes if given[a] and given[b]]
    try:
        parse_labels(settings.node_selector)
    except SelectorError as error:
        found.append(f"--node-selector: {error}")
    return found


def _serving_problems(settings: Settings) -> list[str]:
    found = []
    if bool(settings.tls_cert_file) != bool(settings.tls_private_key_file):
        found.append("need both --tls-cert-file and --tls-private-key-file")
    if settings.manage_ca_bundle and settings.tls_cert_file:
        found.append("cannot use both --manage-ca-bundle and --tls-cert-file")
    if missing := {"cpu", "memory"} - set(settings.resources):
        found.append(f"--resources: {' and '.join(sorted(missing))} cannot be left out")
    for flag, address in {
        "bind-address": settings.bind_address,
        "advertise-address": settings.advertise_address,
    }.items():
        if address and not _is_address(address):
            found.append(f"--{flag}: {address!r} is not an IP address")
    found += [
        f"--strict-transport-security-directives: {directive!r} is none of max-age=SECONDS, "
        "includeSubDomains and preload"
        for directive in settings.strict_transport_security_directives
        if not _HSTS.fullmatch(directive)
    ]
    return found


def _file_problems(settings: Settings) -> list[str]:
    found = []
    for name in _FILES:
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            found.append(f"{_flag(name)}: no such file: {path}")
    for name in _AUTHORITIES:
        try:
            if path := getattr(settings, name):
                read_authorities(Path(path))
        except PEMError as error:
            found.append(f"{_flag(name)}: {error}")
    for flag, certificate, key in _pairs(settings):
        try:
            read_pair(certificate, key)
        except PEMError as error:
            found.append(f"{flag}: {error}")
    return found


def _pairs(settings: Settings) -> Iterator[tuple[str, Path, Path]]:
    """Give the certificates and keys to look into, each after the flag that a complaint names."""
    for pair in _PAIRS:
        certificate, key = (Path(getattr(settings, name)) for name in pair)
        if certificate.is_file() and key.is_file():  # else that is what to complain of
            yield f"{_flag(pair[0])} and {_flag(pair[1])}", certificate, key
    for named in settings.tls_sni_cert_key:
        yield "--tls-sni-cert-key", Path(named.certificate), Path(named.key)


def _number_problems(settings: Settings) -> list[str]:
    found = []
    for name, one in flags_of(type(settings)).items():
        value = getattr(settings, name.replace("-", "_"))
        if one.kind not in (INT, DURATION):
            continue
        least, most = _RANGES.get(name, (0.0, float("inf")))
        if not least <= value <= most:
            low = one.kind.format(int(least) if one.kind is INT else least)
            high = f" and {most:g} at most" if most != float("inf") else ""
            found.append(f"--{name} must be {low} or more{high}, not {one.kind.format(value)}")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
