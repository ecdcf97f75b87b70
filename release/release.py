"""Make all that a release publishes, the same bytes each time: `make release`.

Into OUT go wheel and sdist, the packaged chart, rendered manifests, an SBOM, the image for each
platform that podman can build for here, and SHA256SUMS. Every time stamp is that of the commit.
With an image, the manifests name it by its digest.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT / "manifests")]

import archives  # noqa: E402
import images  # noqa: E402
import render  # noqa: E402

CHART = ROOT / "manifests" / "chart"
RULES = "chart/files/prometheus-rule/prometheus-rule.yaml"
DASHBOARD = "chart/files/grafana-dashboard/metricsapi.json"


def version() -> str:
    """Return the package's version; changelog, chart and manifests have to have the same.

    Raises SystemExit that names what differs.
    """
    source = (ROOT / "metricsapi" / "__init__.py").read_text()
    value = source.split('__version__ = "')[1].split('"')[0]
    expected = {
        "CHANGELOG.md": f"\n## {value} ",
        "manifests/chart/Chart.yaml": f"\nversion: {value}\nappVersion: {value}\n",
        "manifests/base/kustomization.yaml": f"\n    newTag: {value}\n",
    }
    for name, text in expected.items():
        if text not in (ROOT / name).read_text():
            raise SystemExit(f"{name} does not have version {value}, as metricsapi/__init__.py has")
    return value


def commit_time() -> int:
    """Return the time of the commit, or SOURCE_DATE_EPOCH outside a clone. Seconds since 1970."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(epoch)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit("this is no clone of the repository: set SOURCE_DATE_EPOCH")
    return int(done.stdout)


def packages(out: Path) -> None:
    """Build the wheel and the sdist, from the files of the commit where this is a clone."""
    from flit_core import buildapi  # noqa: PLC0415 - of the virtual environment

    with tempfile.TemporaryDirectory() as folder:
        tree = _tree(Path(folder) / "tree")
        before = Path.cwd()
        os.chdir(tree)
        try:
            for build in (buildapi.build_wheel, buildapi.build_sdist):
                (out / build(str(out))).chmod(0o644)
        finally:
            os.chdir(before)


def _tree(target: Path) -> Path:
    """Copy what git tracks, so that no file of a build or a test gets into the sdist."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        return ROOT
    for name in filter(None, listed.stdout.split("\0")):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, path, follow_symlinks=False)
    return target


def manifests(out: Path, value: str, image: str, time: int) -> None:
    """Render every variant into one archive, and the default ones as files to apply."""
    name = f"metricsapi-{value}-manifests"
    contents = {}
    for variant in render.variants():
        for file, content in render.files(variant, image).items():
            contents[f"{name}/{variant}/{file}"] = content.encode()
            if variant in ("default", "high-availability") and file == "components.yaml":
                (out / f"{'' if variant == 'default' else variant + '-'}{file}").write_text(content)
    (out / "apiservice.yaml").write_text(render.files("default", image)["apiservice.yaml"])
    for path in (RULES, DASHBOARD):
        contents[f"{name}/{Path(path).name}"] = (ROOT / "manifests" / path).read_bytes()
    archives.write(out / f"{name}.tar.gz", contents, time)


def sbom(out: Path, value: str) -> None:
    """Write what the image holds beside Python, as CycloneDX, from the lock file."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "requirements/run.txt"]
    command += ["--pyproject=pyproject.toml", "--output-reproducible", "--output-format=JSON"]
    command.append(f"--output-file={out / f'metricsapi-{value}.cdx.json'}")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def checksums(out: Path) -> None:
    """Write SHA256SUMS of all files, as `sha256sum --check` reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(out.iterdir())
    ]
    (out / "SHA256SUMS").write_text("".join(lines))


def main() -> None:
    """Make a release in an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "release")
    parser.add_argument("--image", default="metricsapi", help="name of the image, without a tag")
    parser.add_argument("--base-image", default="", help="the base of the Dockerfile if empty")
    parser.add_argument("--without-image", action="store_true")
    parser.add_argument("--every-platform", action="store_true", help="fail where one is missing")
    options = parser.parse_args()
    value, time = version(), commit_time()
    pythons = {} if options.without_image else _platforms(options)
    out = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    os.environ["SOURCE_DATE_EPOCH"] = str(time)
    packages(out)
    archives.write(out / f"metricsapi-{value}.tgz", archives.chart(CHART), time)
    digest = ""
    if pythons:
        archive = out / f"metricsapi-{value}-image.oci.tar"
        digest = images.build(ROOT, archive, value, time, options.base_image, pythons)
    image = f"{options.image}:{value}" + (f"@{digest}" if digest else "")
    manifests(out, value, image, time)
    sbom(out, value)
    checksums(out)
    print((out / "SHA256SUMS").read_text(), end="")


def _platforms(options: argparse.Namespace) -> dict[str, str]:
    """Return the platforms of the image. One that is missing is a warning, or ends the release."""
    pythons = images.platforms(options.base_image)
    if missing := ", ".join(platform for platform in images.PLATFORMS if platform not in pythons):
        lack = f"the release lacks the image for {missing}: podman cannot build it here"
        fix = "it needs podman, a --base-image for that platform, and qemu-user to emulate it"
        if options.every_platform:
            raise SystemExit(f"{lack}; {fix}")
        print(f"{lack}; {fix}", file=sys.stderr)
    return pythons


if __name__ == "__main__":
    main()
