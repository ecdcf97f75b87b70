"""Checks `Settings`: reports all errors at once, and warns of what works but may be a mistake.

Ranges and choices are checked from the declarations of the flags; here are the rules across
flags, and what files hold. Each text names its flag.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from metricsapi.config.durations import format_duration
from metricsapi.config.files import content_problems, validity_warnings
from metricsapi.config.flags import flags_of, values_of
from metricsapi.config.go_tls import CURVES, offered_curve
from metricsapi.config.settings import Settings
from metricsapi.kube.leader_election import JITTER
from metricsapi.kube.lease import replica_ip
from metricsapi.kube.name_validation import are_labels, is_subdomain
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import SelectorError

# The kubelet's housekeeping reads cgroups every 10 s, so a shorter resolution reads again
# what has not changed for nodes, and costs the node its CPU time for each read.
KUBELET_PERIOD = 10.0

_HSTS = re.compile("max-age=[0-9]+|includeSubDomains|preload")


def problems(settings: Settings, given: Collection[str] = ()) -> list[str]:
    """Name every value that cannot work, alone or beside another.

    `given` are the names of the flags that were set: no default is a mistake.
    """
    return [
        *_kubelet_problems(settings),
        *_prefetch_problems(settings, given),
        *_serving_problems(settings),
        *_leader_election_problems(settings),
        *content_problems(settings),
        *range_problems(settings),
    ]


def warnings(settings: Settings, now: float, given: Collection[str] = ()) -> list[str]:
    """Name what works but is worth a line in the log at start; `now` is in epoch seconds.

    `given` are the names of the flags that were set.
    """
    return [
        *_kubelet_warnings(settings, given),
        *validity_warnings(settings, now),
        *_serving_warnings(settings),
        *_leader_election_warnings(settings),
    ]


def range_problems(settings: object) -> list[str]:
    """Name every number outside the range that its flag declares."""
    values = values_of(settings)
    texts = (flag.range_problem(values[name]) for name, flag in flags_of(type(settings)).items())
    return [text for text in texts if text]


def _kubelet_problems(settings: Settings) -> list[str]:
    kubelet = settings.kubelet
    insecure, plain = "--kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure"
    given = {
        "--kubelet-certificate-authority": bool(kubelet.certificate_authority),
        "--kubelet-client-key": bool(kubelet.client_key),
        "--kubelet-client-certificate": bool(kubelet.client_certificate),
        insecure: kubelet.insecure_tls,
        plain: kubelet.plain_http,
    }
    texts = []
    if given["--kubelet-client-key"] != given["--kubelet-client-certificate"]:
        texts.append("need both --kubelet-client-key and --kubelet-client-certificate")
    clashes = [("--kubelet-certificate-authority", insecure)]
    clashes += [(name, plain) for name in given if name != plain]
    texts += [f"cannot use both {a} and {b}" for a, b in clashes if given[a] and given[b]]
    try:
        parse_labels(kubelet.node_selector)
    except SelectorError as error:
        texts.append(f"--node-selector: {error}")
    return texts


def _kubelet_warnings(settings: Settings, given: Collection[str]) -> list[str]:
    kubelet = settings.kubelet
    texts = []
    if kubelet.resolution < KUBELET_PERIOD:
        texts.append(
            f"--metric-resolution={format_duration(kubelet.resolution)} is below the "
            "kubelet's own period of 10s: node usage will not be newer, and every read "
            "costs the node CPU time"
        )
    if kubelet.insecure_tls:
        texts.append("--kubelet-insecure-tls: kubelets are not verified")
    if kubelet.plain_http:
        texts.append("--deprecated-kubelet-completely-insecure: kubelets are read over HTTP")
    if "prefetch" in given and settings.prefetch.enabled and not settings.prefetches:
        texts.append(
            "--prefetch has no effect with --kubelet-transport=apiserver-proxy: nodes are scraped "
            "once per --metric-resolution"
        )
    return texts


def _prefetch_problems(settings: Settings, given: Collection[str]) -> list[str]:
    least, resolution = settings.prefetch.min_interval, settings.kubelet.resolution
    if "min-scrape-interval" not in given or least <= resolution:
        return []
    longest = f"--metric-resolution={format_duration(resolution)}"
    return [f"--min-scrape-interval={format_duration(least)} must not be longer than {longest}"]


def _serving_problems(settings: Settings) -> list[str]:
    serving = settings.serving
    texts = _tls_problems(settings)
    if missing := {"cpu", "memory"} - set(settings.storage.resources):
        texts.append(f"--resources: {' and '.join(sorted(missing))} cannot be left out")
    for flag, address in {
        "bind-address": serving.bind_address,
        "advertise-address": settings.api.advertise_address,
    }.items():
        if address and not _is_address(address):
            texts.append(f"--{flag}: {address!r} is not an IP address")
    texts += [
        f"--strict-transport-security-directives: {directive!r} is none of max-age=SECONDS, "
        "includeSubDomains and preload"
        for directive in serving.strict_transport_security
        if not _HSTS.fullmatch(directive)
    ]
    return texts


def _tls_problems(settings: Settings) -> list[str]:
    serving = settings.serving
    texts = []
    if bool(serving.cert_file) != bool(serving.private_key_file):
        texts.append("need both --tls-cert-file and --tls-private-key-file")
    if settings.service.manage_ca_bundle and serving.cert_file:
        texts.append("cannot use both --manage-ca-bundle and --tls-cert-file")
    if len(set(serving.curve_preferences)) != len(serving.curve_preferences):
        texts.append("--tls-curve-preferences names a curve twice")
    if serving.curve_preferences and offered_curve(serving.curve_preferences) is None:
        texts.append(
            "--tls-curve-preferences: Python's TLS has none of these: add 23 (CurveP256), "
            "29 (X25519), 24 (CurveP384) or 25 (CurveP521)"
        )
    if serving.cert_dir is not None and _is_file(serving.cert_dir):
        texts.append(f"--cert-dir: not a directory: {serving.cert_dir}")
    return texts


def _serving_warnings(settings: Settings) -> list[str]:
    serving = settings.serving
    texts = []
    if len(serving.curve_preferences) > 1:
        offered = offered_curve(serving.curve_preferences)
        texts.append(
            f"--tls-curve-preferences: of a list Python's TLS offers one key exchange, here "
            f"{offered} ({CURVES.get(offered or 0)}): clients without it cannot connect"
        )
    names = [name for named in serving.named_certificates for name in named.names]
    if addresses := list(filter(_is_address, names)):
        texts.append(
            f"--tls-sni-cert-key: {', '.join(addresses)}: whoever connects to an IP address asks "
            "for no name, and gets the default certificate"
        )
    return texts


def _leader_election_problems(settings: Settings) -> list[str]:
    election = settings.leader_election
    if not election.enabled:
        return []
    texts = []
    if not settings.api.advertise_address:
        texts.append(
            "--leader-elect needs --advertise-address: the IP address, of the pod, at which other "
            "replicas reach this one"
        )
    elif not _is_replica_address(settings.api.advertise_address):
        texts.append(
            f"--leader-elect: other replicas cannot reach --advertise-address="
            f"{settings.api.advertise_address}: give the IP address of the pod, without a zone"
        )
    if bool(election.replica_token_file) != bool(election.replica_certificate_authority):
        texts.append("need both --replica-token-file and --replica-certificate-authority")
    if settings.service.manage_ca_bundle and election.replica_token_file:
        texts.append("cannot use both --manage-ca-bundle and --replica-token-file")
    if not is_subdomain(election.resource_name):
        texts.append(f"--leader-elect-resource-name: {election.resource_name!r} is no Lease's name")
    if not are_labels([election.resource_namespace]):
        namespace = election.resource_namespace
        texts.append(f"--leader-elect-resource-namespace: {namespace!r} is no namespace's name")
    names = ("lease-duration", "renew-deadline", "retry-period")
    durations = (election.lease_duration, election.renew_deadline, election.retry_period)
    for (longer, more), (shorter, less) in pairwise(zip(names, durations, strict=True)):
        # Candidates wait up to 1.2 retry periods, as in client-go.
        if more <= less * (JITTER if shorter == "retry-period" else 1.0):
            texts.append(
                f"--leader-elect-{longer}={format_duration(more)} must be longer than "
                f"--leader-elect-{shorter}={format_duration(less)}"
            )
    return texts


def _leader_election_warnings(settings: Settings) -> list[str]:
    election = settings.leader_election
    known = settings.service.manage_ca_bundle or election.replica_token_file
    if not election.enabled or known:
        return []
    text = (
        "--leader-elect without --manage-ca-bundle or --replica-token-file: replicas cannot "
        "know each other, so each scrapes every node for itself"
    )
    return [text]


def _is_file(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except OSError:  # reported when the certificate is to be written
        return False


def _is_replica_address(text: str) -> bool:
    try:
        replica_ip(text)
    except ValueError:
        return not _is_address(text)  # reported on its own
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
