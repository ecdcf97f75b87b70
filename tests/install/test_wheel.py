"""The wheel: its metadata and its files. `make wheel-check` installs and starts it."""

import subprocess
import sys
import zipfile
from email import message_from_bytes

import pytest

import metricsapi
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel's files by name, its metadata folder as `info/`."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-build-isolation", "--no-deps", f"--wheel-dir={folder}", str(ROOT)]
    subprocess.run(command, check=True)
    (built,) = folder.glob("metricsapi-*-py3-none-any.whl")
    info = f"metricsapi-{metricsapi.__version__}.dist-info/"
    with zipfile.ZipFile(built) as archive:
        return {name.replace(info, "info/"): archive.read(name) for name in archive.namelist()}


def test_the_metadata_of_the_wheel(wheel):
    metadata = message_from_bytes(wheel["info/METADATA"])
    assert metadata["Name"] == "metricsapi"
    assert metadata["Version"] == metricsapi.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Summary"]
    needed = metadata.get_all("Requires-Dist")
    assert [each for each in needed if "psutil" in each] == ['psutil>=6 ; extra == "sandbox"']
    assert wheel["info/entry_points.txt"].split() == [
        b"[console_scripts]",
        b"metricsapi=metricsapi.cli:main",
    ]


def test_type_checkers_find_its_types(wheel):
    assert wheel["metricsapi/py.typed"] == b""


def test_it_holds_the_package_its_license_and_nothing_else(wheel):
    assert {name.partition("/")[0] for name in wheel} == {"metricsapi", "info"}
    assert "info/licenses/LICENSE" in wheel
    here = (ROOT / "metricsapi").rglob("*")
    wanted = {str(path.relative_to(ROOT)) for path in here if path.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name}
    assert {name for name in wheel if name.startswith("metricsapi/")} == wanted
