"""A real kube-apiserver and etcd in place of the stand-in, from a folder that holds both.

The folder is what controller-runtime's envtest calls KUBEBUILDER_ASSETS. The cluster's objects are
copied there from the sandbox's own (see `mirror`), so everything else in the sandbox stays as it
is: the kubelets, the server, and who may do what.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import errno
import os
import shutil
import socket
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization

from metricsapi.tools.sandbox import pki
from metricsapi.tools.sandbox.credentials import admin_client, kubeconfig
from metricsapi.tools.sandbox.mirror import Mirror
from metricsapi.tools.sandbox.objects import SERVER
from metricsapi.tools.sandbox.pki import Authority, Certificate
from metricsapi.tools.sandbox.processes import end_child, start_child
from metricsapi.tools.sandbox.rbac import MASTERS
from metricsapi.tools.sandbox.state import Cluster
from metricsapi.tools.sandbox.users import ADMIN, Users

BINARIES = ("etcd", "kube-apiserver")
READY_WITHIN = 90.0  # seconds
_PORT_TAKEN = "address already in use"  # as both binaries log it


class AssetsError(Exception):
    """The folder lacks a binary, or one does not start; the message says which and why."""


class KubeApiServer:
    """The two processes; their files and logs are in `directory`. See `api.Api` for the rest."""

    def __init__(self, cluster: Cluster, assets: Path, directory: Path) -> None:
        for name in BINARIES:
            if not os.access(assets / name, os.X_OK):
                raise AssetsError(f"{assets} has no executable {name}")
        self.ca = Authority("kubernetes")
        self.front_proxy_ca = Authority("front-proxy-ca")
        self.url = ""
        self._users = Users()
        # Tokens are read from a file once, so everybody has one before it starts.
        self._tokens = {
            name: self._users.add(name, groups, ())
            for name, groups in ((ADMIN, (MASTERS,)), (SERVER, ()))
        }
        self.tokens = self._users.tokens
        self._assets = assets
        self._directory = directory / "kube-apiserver"
        self._processes: list[asyncio.subprocess.Process] = []
        self._stack = contextlib.AsyncExitStack()
        self._mirror = Mirror(cluster)

    async def start(self, *, port: int = 0) -> None:
        """Start etcd, then the API server, and wait until it is ready.

        Raises OSError when a port is taken and AssetsError when a process does not come up. After
        either it can be called again.
        """
        await self._end_processes()
        port = _claim(port)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        self._write_files()
        etcd, peer = _claim(0), _claim(0)
        await self._run("etcd", _etcd_flags(self._directory, etcd, peer))
        await self._run("kube-apiserver", _apiserver_flags(self._directory, etcd, port))
        self.url = f"https://127.0.0.1:{port}"
        client = admin_client(self.url, self.ca.pem, self._tokens[ADMIN])
        self._mirror.client = await self._stack.enter_async_context(client)
        await self._wait_ready(client)

    async def stop(self) -> None:
        """End both, and wait until they have."""
        await self._mirror.stop()
        await self._stack.aclose()
        await self._end_processes()

    async def publish(self) -> None:
        """Copy all objects, and from now on every change."""
        await self._mirror.start()

    async def connect(self, namespace: str, service: str, port: int) -> None:
        """Make a port of this machine the endpoint of a Service."""
        await self._mirror.connect(namespace, service, port)

    def show_log(self, namespace: str, pod: str, path: Path) -> None:
        """Do nothing: a real API server reads logs from a kubelet, and ours has none."""

    def add_user(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """Return the token of one of the users that were there from the start, and no other."""
        token = self._tokens[name]
        if not set(groups) <= set(self.tokens[token].groups):
            raise ValueError(f"{name} is not in {groups}")
        return token

    def kubeconfig(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """Return the kubeconfig of a user, with its token."""
        return kubeconfig(self.url, self.ca.pem, name, {"token": self.add_user(name, groups)})

    def _write_files(self) -> None:
        names = ("localhost", "127.0.0.1")
        serving = self.ca.issue("kube-apiserver", usages=(pki.SERVER,), names=names)
        # One pair signs service account tokens and says whose they are; nobody is given one.
        accounts = self.ca.issue("service-accounts", usages=())
        front_proxy = self.front_proxy_ca.issue("front-proxy-client")
        pairs = {"serving": serving, "accounts": accounts, "front-proxy": front_proxy}
        for name, issued in pairs.items():
            self._write(f"{name}.key", issued.key)
            self._write(f"{name}.crt", issued.pem)
        self._write("accounts.pub", _public_key(accounts))
        self._write("ca.crt", self.ca.pem)
        self._write("front-proxy-ca.crt", self.front_proxy_ca.pem)
        self._write("tokens.csv", b"")
        with (self._directory / "tokens.csv").open("w", newline="") as file:
            for token, user in self.tokens.items():
                csv.writer(file).writerow((token, user.name, user.uid, ",".join(user.groups)))

    def _write(self, name: str, data: bytes) -> None:
        path = self._directory / name
        path.touch(mode=0o600)
        path.write_bytes(data)

    async def _run(self, name: str, flags: list[str]) -> None:
        with (self._directory / f"{name}.log").open("wb") as log:
            process = await start_child(
                str(self._assets / name),
                *flags,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)

    async def _end_processes(self) -> None:
        while self._processes:
            await end_child(self._processes.pop())

    async def _wait_ready(self, client: httpx.AsyncClient) -> None:
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not await _is_ready(client):
                    self._check_processes()
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssetsError(
                f"kube-apiserver was not ready within {READY_WITHIN:g} s; its log is "
                f"{self._directory / 'kube-apiserver.log'}"
            ) from None

    def _check_processes(self) -> None:
        for name, process in zip(BINARIES, self._processes, strict=True):
            if process.returncode is not None:
                text = (self._directory / f"{name}.log").read_text(errors="replace")
                if _PORT_TAKEN in text:  # by another sandbox that starts now
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
                last = "\n".join(text.splitlines()[-5:])
                raise AssetsError(f"{name} ended with exit status {process.returncode}:\n{last}")


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


def _claim(port: int) -> int:
    """Return a port of 127.0.0.1 that is free now. Raises OSError when the one asked for is not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


def _public_key(issued: Certificate) -> bytes:
    key = serialization.load_pem_private_key(issued.key, None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _etcd_flags(directory: Path, port: int, peer: int) -> list[str]:
    here, among = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={here}",
        f"--advertise-client-urls={here}",
        f"--listen-peer-urls={among}",
        f"--initial-advertise-peer-urls={among}",
        f"--initial-cluster=default={among}",
        "--unsafe-no-fsync",  # nothing here outlives the sandbox
    ]


def _apiserver_flags(directory: Path, etcd: int, port: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # it would refuse a loopback address
        "--service-cluster-ip-range=127.96.0.0/16",  # where something can listen on this machine
        f"--tls-cert-file={directory / 'serving.crt'}",
        f"--tls-private-key-file={directory / 'serving.key'}",
        f"--client-ca-file={directory / 'ca.crt'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",  # no controller makes their tokens here
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={directory / 'accounts.pub'}",
        f"--service-account-signing-key-file={directory / 'accounts.key'}",
        f"--requestheader-client-ca-file={directory / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-uid-headers=X-Remote-Uid",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={directory / 'front-proxy.crt'}",
        f"--proxy-client-key-file={directory / 'front-proxy.key'}",
    ]
