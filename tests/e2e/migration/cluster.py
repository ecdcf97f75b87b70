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
from tests.install.cluster import SERVICE, Installation
from tests.support.paths import ROOT

NAMESPACE, NAME = SERVICE
USAGE = "/apis/metrics.k8s.io/v1beta1/nodes"
PULLED_IN = 0.3  # seconds


@dataclass
class Pod:
    """A template of the Deployment, and the replica that runs it, once its image is pulled."""

    template: dict
    replica: object = None

    @property
    def image(self):
        return self.template["spec"]["containers"][0]["image"]


class Migration(Installation):
    """`with` it: a cluster with a node; `client_failures` has what a client got but usage."""

    def __init__(self, directory, kubectl):
        super().__init__({}, directory)
        self.selects = self._selected
        self.pods = []
        self.client_failures = []
        self.answers = 0
        self._folder = directory / "work"
        self._path = f"{directory / 'bin'}{os.pathsep}{Path(kubectl).parent}"

    async def __aenter__(self):
        await super().__aenter__()
        await self.add_node(0)
        (self._folder / "dist").mkdir(parents=True)
        (self._folder / "dist" / "manifests").symlink_to(ROOT / "manifests" / "rendered")
        (self._folder / "manifests").symlink_to(ROOT / "manifests")
        (self.directory / "admin").write_text(self.api.kubeconfig("admin", ("system:masters",)))
        helm = self.directory / "bin" / "helm"
        helm.parent.mkdir()
        helm.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.e2e.migration.helm "$@"\n')
        helm.chmod(0o755)
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
        """Run shell lines as an administrator; a line that fails ends them. Give the output."""
        environment = os.environ | {
            "KUBECONFIG": str(self.directory / "admin"),
            "PATH": f"{self._path}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HELM_STATE": str(self.directory / "releases"),
        }
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-e", "-c", script],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def begin_asking(self, every=0.1):
        """Ask for usage again and again, as a client that must never fail."""
        self._following.append(asyncio.create_task(self._ask(every)))

    async def served(self):
        """Give the names of the nodes with usage."""
        answer = await self.admin.get(USAGE)
        return [one["metadata"]["name"] for one in answer.json().get("items", ())]

    def trust(self):
        """Give what the APIService says about verification: (insecureSkipTLSVerify, caBundle)."""
        spec = self.cluster.get("apiservices", "v1beta1.metrics.k8s.io")["spec"]
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

    async def _follow_deployment(self):
        while True:
            await asyncio.sleep(0.02)
            deployment = self.cluster.get("deployments", NAME, NAMESPACE)
            if deployment is None:
                continue
            template = deployment["spec"]["template"]
            if not self.pods or self.pods[-1].template != template:
                self.pods.append(Pod(template))
                self._write_status(deployment)
                await self._run(self.pods[-1])
            if len(self.pods) > 1 and self.pods[-1].replica and self.pods[-1].replica.ready:
                for pod in self.pods[:-1]:
                    if pod.replica is not None:
                        pod.replica.leave()
                del self.pods[:-1]
            self._write_status(deployment)

    async def _run(self, pod):
        """Pull the pod's image and start it."""
        repository, _, tag = pod.image.rpartition(":")
        await asyncio.sleep(PULLED_IN)
        if tag == "missing":
            return
        if repository.endswith("metricsapi"):
            arguments = pod.template["spec"]["containers"][0]["args"]
            pod.replica = await self.start_replica(rendered=arguments)
            return
        command = [sys.executable, "-m", "tests.e2e.migration.metrics_server"]
        log = self.directory / f"metrics-server-{len(self.replicas)}"
        pod.replica = await self.start(command, log)

    def _write_status(self, deployment):
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
            with contextlib.suppress(Conflict):  # it was changed meanwhile; the next time
                self.cluster.apply("deployments", deployment | {"status": status})

    def _selected(self, replica):
        service = self.cluster.get("services", NAME, NAMESPACE)
        template = next((pod.template for pod in self.pods if pod.replica is replica), None)
        if service is None or template is None:
            return template is None and service is not None  # it leaves
        labels = template["metadata"]["labels"]
        return labels.items() >= service["spec"]["selector"].items()
