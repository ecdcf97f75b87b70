"""`make release` makes the same bytes in any folder, and what it makes can be used."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

import metricsapi
from tests.install.charts import helm
from tests.install.objects import args, container, parse
from tests.support.needs import needed
from tests.support.paths import ROOT
from tests.support.programs import virtual_environment

BASE = os.environ.get("METRICSAPI_BASE_IMAGE")
IMAGE = "registry.example/metricsapi" if BASE else "metricsapi"
VERSION = metricsapi.__version__
NAME = f"metricsapi-{VERSION}"
# By architecture: the machine in the header of an ELF file, and in the tags of wheels.
MACHINES = {"amd64": (62, "x86_64"), "arm64": (183, "aarch64")}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def copied(target):
    """The repository's files in another folder, as a clone or an unpacked archive has them.

    The wheels for the image are there, too, if they are here.
    """
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    if (ROOT / "wheelhouse").exists():
        shutil.copytree(ROOT / "wheelhouse", target / "wheelhouse")
    return target


def release(root, out, venv):
    """Run the script of a folder; return what it wrote by file name."""
    command = [sys.executable, str(root / "release" / "release.py"), f"--out={out}"]
    command += [f"--base-image={BASE}", f"--image={IMAGE}"] if BASE else ["--without-image"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1790000000", "VENV": str(venv)},
    )
    assert done.returncode == 0, done.stderr
    return {path.name: path for path in out.iterdir()}


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    return virtual_environment(tmp_path_factory.mktemp("make"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, venv):
    """A release of this folder; with an image where METRICSAPI_BASE_IMAGE names one to build on."""
    needed("kubectl")
    if BASE:
        needed("podman")
    return release(ROOT, tmp_path_factory.mktemp("release"), venv)


def test_it_is_the_same_bytes_in_another_folder(made, venv, tmp_path):
    again = release(copied(tmp_path / "other"), tmp_path / "out", venv)
    assert again["SHA256SUMS"].read_text() == made["SHA256SUMS"].read_text()


def test_the_checksums_are_of_all_files(made):
    folder = made["SHA256SUMS"].parent
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert {line.split(":")[0] for line in done.stdout.splitlines()} == set(made) - {"SHA256SUMS"}


def test_wheel_and_sdist_hold_the_package(made):
    with zipfile.ZipFile(made[f"{NAME}-py3-none-any.whl"]) as wheel:
        names = wheel.namelist()
    assert "metricsapi/cli.py" in names
    with tarfile.open(made[f"{NAME}.tar.gz"]) as sdist:
        names = sdist.getnames()
    assert {f"{NAME}/metricsapi/cli.py", f"{NAME}/CHANGELOG.md"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or ".venv" in name]


def test_the_chart_can_be_rendered(made):
    values = {
        "prometheusRule": {"enabled": True},
        "grafanaDashboard": {"enabled": True},
        "image": {"repository": "registry.example/metricsapi"},
    }
    with helm.Chart.load(made[f"{NAME}.tgz"]) as chart:
        assert chart.metadata["version"] == VERSION
        files = chart.render(values, name="x", namespace="kube-system")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    kinds = {kind for kind, _, _ in parse("\n---\n".join(texts))}
    assert {"Deployment", "APIService", "PrometheusRule", "ConfigMap"} <= kinds


def test_the_manifests_are_those_of_every_variant(made):
    with tarfile.open(made[f"{NAME}-manifests.tar.gz"]) as archive:
        names = set(archive.getnames())
        rule = yaml.safe_load(archive.extractfile(f"{NAME}-manifests/prometheus-rule.yaml"))
    variants = [path.name for path in (ROOT / "manifests" / "variants").iterdir()]
    for variant in variants:
        for file in ("components.yaml", "apiservice.yaml"):
            assert f"{NAME}-manifests/{variant}/{file}" in names
    assert rule["kind"] == "PrometheusRule"
    objects = parse(made["components.yaml"].read_text())
    assert "--manage-ca-bundle" in args(objects)
    assert {kind for kind, _, _ in parse(made["apiservice.yaml"].read_text())} == {"APIService"}


def test_the_sbom_lists_what_the_image_holds(made):
    bom = json.loads(made[f"{NAME}.cdx.json"].read_text())
    assert bom["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in bom["components"]}
    assert {"fastapi", "uvicorn", "httpx", "cryptography", "msgspec"} <= names
    assert bom["metadata"]["component"]["name"] == "metricsapi"


def test_a_version_that_differs_is_named(tmp_path):
    other = copied(tmp_path / "other")
    chart = other / "manifests" / "chart" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(VERSION, "9.9.9"))
    command = [sys.executable, str(other / "release" / "release.py"), f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("manifests/chart/Chart.yaml does not have version")


class Image:
    """An archive of an image for one or more platforms, as podman and docker read it."""

    def __init__(self, archive):
        self._archive = archive
        (self.entry,) = json.load(archive.extractfile("index.json"))["manifests"]
        self.manifests = self._json(self.entry)["manifests"]

    @property
    def architectures(self):
        assert {each["platform"]["os"] for each in self.manifests} == {"linux"}
        return [each["platform"]["architecture"] for each in self.manifests]

    def files(self, architecture):
        """Yield the name and the content of each file of the layers for an architecture."""
        manifest = self.manifests[self.architectures.index(architecture)]
        for layer in self._json(manifest)["layers"]:
            with tarfile.open(fileobj=self._blob(layer)) as files:
                yield from (
                    (entry.name, files.extractfile(entry).read())
                    for entry in files
                    if entry.isreg()
                )

    def _json(self, descriptor):
        return json.load(self._blob(descriptor))

    def _blob(self, descriptor):
        return self._archive.extractfile("blobs/" + descriptor["digest"].replace(":", "/"))


@pytest.fixture(scope="module")
def image(made):
    if not BASE:
        pytest.skip("METRICSAPI_BASE_IMAGE names no image to build on")
    with tarfile.open(made[f"{NAME}-image.oci.tar"]) as archive:
        yield Image(archive)


def test_the_image_is_for_this_machine_at_least(image):
    machine = os.uname().machine
    assert machine in [MACHINES[architecture][1] for architecture in image.architectures]


def test_what_an_image_holds_is_for_its_architecture(image):
    """The interpreter, the libraries and the wheels, with emulation as without."""
    for architecture in image.architectures:
        number, machine = MACHINES[architecture]
        programs, tags = {}, set()
        for name, content in image.files(architecture):
            if content.startswith(b"\x7fELF"):
                programs[name] = int.from_bytes(content[18:20], "little")
            elif name.endswith(".dist-info/WHEEL"):
                tags |= set(re.findall(r"^Tag: \S+-(\S+)$", content.decode(), re.MULTILINE))
        assert set(programs.values()) == {number}
        assert any(re.fullmatch(r"usr/local/bin/python3\.\d+", name) for name in programs)
        assert any("/uvloop/" in name for name in programs)
        assert {tag for tag in tags if tag != "any" and not tag.endswith(machine)} == set()
        assert any(tag.endswith(machine) for tag in tags)


def test_a_release_for_every_platform_fails_where_an_image_cannot_be_built(tmp_path):
    """No engine, or a base that is only for this machine."""
    command = [sys.executable, str(ROOT / "release" / "release.py"), f"--out={tmp_path / 'out'}"]
    command += ["--every-platform", "--base-image=localhost/there-is-no-such-base:1"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1790000000", "PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("the release lacks the image for linux/amd64")


def test_the_manifests_name_the_image_by_its_digest_or_without_an_image_by_its_tag(made, request):
    named = container(parse(made["components.yaml"].read_text()))["image"]
    if not BASE:
        assert named == f"{IMAGE}:{VERSION}"
        return
    digest = request.getfixturevalue("image").entry["digest"]
    assert named == f"{IMAGE}@{digest}"
