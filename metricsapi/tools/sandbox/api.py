"""What the embedded cluster needs of an API server, be it the stand-in or a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.rbac import User


class Api(Protocol):
    """`ca` signs what serves in the cluster, `front_proxy_ca` the aggregation layer's client
    certificate; `tokens` are the bearer tokens it knows, with their users.
    """

    url: str

    @property
    def ca(self) -> Authority: ...
    @property
    def front_proxy_ca(self) -> Authority: ...
    @property
    def tokens(self) -> dict[str, User]: ...

    async def start(self, *, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 is any free one. Raises OSError when the port is taken."""

    async def stop(self) -> None:
        """Close the port and end what was started."""

    async def publish(self) -> None:
        """Serve all objects of the cluster, and their changes from now on."""

    async def connect(self, namespace: str, service: str, port: int) -> None:
        """Make a port of this machine the endpoint of a Service."""

    def show_log(self, namespace: str, pod: str, path: Path) -> None:
        """Serve a file as the log of a pod, where the API server is the stand-in."""

    def add_user(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """Return the token of a user."""

    def kubeconfig(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """Return the kubeconfig of a user."""
