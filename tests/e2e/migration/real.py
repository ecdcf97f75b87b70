"""The cluster of `Migration` with a real API server, and metrics-server itself as the old server.

Where the folder of assets has `helm` too, version 4, it is what runs.

What a cluster's controllers, kubelets and kube-proxy would do is still done here.
"""

from functools import partial
from pathlib import Path

from metricsapi.tools.sandbox.kubeapiserver import KubeApiServer
from tests.e2e.migration.cluster import DEPLOYMENT_PATH, NAME, NAMESPACE, SERVICE_PATH, Migration
from tests.install.cluster import ACCOUNT
from tests.support.ports import free_port
from tests.support.service import ServiceForwarder

SLICE_PATH = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{NAME}"
POD_NETWORK = "10.244.0.{}"  # an API server takes no loopback address of an endpoint
APPLY = {"Content-Type": "application/apply-patch+yaml"}


class RealMigration(Migration):
    """`assets` is a folder with kube-apiserver, etcd and metrics-server, and perhaps helm."""

    def __init__(self, directory, kubectl, assets):
        self._assets = Path(assets)
        make = partial(KubeApiServer, assets=self._assets, directory=directory)
        super().__init__(directory, kubectl, api=make)
        self._addresses = []
        self._proxy = None

    async def __aenter__(self):
        await super().__aenter__()
        for namespace in {"default"} | {key for key, _ in self.cluster.collections["pods"].records}:
            self.cluster.apply("namespaces", {"metadata": {"name": namespace}})
        if (helm := self._assets / "helm").exists():
            self.helm.unlink()
            self.helm.symlink_to(helm.absolute())
        await self.api.publish()
        return self

    @property
    def endpoints(self):
        return self._addresses

    async def route(self, addresses):
        """Be kube-proxy, and the controller of endpoints."""
        if self._proxy is None and (service := await self.get(SERVICE_PATH)) is not None:
            address, port = service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"]
            forwarder = ServiceForwarder(NAME, lambda: self.endpoints, listen=address, port=port)
            self._proxy = await self._stack.enter_async_context(forwarder)
        if addresses != self._addresses:
            self._addresses = addresses
            content = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
                "addressType": "IPv4",
                "ports": [{"name": "https", "port": 10250, "protocol": "TCP"}],
                "endpoints": [
                    {"addresses": [POD_NETWORK.format(n)], "conditions": {"ready": True}}
                    for n, _ in enumerate(addresses, 10)
                ],
            }
            url = f"{SLICE_PATH}?fieldManager=controller&force=true"
            answer = await self.admin.patch(url, json=content, headers=APPLY)
            assert answer.is_success, answer.text

    @property
    def service_environment(self):
        return self._proxy.environment

    def decide(self, token, _subresource):
        """Let the server's account read kubelets, as its role does."""
        user = self.api.tokens.get(token)
        return 401 if user is None else 200 if user.name == ACCOUNT else 403

    async def start_metrics_server(self):
        """Start it with the flags of its own manifests, at its shortest resolution."""
        number = len(self.replicas)
        port = free_port()
        kubeconfig = self.directory / "kubeconfig"
        command = [
            str(self._assets / "metrics-server"),
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.directory / f'metrics-server-{number}'}",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--kubelet-certificate-authority={self.directory / 'ca.crt'}",
            "--kubelet-use-node-status-port",
            "--kubelet-preferred-address-types=InternalIP",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        ]
        replica = await self.start(command, self.directory / f"metrics-server-{number}.log", port)
        replica.lag = 0.0  # it stops to listen at once: what is sent to it afterwards would fail
        return replica

    async def write_status(self, status):
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"{DEPLOYMENT_PATH}/status"
        answer = await self.admin.patch(path, json={"status": status}, headers=headers)
        assert answer.is_success, answer.text
