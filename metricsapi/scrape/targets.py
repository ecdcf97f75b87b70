"""Where a node's kubelet is: from its Node object and the flags."""

from __future__ import annotations

import ipaddress
import logging
import re
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.resources import Capacity, Node
from metricsapi.scrape.decoding import MAX_PODS, pod_limit

PATH_ANNOTATION = "metrics.k8s.io/resource-metrics-path"
IPFamily = Literal[4, 6]
MOST_HOSTS = 16  # addresses of a node
_MAX_PATH = 1024  # characters
# Segments of unreserved characters and some delimiters (RFC 3986, 3.3); not `.` and `..`, nothing
# percent-encoded, no query and no host, so that the path cannot lead to anything but this node's.
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+"
_PATH = re.compile(rf"(?:/{_SEGMENT})+/?")

log = logging.getLogger(__name__)


class Target(Struct, frozen=True, gc=False):
    """One node to scrape: `hosts` are names or IP addresses, the most preferred first."""

    node: str
    hosts: tuple[str, ...]
    port: int
    path: str | None = None  # of the annotation: where this node has its resource metrics
    max_pods: int = MAX_PODS  # that its answer may list
    capacity: Capacity = Capacity()


def target_of(node: Node, settings: KubeletSettings, ip_family: IPFamily | None = None) -> Target:
    """Return the target of a node; one without a usable address has no hosts.

    Of addresses of one type, those of the cluster's `ip_family` are tried first.
    """
    port = settings.default_port
    if settings.use_node_status_port and node.kubelet_port:
        port = node.kubelet_port
    return Target(
        node.name,
        _hosts(node, settings, ip_family),
        port,
        _path(node),
        pod_limit(node.capacity.pods, settings.max_pods),
        node.capacity,
    )


def _path(node: Node) -> str | None:
    """Return the annotation's path; None without it, or if it is no path: see `refused_path`."""
    path = node.annotations.get(PATH_ANNOTATION)
    if not path:
        return None
    path = path if path.startswith("/") else f"/{path}"
    return path if len(path) <= _MAX_PATH and _PATH.fullmatch(path) else None


def refused_path(node: Node) -> str:
    """Return the annotation's text if it is not used, since it is no plain path; else nothing."""
    path = node.annotations.get(PATH_ANNOTATION, "")
    return path if path and _path(node) is None else ""


def log_refused_path(old: Node | None, new: Node) -> None:
    """Name an annotation that is not used, once per change; `old` is the node before, if any."""
    path = refused_path(new)
    if path and (old is None or refused_path(old) != path):
        data = {"node": new.name, "annotation": PATH_ANNOTATION, "value": path[:100]}
        log.warning("annotation is no plain path and is not used", extra={"data": data})


def _hosts(node: Node, settings: KubeletSettings, ip_family: IPFamily | None) -> tuple[str, ...]:
    """Order by preferred type, then by the cluster's IP family, then as the node has them.

    Only the first are used: each has a share of the time of a scrape.
    """
    hosts: list[str] = []
    for kind in settings.address_types:
        of_kind = [a.address for a in node.addresses if a.type == kind and a.address]
        if len(of_kind) > 1:
            of_kind.sort(key=lambda host: family(host) not in (None, ip_family))
        hosts += of_kind
    return tuple(dict.fromkeys(hosts))[:MOST_HOSTS]


def cluster_family(server: str) -> IPFamily | None:
    """Return the IP family of the API server's URL; None where it has a name."""
    return family(urlsplit(server).hostname or "")


def family(host: str) -> IPFamily | None:
    """Return the IP family of an address; None for a name."""
    try:
        return 6 if ipaddress.ip_address(host).version == 6 else 4
    except ValueError:
        return None
