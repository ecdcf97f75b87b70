"""Render every variant of the manifests into one components.yaml each: `make manifests`.

`kubectl kustomize` does the work, offline. With --image, a kustomization that is made for the
moment names the image instead of the base's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VARIANTS = HERE / "variants"
RENDERED = HERE / "rendered"
# The image's name in the base.
PLACEHOLDER = "metricsapi"


def variants() -> list[str]:
    """Name the variants, sorted."""
    return sorted(path.parent.name for path in VARIANTS.glob("*/kustomization.yaml"))


def render(variant: str, image: str = "") -> str:
    """Give the variant's objects as YAML, with `image` (name[:tag][@digest]) if that is not empty.

    Raises subprocess.CalledProcessError if kustomize refuses, FileNotFoundError without kubectl.
    """
    if not image:
        return _kustomize(VARIANTS / variant)
    with tempfile.TemporaryDirectory() as folder:
        # Kustomize takes no absolute path, and follows symbolic links before it walks up.
        base = os.path.relpath(VARIANTS / variant, os.path.realpath(folder))
        lines = ["resources:", f"  - {base}", "images:", f"  - name: {PLACEHOLDER}"]
        lines += [f'    {key}: "{value}"' for key, value in _parts(image).items()]
        Path(folder, "kustomization.yaml").write_text("\n".join(lines) + "\n")
        return _kustomize(Path(folder))


def _parts(image: str) -> dict[str, str]:
    name, _, digest = image.partition("@")
    # A colon before the last slash belongs to a registry's port.
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    parts = {"newName": head + slash + last}
    if digest:
        return parts | {"digest": digest}
    return parts | {"newTag": tag or "latest"}


def _kustomize(folder: Path) -> str:
    command = ["kubectl", "kustomize", str(folder)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def header(variant: str) -> str:
    """Say where a rendered file comes from."""
    return (
        f"# manifests/variants/{variant}, rendered by `make manifests`: change it there.\n"
        "# kubectl apply -f components.yaml\n"
    )


def main() -> None:
    """Write OUT/VARIANT/components.yaml for every variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", default="", help="name[:tag][@digest] of the image")
    parser.add_argument("--out", type=Path, default=RENDERED, help="the folder to write to")
    options = parser.parse_args()
    for variant in variants():
        path = options.out / variant / "components.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header(variant) + render(variant, options.image))
        print(path)


if __name__ == "__main__":
    main()
