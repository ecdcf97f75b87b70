"""Assemble the file system of the image in a folder, step by step.

The Dockerfile runs these steps in its build stage, each as a layer of its own, and copies the
folder into an empty image; `make rootfs` runs the same steps without a container engine. What
comes out holds the Python that runs this script, the shared libraries it needs, the locked
dependencies and metricsapi: no shell, no package manager, no compiler, no pip.

Needs Linux with glibc (it asks ldd which libraries are needed) and pip.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
# The interpreter itself, not a virtual environment's link to it.
INTERPRETER = Path(sys.executable).resolve()
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
NAME = f"python{VERSION}"
PREFIX = Path("usr/local")
STDLIB = PREFIX / "lib" / NAME
# Parts of the standard library that a server has no use for: tools, tests, databases, codecs of
# legacy East Asian encodings, and Python twins of modules in C, which a complete Python imports.
UNUSED = (
    "__pycache__", "_codecs_*.so", "_crypt*.so", "_ctypes_test*.so", "_curses*.so", "_dbm*.so",
    "_gdbm*.so", "_multibytecodec*.so", "_pydatetime.py", "_pydecimal.py", "_pyio.py", "_pyrepl",
    "_sqlite3*.so", "_test*.so", "_tkinter*.so", "config-*", "curses", "dbm", "dist-packages",
    "distutils", "doctest.py", "ensurepip", "idlelib", "imaplib.py", "lib2to3", "mailbox.py",
    "nis*.so", "pdb.py", "pickletools.py", "plistlib.py", "pydoc.py", "pydoc_data", "readline*.so",
    "site-packages", "sqlite3", "test", "tkinter", "turtle.py", "turtledemo", "unittest", "venv",
    "xml", "xmlrpc", "xxlimited*.so",
)  # fmt: skip
# In the lock for the build alone, sources of compiled modules, tests of libraries; and of our own
# the sandbox: the image holds the server alone, with its doctor and its status page.
NOT_SHIPPED = (
    "flit_core", "flit_core-*.dist-info", "**/*.c", "**/*.h", "**/*.pyx", "**/tests",
    "metricsapi/tools/sandbox",
    # Where the wheel lay during the build, which would make each image another one.
    "metricsapi-*.dist-info/direct_url.json", "metricsapi-*.dist-info/RECORD",
)  # fmt: skip
USER = 65532
LAUNCHER = f"""#!/{PREFIX}/bin/{NAME} -I
import sys
from metricsapi.cli import main
sys.exit(main())
"""
FILES = {
    "etc/passwd": f"metricsapi:x:{USER}:{USER}::/tmp:/nonexistent\n",
    "etc/group": f"metricsapi:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
SYSTEM_LIBRARIES = ("/lib", "/usr/lib")


def interpreter(root: Path, _: argparse.Namespace) -> None:
    """Copy Python, the used part of its standard library, and the few files of /etc."""
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        root / STDLIB,
        ignore=shutil.ignore_patterns(*UNUSED),
        dirs_exist_ok=True,
    )
    programs = root / PREFIX / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    shutil.copy2(INTERPRETER, programs / NAME)
    for alias in ("python3", "python"):
        (programs / alias).unlink(missing_ok=True)
        (programs / alias).symlink_to(NAME)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # Where an engine or the test mounts them.
    for folder in ("dev", "proc", "sys"):
        (root / folder).mkdir(exist_ok=True)


def dependencies(root: Path, options: argparse.Namespace) -> None:
    """Install the locked dependencies, each checked against its hashes."""
    source = []
    if any(options.wheelhouse.glob("*.whl")):
        source = ["--no-index", f"--find-links={options.wheelhouse}"]
    locked = ("--require-hashes", "--only-binary=:all:", "-r", str(options.requirements))
    try:
        _pip(root, *source, *locked)
    except subprocess.CalledProcessError:
        lack = f"{options.wheelhouse} lacks wheels for this Python" if source else "offline"
        raise SystemExit(f"{lack}? `make wheelhouse IMAGE_PYTHON={VERSION}` gets them") from None


def package(root: Path, options: argparse.Namespace) -> None:
    """Build metricsapi's wheel and install it; then compile, and add the shared libraries."""
    del options
    packages = _packages(root)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-index", "--no-build-isolation", f"--wheel-dir={folder}"]
        # The build's backend is among the locked dependencies.
        environment = os.environ | {"PYTHONPATH": str(packages)}
        subprocess.run([*command, str(REPOSITORY)], check=True, env=environment)
        (wheel,) = Path(folder).glob("*.whl")
        _pip(root, "--no-index", "--no-deps", str(wheel))
    for pattern in NOT_SHIPPED:
        for path in list(packages.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    launcher = root / PREFIX / "bin" / "metricsapi"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    _compile(root)
    for path in sorted(_libraries(root)):
        _copy_library(path, root)


STEPS = {"interpreter": interpreter, "dependencies": dependencies, "package": package}


def _packages(root: Path) -> Path:
    """Say where this interpreter looks for packages: Debian's own looks elsewhere."""
    code = "import site; print(site.getsitepackages()[0])"
    command = [INTERPRETER, "-I", "-c", code]
    site = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return root / STDLIB / Path(site.strip()).name


def _pip(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    packages = _packages(root)
    command += ["--no-warn-script-location", "--no-compile", f"--target={packages}"]
    command += ["--root-user-action=ignore"]
    subprocess.run([*command, *arguments], check=True)
    # Scripts that name the Python of the build: the launcher is the only one of the image.
    shutil.rmtree(packages / "bin", ignore_errors=True)


def _compile(root: Path) -> None:
    """Compile everything: the image is read-only. Its sources never change, so none is checked."""
    command = [INTERPRETER, "-I", "-m", "compileall", "-q", "-j0"]
    command += ["--invalidation-mode=unchecked-hash", f"-s{root}", "-p/", str(root / STDLIB)]
    subprocess.run(command, check=True)


def _libraries(root: Path) -> Iterator[Path]:
    """Yield the shared libraries that Python and its extensions load from outside the folder."""
    binaries = [root / PREFIX / "bin" / NAME, *(root / STDLIB).rglob("*.so*")]
    # The interpreter's own rpath leads back to where it is installed.
    command = ["ldd", str(INTERPRETER), *map(str, binaries)]
    listed = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout
    if missing := re.findall(r"(\S+) => not found", listed):
        raise SystemExit(f"shared libraries are missing on this machine: {sorted(set(missing))}")
    libraries = set(re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", listed, re.MULTILINE))
    yield from (Path(path) for path in libraries if not path.startswith(f"{root}/"))


def _copy_library(library: Path, root: Path) -> None:
    """Copy a library to its own place, or into /usr/lib if the loader would not look there."""
    place = library.parent if str(library).startswith(SYSTEM_LIBRARIES) else Path("/usr/lib")
    if str(library).startswith("/lib64/"):
        place = library.parent
    target = root / place.relative_to("/") / library.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(library, target)


def main() -> None:
    """Run one step, or all of them in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.add_argument("root", type=Path, help="the folder")
    lock = REPOSITORY / "requirements" / "run.txt"
    parser.add_argument("--requirements", type=Path, default=lock)
    parser.add_argument("--wheelhouse", type=Path, default=REPOSITORY / "wheelhouse")
    options = parser.parse_args()
    root = options.root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    for name in STEPS if options.step == "all" else [options.step]:
        STEPS[name](root, options)


if __name__ == "__main__":
    main()
