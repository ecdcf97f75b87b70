"""A cluster whose Deployment controller runs metrics-server's stand-in or the server, by the image.

A rolling update is that of `maxUnavailable: 0`: a new pod joins the Service when it is ready, and
then the old one leaves. An image with the tag `missing` cannot be pulled.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from metricsapi.tools.sandbox.state import Conflict
from metricsapi.tools.sandbox.users import ADMIN
from tests.install.cluster import SERVICE, Installation
from tests.support.paths import ROOT

NAMESPACE, NAME = SERVICE
USAGE = "/apis/metrics.k8s.io/v1beta1/nodes"
PULLED_IN = 0.3  # seconds
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
SERVICE_PATH = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}"
DEPLOYMENT_PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"


@dataclass
class Pod:
    """A template of the Deployment, and the replica that runs it, once its image is pulled."""

    template: dict
    replica: object = None

    @property
    def image(self):
        return self.template["spec"]["containers"][0]["image"]

    @property
    def is_ours(self):
        """Whether its image is of this server, and not of metrics-server."""
        return self.image.rpartition(":")[0].endswith("metricsapi")


class Migration(Installation):
    """`with` it: a cluster with a node; `client_failures` has what a client got but usage."""

    def __init__(self, directory, kubectl, **options):
        super().__init__({}, directory, **options)
        self.selects = self._selected
        self.pods = []
        self.client_failures = []
        self.answers = 0
        self.tops = 0  # of `kubectl top nodes` that showed a node
        self._selector = None  # the Service's
        self._folder = directory / "work"
        self._path = f"{directory / 'bin'}{os.pathsep}{Path(kubectl).parent}"

    async def __aenter__(self):
        await super().__aenter__()
        await self.add_node(0)
        (self._folder / "dist").mkdir(parents=True)
        (self._folder / "dist" / "manifests").symlink_to(ROOT / "manifests" / "rendered")
        (self._folder / "manifests").symlink_to(ROOT / "manifests")
        (self.directory / "admin").write_text(self.api.kubeconfig(ADMIN, ("system:masters",)))
        self.helm = self.directory / "bin" / "helm"
        self.helm.parent.mkdir()
        self.helm.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -m tests.e2e.migration.helm "$@"\n'
        )
        self.helm.chmod(0o755)
        self.controller = asyncio.create_task(self._follow_deployment())
        self._following.append(self.controller)
        return self

    def write(self, name, text):
        """Write a file in the folder where commands run."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def link(self, name, target):
        (self._folder / name).symlink_to(target)

    async def shell(self, script):
        """Run shell lines as an administrator; a line that fails ends them; return the output."""
        done = await self._run_shell(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    async def refused(self, script):
        """Run shell lines that fail; return what is written to standard error."""
        done = await self._run_shell(script)
        assert done.returncode != 0, f"{script}\n{done.stdout}"
        return done.stderr

    async def _run_shell(self, script):
        environment = os.environ | {
            "KUBECONFIG": str(self.directory / "admin"),
            "PATH": f"{self._path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HELM_STATE": str(self.directory / "releases"),
        }
        return await asyncio.to_thread(
            subprocess.run,
            ["sh", "-e", "-c", script],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def begin_asking(self):
        """Ask for usage ten times a second, and by kubectl every 2 s, which must never fail."""
        duties = (self._ask(0.1), self._top(2.0))
        self._following += [asyncio.create_task(duty) for duty in duties]

    async def get(self, path):
        """Return an object, None where there is none."""
        answer = await self.admin.get(path)
        return answer.json() if answer.status_code == 200 else None

    async def is_available(self):
        """Return whether the API server says so of the Metrics API."""
        item = await self.get(f"{APISERVICES}/v1beta1.metrics.k8s.io") or {}
        conditions = item.get("status", {}).get("conditions", [])
        return [each["status"] for each in conditions if each["type"] == "Available"] == ["True"]

    async def served(self):
        """Return the names of the nodes with usage."""
        usage = await self.get(USAGE) or {"items": []}
        return [each["metadata"]["name"] for each in usage["items"]]

    async def trust(self):
        """Return what the APIService says about verification: (insecureSkipTLSVerify, caBundle)."""
        spec = (await self.get(f"{APISERVICES}/v1beta1.metrics.k8s.io"))["spec"]
        return bool(spec.get("insecureSkipTLSVerify")), spec.get("caBundle", "")

    async def _ask(self, every):
        while True:
            began = time.monotonic()
            try:
                answer = await self.admin.get(USAGE)
                if answer.status_code != 200 or not answer.json()["items"]:
                    self.client_failures.append(f"{answer.status_code} {answer.text[:300]}")
            except httpx.HTTPError as error:
                self.client_failures.append(repr(error))
            self.answers += 1
            await asyncio.sleep(max(0.0, began + every - time.monotonic()))

    async def _top(self, every):
        while True:
            began = time.monotonic()
            done = await self._run_shell("kubectl top nodes --no-headers")
            if done.returncode or not done.stdout:
                self.client_failures.append(done.stderr)
            self.tops += 1
            await asyncio.sleep(max(0.0, began + every - time.monotonic()))

    async def _follow_deployment(self):
        while True:
            await asyncio.sleep(0.1)
            service, deployment = await self.get(SERVICE_PATH), await self.get(DEPLOYMENT_PATH)
            self._selector = service and service["spec"]["selector"]
            if deployment is None:
                continue
            template = deployment["spec"]["template"]
            if not self.pods or self.pods[-1].template != template:
                self.pods.append(Pod(template))
                await self._write_status(deployment)
                await self._run(self.pods[-1])
            if len(self.pods) > 1 and self.pods[-1].replica and self.pods[-1].replica.ready:
                for pod in self.pods[:-1]:
                    if pod.replica is not None:
                        pod.replica.leave()
                del self.pods[:-1]
            await self._write_status(deployment)

    async def _run(self, pod):
        """Pull the pod's image and start it."""
        tag = pod.image.rpartition(":")[2]
        await asyncio.sleep(PULLED_IN)
        if tag == "missing":
            return
        if pod.is_ours:
            arguments = pod.template["spec"]["containers"][0]["args"]
            pod.replica = await self.start_replica(rendered=arguments)
            return
        pod.replica = await self.start_metrics_server()

    async def start_metrics_server(self):
        command = [sys.executable, "-m", "tests.e2e.migration.metrics_server"]
        return await self.start(command, self.directory / f"metrics-server-{len(self.replicas)}")

    async def _write_status(self, deployment):
        """Write the status that `kubectl rollout status` waits for."""
        newest = self.pods[-1].replica
        ready = [pod for pod in self.pods if pod.replica is not None and pod.replica.ready]
        generation = deployment["metadata"].get("generation", 0)
        status = {
            "observedGeneration": generation,
            "replicas": len(self.pods),
            "updatedReplicas": 1,
            "readyReplicas": len(ready),
            "availableReplicas": 1 if newest is not None and newest.ready else 0,
        }
        if deployment.get("status") != status:
            await self.write_status(status)

    async def write_status(self, status):
        live = self.cluster.get("deployments", NAME, NAMESPACE)
        with contextlib.suppress(Conflict):  # it was changed meanwhile; the next time
            self.cluster.apply("deployments", live | {"status": status})

    def _selected(self, replica):
        template = next((pod.template for pod in self.pods if pod.replica is replica), None)
        if self._selector is None or template is None:
            return template is None and self._selector is not None  # it leaves
        return template["metadata"]["labels"].items() >= self._selector.items()
