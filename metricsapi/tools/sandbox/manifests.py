"""`--manifests=FOLDER`: the embedded cluster with rendered manifests as the server's objects.

RBAC is exactly what they say, and the server runs with exactly the Deployment's args, but for those
that say where things are on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metricsapi.tools.sandbox.kinds import BY_KIND
from metricsapi.tools.sandbox.objects import DEPLOYED, NAMESPACE, SERVICE, pod_object
from metricsapi.tools.sandbox.state import Cluster

Object = dict[str, Any]
_DEPLOYMENT = ("Deployment", SERVICE)
# What a pod has of its own: its port, its folder, and how long its endpoint stays after its end.
_OF_THE_POD = ("--secure-port=", "--cert-dir=", "--shutdown-delay-duration=")


class ManifestsError(ValueError):
    """The path holds no rendered manifests of the server; the message says what is missing."""


@dataclass(frozen=True)
class Manifests:
    """The objects of one file or folder, and the container that runs the server."""

    objects: tuple[Object, ...]
    container: Object

    @classmethod
    def load(cls, path: Path) -> Manifests:
        """Read the YAML documents of a file, or of all files of a folder.

        Raises ManifestsError, or OSError when a file cannot be read.
        """
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        objects = tuple(item for file in files for item in _documents(file))
        named = {(item["kind"], item["metadata"]["name"]): item for item in objects}
        deployment = named.get(_DEPLOYMENT)
        if deployment is None:
            raise ManifestsError(f"{path} has no Deployment named {SERVICE!r}: render it first")
        if not any(item["kind"] == "APIService" for item in objects):
            raise ManifestsError(f"{path} has no APIService: name the folder that has both files")
        return cls(objects, deployment["spec"]["template"]["spec"]["containers"][0])

    def flags(self) -> list[str]:
        """Return the server's flags, as the Deployment has them."""
        args = self.container.get("args") or []
        return [arg for arg in args if not arg.startswith(_OF_THE_POD)]

    def apply(self, cluster: Cluster, node: str) -> None:
        """Create the objects, and the Deployment's pod on a node."""
        for item in self.objects:
            status = {"status": DEPLOYED} if item["kind"] == "Deployment" else {}
            cluster.apply(BY_KIND[item["kind"]].plural, {**item, **status})
        labels = {"k8s-app": SERVICE}
        cluster.apply("pods", pod_object(NAMESPACE, f"{SERVICE}-0", node, [SERVICE], labels))


def _documents(file: Path) -> list[Object]:
    """Read the objects of one file. Raises ManifestsError, or OSError."""
    try:
        objects = [item for item in yaml.safe_load_all(file.read_text()) if item]
    except yaml.YAMLError as error:
        raise ManifestsError(f"{file} is not YAML: {error}") from error
    for item in objects:
        kind = item.get("kind") if isinstance(item, dict) else None
        if kind not in BY_KIND:
            raise ManifestsError(f"{file}: the embedded cluster has no objects of kind {kind}")
    return objects
