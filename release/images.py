"""The image for each platform that podman can build for here, as one OCI archive."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import archives

PLATFORMS = ("linux/amd64", "linux/arm64")
# The machine in the names of wheels, by platform.
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
BASE = "docker.io/library/python:3.13-slim-trixie"
PROBE = 'import os, sys; print(os.uname().machine, "{}.{}".format(*sys.version_info))'
INDEX = "application/vnd.oci.image.index.v1+json"


def platforms(base: str) -> dict[str, str]:
    """Return the platforms that podman can build for here, each with the version of Python as 3.13.

    The base has to exist for a platform and to run here, by emulation where it is for another
    machine. Without podman there are none.
    """
    if shutil.which("podman") is None:
        return {}
    # The isolation that needs the fewest privileges, and so works in containers too.
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    versions = {platform: _python(base or BASE, platform) for platform in PLATFORMS}
    return {platform: version for platform, version in versions.items() if version}


def build(
    root: Path, archive: Path, version: str, time: int, base: str, pythons: Mapping[str, str]
) -> str:
    """Build the image for each platform of `pythons` into one archive; give its digest.

    `time` is every file's and the image's own, in seconds since 1970; `pythons` is what `platforms`
    gives for the same base.
    """
    with tempfile.TemporaryDirectory() as folder:
        layout = Path(folder, "layout")
        manifests = [
            _add(root, layout, platform, python, time, base or BASE)
            for platform, python in pythons.items()
        ]
        digest = _join(layout, manifests, version)
        contents = {
            str(path.relative_to(layout)): path.read_bytes()
            for path in layout.rglob("*")
            if path.is_file()
        }
        archives.write(archive, contents, time)
        return digest


def _python(base: str, platform: str) -> str:
    """Return the version of the base's Python as 3.13, or '' where it does not run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(
            f"FROM {base} AS base\nRUN python3 -c '{PROBE}' >/python\n"
            "FROM scratch\nCOPY --from=base /python /python\n"
        )
        out = Path(folder, "out")
        options = ("--quiet", f"--platform={platform}", f"--output={out}")
        _podman("build", *options, folder, check=False)
        probed = (out / "python").read_text().split() if (out / "python").exists() else ["", ""]
    machine, version = probed
    # An engine may take a base of another platform where it has no other.
    return version if machine == MACHINES[platform] else ""


def _add(
    root: Path, layout: Path, platform: str, python: str, time: int, base: str
) -> dict[str, object]:
    """Build for a platform into the layout; give the descriptor of its manifest."""
    make = ["make", "--no-print-directory", f"--directory={root}"]
    wheels = [f"IMAGE_PYTHON={python}", f"IMAGE_MACHINE={MACHINES[platform]}"]
    subprocess.run([*make, "wheelhouse", *wheels], check=True, stdout=subprocess.DEVNULL)
    tag = f"localhost/metricsapi-release:{platform.replace('/', '-')}"
    arguments = f"--no-cache --timestamp={time} --platform={platform}"
    built = ["ENGINES=podman", f"IMAGE={tag}", f"BASE_IMAGE={base}", f"ARGS={arguments}"]
    subprocess.run([*make, "image", *built], check=True, stdout=subprocess.DEVNULL)
    system, _, architecture = platform.partition("/")
    # Of two entries with one name, podman leaves only the last one its name.
    _podman("push", "--quiet", "--format=oci", tag, f"oci:{layout}:{architecture}")
    _podman("image", "rm", "--force", tag)
    index = json.loads((layout / "index.json").read_text())
    descriptor = next(
        entry
        for entry in index["manifests"]
        if entry["annotations"]["org.opencontainers.image.ref.name"] == architecture
    )
    return {
        "mediaType": descriptor["mediaType"],
        "digest": descriptor["digest"],
        "size": descriptor["size"],
        "platform": {"architecture": architecture, "os": system},
    }


def _join(layout: Path, manifests: list[dict[str, object]], version: str) -> str:
    """Make an index of the platforms the layout's only entry; give its digest."""
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
    name = hashlib.sha256(index).hexdigest()
    (layout / "blobs" / "sha256" / name).write_bytes(index)
    entry = {
        "mediaType": INDEX,
        "digest": f"sha256:{name}",
        "size": len(index),
        "annotations": {"org.opencontainers.image.ref.name": version},
    }
    (layout / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    )
    return f"sha256:{name}"


def _podman(*arguments: str, check: bool = True) -> str:
    """Return what a command printed, or '' if it failed and may."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise SystemExit(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout.strip() or "done"
