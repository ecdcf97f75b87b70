"""The cluster and the servers of a benchmark: processes of their own, each cost apart."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench.measure import Server
from tests.bench.meter import Meter

READY = "export KUBECONFIG="
FLAGS = ("--changing", "--namespaces=2", "--workloads=1,100,1000", "--kubelet-latency=100")


def report_progress(text: str) -> None:
    """Print a line to standard error: standard output is for the result."""
    sys.stderr.write(f"# {text}\n")
    sys.stderr.flush()


def circumstances(nodes: int, pods: int) -> dict[str, Any]:
    """Return what numbers depend on: the cluster, the Python of the server, and the machine."""
    asked = "import platform, ssl; print(platform.python_version(), ssl.OPENSSL_VERSION, sep=',')"
    command = [_server_python(), "-c", asked]
    python, openssl = subprocess.check_output(command, text=True).strip().split(",")
    return {
        "nodes": nodes,
        "pods": nodes * pods,
        "python": python,
        "openssl": openssl,
        "cores": os.cpu_count(),
    }


def _server_python() -> str:
    return os.environ.get("SERVER_PYTHON", sys.executable)


@contextlib.contextmanager
def running_cluster(nodes: int, pods: int, flags: Sequence[str] = FLAGS) -> Iterator[Path]:
    """Return the folder of a cluster: the one of CLUSTER, which runs already, or a new one."""
    if existing := os.environ.get("CLUSTER"):
        yield Path(existing)
        return
    report_progress(f"starting {nodes} kubelets with {pods} pods of two containers")
    with tempfile.TemporaryDirectory() as folder, sandbox(Path(folder), nodes, pods, flags) as path:
        yield path


def running_peers(directory: Path) -> list[Server]:
    """Return the peer of PEER_PID and PEER_URL, which runs already, if they are set."""
    pid, url = os.environ.get("PEER_PID"), os.environ.get("PEER_URL")
    if not pid or not url:
        return []
    return [Server("peer", Meter(int(pid)), url, context_of(directory))]


def context_of(directory: Path) -> ssl.SSLContext:
    """Return a client's TLS context with the aggregation layer's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(directory / "front-proxy-client.pem")
    return context


@contextlib.contextmanager
def sandbox(directory: Path, nodes: int, pods: int, flags: Sequence[str] = FLAGS) -> Iterator[Path]:
    """Run the stand-in API server and kubelets; return the folder with their kubeconfigs."""
    output = directory / "sandbox.log"
    command = [
        *(sys.executable, "-m", "metricsapi", "sandbox", "--without-server", "--no-host"),
        *(*flags, f"--nodes={nodes}", f"--pods={pods}", f"--state-dir={directory}"),
    ]
    with output.open("wb") as out, _process(command, out) as process:
        deadline = time.monotonic() + 60 + nodes * 0.1
        while READY not in output.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no cluster:\n{output.read_text(errors='replace')}")
            time.sleep(0.1)
        yield directory


@contextlib.contextmanager
def server(
    directory: Path, port: int, resolution: int, flags: Sequence[str] = (), name: str = "ours"
) -> Iterator[Server]:
    """Run the server as in production: TLS both sides, authentication and authorization on.

    SERVER_PYTHON has nothing installed but what the server needs: libraries of the tests that are
    there would be imported (httpx takes rich and pygments, 3 MiB, where it finds them).
    """
    command = [
        _server_python(),
        "-m",
        "metricsapi",
        "serve",
        *_flags(directory, port, resolution, name),
    ]
    with _serving([*command, *flags], directory, port, name) as running:
        yield running


@contextlib.contextmanager
def metrics_server(binary: str, directory: Path, port: int, resolution: int) -> Iterator[Server]:
    """Run a metrics-server in the same manner, as the peer."""
    kubeconfig = directory / "server.kubeconfig"
    command = [
        *(binary, *_flags(directory, port, resolution, "peer")),
        *(f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}"),
    ]
    with _serving(command, directory, port, "peer") as running:
        yield running


def _flags(directory: Path, port: int, resolution: int, name: str) -> list[str]:
    return [
        f"--kubeconfig={directory / 'server.kubeconfig'}",
        *(f"--secure-port={port}", "--bind-address=127.0.0.1"),
        f"--cert-dir={directory / f'certs-{name}'}",
        *(f"--metric-resolution={resolution}s", "--kubelet-use-node-status-port"),
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={directory / 'ca.crt'}",
    ]


@contextlib.contextmanager
def _serving(command: list[str], directory: Path, port: int, name: str) -> Iterator[Server]:
    with (directory / f"{name}.log").open("wb") as out, _process(command, out) as process:
        url = f"https://127.0.0.1:{port}"
        yield Server(name, Meter(process.pid), url, context_of(directory))


@contextlib.contextmanager
def _process(command: list[str], out: object) -> Iterator[subprocess.Popen[bytes]]:
    # Without it each start compiles the whole package, which no installation does.
    compiled = {**os.environ}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.Popen(
        command,
        env=compiled,
        stdin=subprocess.DEVNULL,
        stdout=out,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
