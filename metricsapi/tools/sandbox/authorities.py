"""The authorities of the embedded cluster: who signs what, and the ConfigMap that publishes it."""

from __future__ import annotations

import json
import ssl
from typing import Any

from metricsapi.tools.sandbox.pki import SERVER, Authority, Certificate, server_context
from metricsapi.tools.sandbox.state import Cluster

ALLOWED_NAMES = ("front-proxy-client",)


class Authorities:
    """The cluster's own CA, the one of clients, the one of the front proxy; two can be rotated.

    `contexts()` changes with them; connections made before are checked again at each request.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.own = Authority("kubernetes")
        self.clients = [self.own]  # the one that signs, then others that are trusted
        self.front_proxies = [Authority("front-proxy-ca")]
        self._context: ssl.SSLContext | None = None
        self._publish()

    def rotate_clients(self) -> None:
        """Sign clients with a new authority; the old ones stay trusted."""
        self.clients.insert(0, Authority("kubernetes-next"))
        self._publish()

    def rotate_front_proxies(self) -> None:
        """Use another front-proxy authority; the old ones stay trusted."""
        self.front_proxies.insert(0, Authority("front-proxy-next"))
        self._publish()

    def forget_old(self) -> None:
        """Trust only the newest of each, as at the end of a rotation."""
        del self.clients[1:], self.front_proxies[1:]
        self._publish()

    def serving(self, host: str) -> ssl.SSLContext:
        """Return the context to serve with: each new connection gets the clients' CAs of then."""
        issued = self.own.issue(
            "kube-apiserver",
            usages=(SERVER,),
            names=("localhost", "kubernetes.default.svc", host),
        )
        outer = self._fresh(issued)

        def choose(connection: Any, _name: str | None, _outer: ssl.SSLContext) -> None:
            if self._context is None:
                self._context = self._fresh(issued)
            connection.context = self._context

        outer.sni_callback = choose
        return outer

    def _fresh(self, issued: Certificate) -> ssl.SSLContext:
        context = server_context(issued)
        # A resumed session would be one of a client that may no longer be trusted.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=_pem(self.clients))
        return context

    def _publish(self) -> None:
        """Write the authorities to the ConfigMap that aggregated servers read."""
        self._context = None
        data = {
            "client-ca-file": _pem(self.clients),
            "requestheader-client-ca-file": _pem(self.front_proxies),
            "requestheader-allowed-names": json.dumps(ALLOWED_NAMES),
            "requestheader-username-headers": json.dumps(["X-Remote-User"]),
            "requestheader-uid-headers": json.dumps(["X-Remote-Uid"]),
            "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
            "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
        }
        name = "extension-apiserver-authentication"
        metadata = {"name": name, "namespace": "kube-system"}
        self.cluster.apply("configmaps", {"metadata": metadata, "data": data})


def _pem(authorities: list[Authority]) -> str:
    return "".join(authority.text for authority in authorities)
