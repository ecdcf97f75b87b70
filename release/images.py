"""The image for each platform that podman can run here, as one OCI archive."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import archives

PLATFORMS = ("linux/amd64", "linux/arm64")
# The machine in the names of wheels, by platform.
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
BASE = "docker.io/library/python:3.13-slim-trixie"
VERSION = "import sys; print('{}.{}'.format(*sys.version_info))"
INDEX = "application/vnd.oci.image.index.v1+json"


def build(root: Path, archive: Path, version: str, time: int, base: str) -> str:
    """Build the image and write the archive; give the digest to name in manifests, or ''.

    `time` is every file's and the image's own, in seconds since 1970. Without podman there is no
    archive and no digest; platforms that cannot run here are left out. Both are said on stderr.
    """
    if shutil.which("podman") is None:
        _say("there is no podman: the release has no image, and its manifests no digest")
        return ""
    # The isolation that needs the fewest privileges, and so works in containers too.
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    with tempfile.TemporaryDirectory() as folder:
        layout = Path(folder, "layout")
        manifests = []
        for platform in PLATFORMS:
            python = _python(base or BASE, platform)
            if python:
                manifests.append(_add(root, layout, platform, python, version, time, base or BASE))
            else:
                _say(f"this machine cannot run {base or BASE} for {platform}: left out")
        if not manifests:
            return ""
        digest = _join(layout, manifests, version)
        contents = {
            str(path.relative_to(layout)): path.read_bytes()
            for path in layout.rglob("*")
            if path.is_file()
        }
        archives.write(archive, contents, time)
        return digest


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _python(base: str, platform: str) -> str:
    """Give the version of the base's Python as 3.13, or '' where it does not run.

    It has to run for the build, by emulation where it is for another machine.
    """
    inspect = ("image", "inspect", "--format={{.Architecture}}", base)
    architecture = platform.partition("/")[2]
    if _podman(*inspect, check=False) != architecture:
        _podman("pull", "--quiet", f"--platform={platform}", base, check=False)
        if _podman(*inspect, check=False) != architecture:
            return ""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(
            f'FROM {base} AS base\nRUN python3 -c "{VERSION}" >/version\n'
            "FROM scratch\nCOPY --from=base /version /version\n"
        )
        out = Path(folder, "out")
        options = ("--quiet", f"--platform={platform}", f"--output={out}")
        _podman("build", *options, folder, check=False)
        return (out / "version").read_text().strip() if (out / "version").exists() else ""


def _add(
    root: Path, layout: Path, platform: str, python: str, version: str, time: int, base: str
) -> dict[str, object]:
    """Build for a platform into the layout; give the descriptor of its manifest."""
    make = ["make", "--no-print-directory", f"--directory={root}"]
    wheels = [f"IMAGE_PYTHON={python}", f"IMAGE_MACHINE={MACHINES[platform]}"]
    subprocess.run([*make, "wheelhouse", *wheels], check=True, stdout=subprocess.DEVNULL)
    tag = f"localhost/metricsapi-release:{platform.replace('/', '-')}"
    arguments = f"--no-cache --timestamp={time} --platform={platform}"
    built = ["ENGINES=podman", f"IMAGE={tag}", f"BASE_IMAGE={base}", f"ARGS={arguments}"]
    subprocess.run([*make, "image", *built], check=True, stdout=subprocess.DEVNULL)
    _podman("push", "--quiet", "--format=oci", tag, f"oci:{layout}:{version}")
    _podman("image", "rm", "--force", tag)
    index = json.loads((layout / "index.json").read_text())
    descriptor = next(
        one
        for one in index["manifests"]
        if one["annotations"]["org.opencontainers.image.ref.name"] == version
    )
    system, _, architecture = platform.partition("/")
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
    """Give what a command printed, or '' if it failed and may."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    if done.returncode and check:
        raise SystemExit(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
    return "" if done.returncode else done.stdout.strip() or "done"
