"""Where we differ on purpose, each with the sentence that we owe the author of a client."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Deliberate:
    """The places where the answers to one exchange may differ, as patterns of `differences`."""

    sentence: str
    places: tuple[str, ...]

    def explains(self, difference: str) -> bool:
        return any(re.match(place, difference) for place in self.places)


_LIMIT = r".*\.metadata\.(continue|remainingItemCount): \"\(absent\)\""
_PAGE = (
    "Another resource, so another content type and caching rule, where the reference has none.",
    (r"status: 404 -> 200", r"header ", r": "),
)
DELIBERATE = {
    "apis": Deliberate(
        "metrics.k8s.io/v1, stable since Kubernetes 1.37, is preferred; the port is ours.",
        (r"\.groups\[0\]\.(preferredVersion|serverAddressByClientCIDRs)",),
    ),
    "group": Deliberate(
        "metrics.k8s.io/v1, stable since Kubernetes 1.37, is preferred.", (r"\.preferredVersion",)
    ),
    "nodes": Deliberate(
        "The recording keeps 5 of its 100 items; the first 5 of ours are the same.",
        (r"\.items: 5 entries -> 100 entries",),
    ),
    "nodes-pretty": Deliberate(
        "limit=1 is heeded, with a continue token; the reference gives everything.",
        (r"\.\.items: 100 entries -> 1 entries", _LIMIT),
    ),
    "pods-ns-label": Deliberate(
        "limit=3 is heeded, with a continue token; the reference gives everything.",
        (r"\.items: 100 entries -> 3 entries", _LIMIT),
    ),
    "seed-namespace-singular": Deliberate(
        "The path as the article prints it answers as its plural does.",
        (
            r"status: 404 -> 200",
            r"\.(kind|apiVersion|metadata|status|message|reason|details|code)",
            r"\.(timestamp|window|containers)",
        ),
    ),
    "metrics": Deliberate(
        "No series here has a name that would need an escaping scheme, so none is named.",
        (r"header content-type: .*; escaping=underscores -> text/plain; version=0.0.4",),
    ),
    "openapi-v2": Deliberate(
        "Parameters are written out where the reference points to a shared list.",
        (r"\.paths\..*\.parameters\[\d+\]\.(\$ref|in|name|type|uniqueItems|required): ",),
    ),
    "statusz": Deliberate("A page for operators. " + _PAGE[0], _PAGE[1]),
    "flagz": Deliberate("The flags in effect. " + _PAGE[0], _PAGE[1]),
}
