"""The cluster that the end-to-end tests talk to.

By default the sandbox, started as a user starts it; with KUBEBUILDER_ASSETS the sandbox around the
kube-apiserver and etcd that are there. `make e2e` with KUBECONFIG runs the same tests against that
cluster.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.needs import needed

ASSETS = os.environ.get("KUBEBUILDER_ASSETS")  # a folder with kube-apiserver and etcd


@pytest.fixture(scope="session")
def kubectl_binary():
    """The path of the real kubectl."""
    return needed("kubectl")


def lasts(namespace):
    """Return whether its pods stay: in `host` are this machine's processes, which may end."""
    return namespace != "host"


def lasting(items):
    """Return the metadata of a pod in the list that stays."""
    return next(each["metadata"] for each in items if lasts(each["metadata"]["namespace"]))


_COMMAND = [sys.executable, "-m", "metricsapi", "sandbox"]
if ASSETS:
    _COMMAND.append(f"--kubebuilder-assets={ASSETS}")


class Sandbox:
    """`metricsapi sandbox` as a process of its own, with its output in a file."""

    def __init__(self, directory: Path, *args: str) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.output = directory / "output"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [*_COMMAND, f"--state-dir={directory}", *args],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait for the line that tells the kubeconfig, which comes after the tables."""
        deadline = time.monotonic() + seconds
        while "export KUBECONFIG=" not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the sandbox did not become ready:\n{self.text()}")
            time.sleep(0.05)

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    @property
    def kubeconfig(self) -> str:
        line = next(x for x in self.text().splitlines() if "export KUBECONFIG=" in x)
        return line.split("export KUBECONFIG=", 1)[1].strip().strip("'\"")

    def stop(self, sig: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory):
    """One sandbox for all the tests that only read."""
    running = Sandbox(
        tmp_path_factory.mktemp("sandbox"),
        "--nodes=2",
        "--pods=5",
        "--containers=2",
        "--metric-resolution=2s",
    )
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="package")
def kubeconfig(request):
    """The kubeconfig of the cluster under test."""
    if os.environ.get("METRICSAPI_E2E") == "cluster":
        return os.environ["KUBECONFIG"]
    return request.getfixturevalue("sandbox").kubeconfig


@pytest.fixture(scope="package")
def kubectl(kubectl_binary, kubeconfig):
    """Run kubectl and give its standard output; a non-zero exit fails the test."""

    def run(*args: str, check: bool = True) -> str:
        done = subprocess.run(
            [kubectl_binary, *args],
            env={**os.environ, "KUBECONFIG": kubeconfig},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"kubectl {' '.join(args)}: exit {done.returncode}\n{done.stderr}")
        return done.stdout if check else done.stdout + done.stderr

    return run
