"""`kubectl port-forward` to a Service, as long as it is needed."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections import deque
from pathlib import Path

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


class PortForwardError(Exception):
    """kubectl is not there, or what it printed when it failed."""


class PortForward:
    """`kubectl port-forward` to the Service; a context manager that gives host:port.

    kubectl ends when the pod behind the Service does, so it is started again on the same port.
    """

    def __init__(self, kubeconfig: Path | None, namespace: str, service: str) -> None:
        self._command = ["kubectl", f"--namespace={namespace}"]
        if kubeconfig:  # else kubectl merges those of $KUBECONFIG itself
            self._command.insert(1, f"--kubeconfig={kubeconfig}")
        self._command += ["port-forward", "--address=127.0.0.1", f"service/{service}"]
        self._port = ""  # a free one
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> str:
        self._start()
        return f"127.0.0.1:{self._port}"

    def __exit__(self, *_: object) -> None:
        self._closed = True
        while not self._lock.acquire(timeout=0.1):  # a restart may be waiting for kubectl
            self._stop()
        self._stop()

    def restart_if_ended(self) -> None:
        """Start it again if it has ended; it may fail again, as long as there is no pod."""
        with self._lock, contextlib.suppress(PortForwardError):
            ended = self._process is None or self._process.poll() is not None
            if ended and not self._closed:
                self._stop()
                self._start()

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                [*self._command, f"{self._port}:443"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError as error:
            raise PortForwardError(
                "kubectl is not on PATH: install it, or use --connect"
            ) from error
        output = self._process.stdout
        assert output is not None  # noqa: S101  it is a pipe
        lines = []
        for line in output:
            if match := _FORWARDING.search(line):
                self._port = match[1]
                # It writes a line for each connection, and would wait once the pipe is full.
                threading.Thread(target=deque, args=(output, 0), daemon=True).start()
                return
            lines.append(line.strip())
        raise PortForwardError(f"kubectl port-forward failed: {' '.join(lines)}")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
