"""The image's file system, assembled in a folder, runs the server: read-only, unprivileged."""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys

import httpx
import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.size import Size
from tests.support.conditions import until
from tests.support.paths import ROOT

USER = 65532
COMMAND = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from metricsapi.cli import main
sys.exit(main())
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the file system is Linux's"),
    pytest.mark.skipif(not shutil.which("ldd"), reason="without ldd no libraries are found"),
]


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    """`make rootfs`, with its own step script."""
    root = tmp_path_factory.mktemp("image") / "rootfs"
    command = [sys.executable, str(ROOT / "image" / "rootfs.py"), "all", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def test_there_is_nothing_to_build_or_break_in_with(rootfs):
    names = {path.name for path in rootfs.rglob("*")}
    assert not names & {"sh", "bash", "busybox", "pip", "gcc", "cc", "ld", "apt", "dpkg", "curl"}
    assert "metricsapi" in names
    for path in rootfs.rglob("*"):
        mode = path.lstat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path
        special = path.name in ("tmp", "null") or path.is_symlink()
        assert special or not mode & stat.S_IWOTH, path


def test_the_image_holds_the_server_without_the_sandbox(rootfs):
    names = {path.name for path in rootfs.rglob("*")}
    assert "psutil" not in names
    packages = next(rootfs.rglob("metricsapi/cli.py")).parents[1]
    command = [sys.executable, "-I", "-c", COMMAND, str(packages)]
    done = subprocess.run([*command, "sandbox"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "the sandbox is not part of the image" in done.stderr
    done = subprocess.run([*command, "doctor", "--help"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_module_of_the_image_can_be_imported(rootfs):
    """What was left out of the standard library is used by nothing, lazy imports included."""
    program = next((rootfs / "usr" / "local" / "bin").glob("python3.*"))
    code = f"""
import importlib, pkgutil, sys
library = {str(program.parents[1] / "lib" / program.name)!r}
folders = ("", "/lib-dynload", "/site-packages", "/dist-packages")
sys.path[:] = [library + folder for folder in folders]
import metricsapi, http.cookies, concurrent.futures, logging.handlers, webbrowser, zoneinfo
for module in pkgutil.walk_packages(metricsapi.__path__, "metricsapi."):
    if not module.name.startswith(("metricsapi.tools.sandbox", "metricsapi.__main__")):
        importlib.import_module(module.name)
assert library + "/json/__init__.py" == importlib.import_module("json").__file__
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def test_a_wheelhouse_for_another_python_is_named_as_that(tmp_path):
    (tmp_path / "nothing-1-py3-none-any.whl").touch()
    script = str(ROOT / "image" / "rootfs.py")
    command = [sys.executable, script, "dependencies", str(tmp_path / "rootfs")]
    command += [f"--wheelhouse={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    python = "{}.{}".format(*sys.version_info)
    assert f"make wheelhouse IMAGE_PYTHON={python}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the root folder")
async def test_the_server_runs_from_it_read_only_and_unprivileged(rootfs, tmp_path):
    async with Embedded(Size(nodes=2, pods=2, host=False), tmp_path, port=0):
        for name in ("server.kubeconfig", "ca.crt"):
            copied = rootfs / "etc" / name
            shutil.copy(tmp_path / name, copied)
            copied.chmod(0o444)
        _writable(rootfs, yes=False)
        command = [
            *("/usr/local/bin/metricsapi", "serve", "--kubeconfig=/etc/server.kubeconfig"),
            *("--kubelet-certificate-authority=/etc/ca.crt", "--kubelet-use-node-status-port"),
            *("--secure-port=0", "--bind-address=127.0.0.1", "--cert-dir=/tmp/certificates"),
        ]
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={},
                preexec_fn=lambda: _enter(rootfs),
            )
        try:
            await until(
                lambda: "listening" in log.read_text() or process.returncode is not None,
                seconds=30,
                what="listening",
            )
            assert process.returncode is None, (process.returncode, log.read_text())
            port = log.read_text().split(" port ")[1].split('"')[0].split()[0]
            async with httpx.AsyncClient(verify=False, trust_env=False) as client:  # noqa: S501

                async def ready():
                    with contextlib.suppress(httpx.ConnectError):
                        answer = await client.get(f"https://127.0.0.1:{port}/readyz")
                        return answer.status_code == 200
                    return False

                while not await ready():
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.1)
            status = (ROOT / f"/proc/{process.pid}/status").read_text()
            assert f"Uid:\t{USER}\t{USER}" in status
            assert "Traceback" not in log.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            _writable(rootfs, yes=True)


def _writable(root, *, yes):
    """All but /tmp, where the manifests put an emptyDir."""
    subprocess.check_call(["chmod", "-R", "u+w" if yes else "a-w", str(root)])
    (root / "tmp").chmod(0o1777)


def _enter(root):
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
