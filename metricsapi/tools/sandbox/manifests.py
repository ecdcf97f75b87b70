"""`--manifests=FILE`: the embedded cluster with rendered manifests as the server's objects.

RBAC is exactly what they say, and the server runs with exactly the Deployment's args, but for those
that say where things are on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metricsapi.tools.sandbox.kinds import BY_KIND
from metricsapi.tools.sandbox.objects import NAMESPACE, SERVICE, pod_object
from metricsapi.tools.sandbox.state import Cluster

Object = dict[str, Any]
# What a pod has of its own: its port, its folder, and how long its endpoint stays after its end.
_OF_THE_POD = ("--secure-port=", "--cert-dir=", "--shutdown-delay-duration=")


class ManifestsError(ValueError):
    """The file is no rendered manifests of the server; the message says what it lacks."""


@dataclass(frozen=True)
class Manifests:
    """The objects of one file, and the container that runs the server."""

    objects: tuple[Object, ...]
    container: Object

    @classmethod
    def load(cls, path: Path) -> Manifests:
        """Read YAML documents. Raises ManifestsError, or OSError when the file cannot be read."""
        try:
            objects = tuple(item for item in yaml.safe_load_all(path.read_text()) if item)
        except yaml.YAMLError as error:
            raise ManifestsError(f"{path} is not YAML: {error}") from error
        for item in objects:
            kind = item.get("kind") if isinstance(item, dict) else None
            if kind not in BY_KIND:
                raise ManifestsError(f"{path}: the embedded cluster has no objects of kind {kind}")
        for item in objects:
            if item["kind"] == "Deployment" and item["metadata"]["name"] == SERVICE:
                return cls(objects, item["spec"]["template"]["spec"]["containers"][0])
        raise ManifestsError(f"{path} has no Deployment named {SERVICE!r}: render it first")

    def flags(self) -> list[str]:
        """Give the server's flags, as the Deployment has them."""
        args = self.container.get("args") or []
        return [arg for arg in args if not arg.startswith(_OF_THE_POD)]

    def apply(self, cluster: Cluster, node: str) -> None:
        """Create the objects, and the Deployment's pod on a node."""
        for item in self.objects:
            cluster.apply(BY_KIND[item["kind"]].plural, item)
        labels = {"k8s-app": SERVICE}
        cluster.apply("pods", pod_object(NAMESPACE, f"{SERVICE}-0", node, [SERVICE], labels))
