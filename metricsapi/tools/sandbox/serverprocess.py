"""The server in the embedded cluster: a process of its own, with flags a Deployment could hold."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from metricsapi.tools.sandbox.processes import end_child, start_child


class ServerProcess:
    """One server. `port` is where it serves; its log is `server.log` in `directory`."""

    def __init__(self, directory: Path, flags: Sequence[str]) -> None:
        self._directory = directory
        self._flags = flags
        self._process: asyncio.subprocess.Process | None = None
        self._reserved: socket.socket | None = None
        self.port = 0

    async def start(self) -> None:
        """Start it on a free port. What says where things are here wins over `flags`."""
        self._reserved = _bound()
        self.port = int(self._reserved.getsockname()[1])
        kubeconfig = self._directory / "server.kubeconfig"
        command = [
            sys.executable,
            "-m",
            "metricsapi",
            "serve",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            *self._flags,
            f"--secure-port={self.port}",
            "--permit-port-sharing",  # with the socket that keeps the port for it
            "--bind-address=127.0.0.1",
            f"--cert-dir={self._directory / 'certificates'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={self._directory / 'ca.crt'}",
            "--kubelet-use-node-status-port",
            "--service-namespace=kube-system",
        ]
        # As a kubelet writes into a pod where the Service is: here it leads to this server.
        service = {
            "METRICS_SERVER_SERVICE_HOST": "127.0.0.1",
            "METRICS_SERVER_SERVICE_PORT": str(self.port),
        }
        with (self._directory / "server.log").open("wb") as log:
            self._process = await start_child(
                *command,
                env={**os.environ, **service},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        return self._running().pid

    async def ended(self) -> None:
        """Wait until it ends of itself."""
        await self._running().wait()

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._running().returncode

    @property
    def is_running(self) -> bool:
        return self.exit_status is None

    async def stop(self) -> None:
        """End it, and kill it when it takes longer than 10 s."""
        await end_child(self._running())
        if self._reserved is not None:
            self._reserved.close()

    def exit_report(self) -> str:
        """Return how it ended, with the end of its log."""
        return f"the server ended with exit status {self._running().returncode}:\n{self.log_end()}"

    def log_end(self) -> str:
        lines = (self._directory / "server.log").read_text(errors="replace").splitlines()
        return "\n".join(["its last log lines:", *lines[-15:]])

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process


def _bound() -> socket.socket:
    """Take a free port, which nobody else gets until this socket is closed."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(("127.0.0.1", 0))
    return taken
