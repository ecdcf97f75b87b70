"""Render every variant of the manifests into two files each: `make manifests`.

components.yaml has everything but the APIServices, which are in apiservice.yaml: those are applied
last, so that no installation makes a working Metrics API unavailable. `kubectl kustomize` does the
work, offline. With --image, a temporary kustomization names the image instead of the base's.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VARIANTS = HERE / "variants"
RENDERED = HERE / "rendered"
APISERVICE = HERE / "apiservice"
# The image's name in the base.
PLACEHOLDER = "metricsapi"


def variants() -> list[str]:
    """Name the variants, sorted."""
    return sorted(path.parent.name for path in VARIANTS.glob("*/kustomization.yaml"))


def render(variant: str, image: str = "") -> str:
    """Return a variant's objects as YAML, with `image` (name[:tag][@digest]) if that is not empty.

    The APIServices are not among them. Raises subprocess.CalledProcessError if kustomize refuses,
    FileNotFoundError without kubectl.
    """
    if not image:
        return kustomize(VARIANTS / variant)
    with tempfile.TemporaryDirectory() as folder:
        # Kustomize takes no absolute path, and follows symbolic links before it walks up.
        base = os.path.relpath(VARIANTS / variant, os.path.realpath(folder))
        lines = ["resources:", f"  - {base}", "images:", f"  - name: {PLACEHOLDER}"]
        lines += [f'    {key}: "{value}"' for key, value in _parts(image).items()]
        Path(folder, "kustomization.yaml").write_text("\n".join(lines) + "\n")
        return kustomize(Path(folder))


def render_apiservice(variant: str) -> str:
    """Return the variant's APIServices as YAML: its own kustomization of them, or the usual one."""
    own = VARIANTS / variant / "apiservice"
    return kustomize(own if own.is_dir() else APISERVICE)


def files(variant: str, image: str = "") -> dict[str, str]:
    """Return the content of each file of a variant, by file name."""
    return {
        "components.yaml": _HEADER.format(variant=variant) + render(variant, image),
        "apiservice.yaml": _LAST.format(variant=variant) + render_apiservice(variant),
    }


def _parts(image: str) -> dict[str, str]:
    name, _, digest = image.partition("@")
    # A colon before the last slash belongs to a registry's port.
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    parts = {"newName": head + slash + last}
    if digest:
        return parts | {"digest": digest}
    return parts | {"newTag": tag or "latest"}


@functools.cache
def kustomize(folder: Path) -> str:
    """Render a folder, once: most variants share their APIServices."""
    command = ["kubectl", "kustomize", str(folder)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


_HEADER = """\
# manifests/variants/{variant}, rendered by `make manifests`: change it there.
# kubectl apply -f components.yaml
# kubectl -n kube-system rollout status deployment/metrics-server
# kubectl apply -f apiservice.yaml    # not needed where metrics-server's APIService is there
"""
_LAST = """\
# The APIServices of manifests/variants/{variant}, rendered by `make manifests`: change them there.
# Apply them last, once the Deployment is available (components.yaml has the commands).
"""


def main() -> None:
    """Write OUT/VARIANT/components.yaml and apiservice.yaml for every variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", default="", help="name[:tag][@digest] of the image")
    parser.add_argument("--out", type=Path, default=RENDERED, help="the folder to write to")
    options = parser.parse_args()
    for variant in variants():
        for name, content in files(variant, options.image).items():
            path = options.out / variant / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            print(path)


if __name__ == "__main__":
    main()
