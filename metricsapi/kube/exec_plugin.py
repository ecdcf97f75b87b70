"""Runs credential plugins: `exec` users of kubeconfigs, as EKS, GKE and AKS have them.

The protocol is client.authentication.k8s.io, v1 and v1beta1: the program reads an ExecCredential
from the variable KUBERNETES_EXEC_INFO and prints one with a token, a client certificate, or both.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from metricsapi.kube.errors import UNDECODABLE, CredentialsError
from metricsapi.kube.files import FileError
from metricsapi.kube.identity import check_token
from metricsapi.kube.key_pair import KeyPair, parse_pair

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
MODES = ("Never", "IfAvailable", "Always")
TIMEOUT = 60.0  # seconds for a program that is not interactive
LARGEST = 2**20  # bytes of what it prints


@dataclass(frozen=True)
class ExecPlugin:
    """The `exec` of a kubeconfig's user. `cluster` is passed to the program."""

    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    api_version: str = VERSIONS[0]
    interactive_mode: str = "IfAvailable"
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None


class _Status(Struct, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    expiration_timestamp: dt.datetime | None = None


class _ExecCredential(Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


@dataclass(frozen=True)
class Credential:
    """What a program printed: a token, a client certificate, or both."""

    token: str | None
    pair: KeyPair | None
    expires: float  # epoch seconds, infinity without an expiry


def run_plugin(plugin: ExecPlugin) -> Credential:
    """Run a plugin and return the credential that it prints; it may have expired already.

    Blocks until the program has ended. Raises CredentialsError with the fix.
    """
    interactive = _is_interactive(plugin)
    info = {"KUBERNETES_EXEC_INFO": _info(plugin, interactive=interactive)}
    try:
        output, status = _output(plugin, info, interactive=interactive)
    except FileNotFoundError:
        hint = f"\n\n{plugin.install_hint}" if plugin.install_hint else ""
        raise CredentialsError(
            f"exec: executable {plugin.command} not found; install this credential plugin, or "
            f"correct the kubeconfig or PATH{hint}"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CredentialsError(f"exec: cannot run {plugin.command}: {reason}") from error
    if status:
        raise CredentialsError(
            f"exec: {plugin.command} failed with exit code {status}; what it printed to "
            "standard error says why"
        )
    return _decode(output, plugin)


def _output(
    plugin: ExecPlugin, variables: Mapping[str, str], *, interactive: bool
) -> tuple[bytes, int]:
    """Run a program; return what it printed and its exit code.

    A program that is not interactive is killed after `TIMEOUT`, with those that it has started. An
    interactive one has no timeout. Raises OSError or ValueError if it cannot be run,
    CredentialsError if it does not end or prints more than `LARGEST` bytes.
    """
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True
        with contextlib.suppress(ProcessLookupError):
            program.kill() if interactive else os.killpg(program.pid, signal.SIGKILL)

    with subprocess.Popen(  # noqa: S603  the user's own kubeconfig names it; no shell
        [plugin.command, *plugin.args],
        env={**os.environ, **plugin.env, **variables},
        stdin=None if interactive else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=not interactive,
    ) as program:
        timer = threading.Timer(threading.TIMEOUT_MAX if interactive else TIMEOUT, end)
        timer.daemon = True
        timer.start()
        try:
            output = program.stdout.read(LARGEST + 1) if program.stdout is not None else b""
            if len(output) > LARGEST:
                end()
                raise CredentialsError(f"exec: {plugin.command} printed more than {LARGEST} bytes")
            status = program.wait()
        finally:
            timer.cancel()
            if program.poll() is None:
                end()
    if ended:
        raise CredentialsError(f"exec: {plugin.command} did not end within {TIMEOUT:g} s")
    return output, status


def _is_interactive(plugin: ExecPlugin) -> bool:
    """Return whether the plugin may prompt. Raises CredentialsError if it must and cannot."""
    terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not terminal:
        raise CredentialsError(
            f"exec: {plugin.command} has interactiveMode Always, and standard input is no terminal"
        )
    return terminal and plugin.interactive_mode != "Never"


def _info(plugin: ExecPlugin, *, interactive: bool) -> str:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    return json.dumps(info, default=str, skipkeys=True)


def _decode(output: bytes, plugin: ExecPlugin) -> Credential:
    """Decode what the program printed. Raises CredentialsError that names the problem."""
    try:
        printed = msgspec.json.decode(output, type=_ExecCredential)
    except UNDECODABLE as error:
        raise CredentialsError(
            f"exec: {plugin.command} printed no ExecCredential: {error}"
        ) from error
    if (printed.kind, printed.api_version) != ("ExecCredential", plugin.api_version):
        raise CredentialsError(
            f"exec: {plugin.command} is configured for {plugin.api_version}, and printed "
            f"{printed.kind or 'no kind'} of {printed.api_version or 'no version'}"
        )
    return _credential(printed.status or _Status(), f"exec: {plugin.command}")


def _credential(status: _Status, what: str) -> Credential:
    """Check a status and return its credential. Raises CredentialsError that begins with `what`."""
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise CredentialsError(f"{what} gave a certificate or a key, not both")
    if not status.token and not status.client_key_data:
        raise CredentialsError(f"{what} gave neither a token nor a certificate")
    try:
        token = check_token(status.token, f"{what}: the token") if status.token else None
        pair = None
        if status.client_key_data:
            pair = parse_pair(
                status.client_certificate_data.encode(),
                status.client_key_data.encode(),
                f"{what}: clientCertificateData",
                f"{what}: clientKeyData",
            )
    except FileError as error:
        raise CredentialsError(str(error)) from error
    expires = status.expiration_timestamp
    return Credential(token, pair, _epoch(expires) if expires else float("inf"))


def _epoch(time_of_day: dt.datetime) -> float:
    aware = time_of_day if time_of_day.tzinfo else time_of_day.replace(tzinfo=dt.UTC)
    return aware.timestamp()
