"""The real kubectl installs, changes and asks as it does with a cluster."""

import asyncio
import os
import subprocess

import pytest

from metricsapi.tools.sandbox.patching import strategically_merged
from tests.support.paths import ROOT
from tests.tools.sandbox.apiservers import MASTERS, node, running

MANIFESTS = ROOT / "manifests" / "rendered"
ACCOUNT = "system:serviceaccount:kube-system:metrics-server"


@pytest.fixture
async def kubectl(tmp_path, kubectl_binary):
    """Run kubectl as an administrator; give its exit status and what it printed."""
    async with running() as api:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(api.kubeconfig("admin", MASTERS))

        async def run(*args):
            done = await asyncio.to_thread(
                subprocess.run,
                [kubectl_binary, f"--cache-dir={tmp_path}", *args],
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=30,
                check=False,
            )
            return done.returncode, done.stdout

        run.api = api
        yield run


async def test_manifests_are_applied_again_and_over_each_other(kubectl):
    first = MANIFESTS / "default" / "components.yaml"
    code, said = await kubectl("apply", "-f", str(first))
    assert (code, said.count(" created")) == (0, said.count("\n")), said
    code, said = await kubectl("apply", "-f", str(first))
    assert (code, said.count(" unchanged")) == (0, said.count("\n")), said
    other = MANIFESTS / "high-availability" / "components.yaml"
    code, said = await kubectl("apply", "-f", str(other))
    assert code == 0, said
    assert "deployment.apps/metrics-server configured" in said
    deployment = kubectl.api.cluster.get("deployments", "metrics-server", "kube-system")
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [10250]
    code, said = await kubectl("delete", "--wait=false", "-f", str(other))
    assert code == 0, said
    assert kubectl.api.cluster.get("deployments", "metrics-server", "kube-system") is None


async def test_who_may_do_what_is_answered_for_oneself_and_for_others(kubectl):
    assert await kubectl("auth", "can-i", "list", "pods") == (0, "yes\n")
    await kubectl("apply", "-f", str(MANIFESTS / "default" / "components.yaml"))
    for asked, answer in (
        (("get", "nodes", "--subresource=stats"), "yes"),
        (("get", "nodes", "--subresource=proxy"), "no"),
        (("list", "pods"), "yes"),
    ):
        _, said = await kubectl("auth", "can-i", *asked, f"--as={ACCOUNT}")
        assert answer in said.splitlines(), asked
    _, said = await kubectl("auth", "whoami", f"--as={ACCOUNT}")
    assert ACCOUNT in said
    assert "system:serviceaccounts:kube-system" in said
    code, said = await kubectl("get", "nodes", "--as=nobody")
    assert code == 1
    assert 'User "nobody" cannot list resource "nodes"' in said


async def test_objects_are_labelled_watched_and_deleted(kubectl):
    kubectl.api.cluster.apply("nodes", node("n1"))
    assert (await kubectl("label", "node", "n1", "a=b"))[0] == 0
    code, said = await kubectl("get", "nodes", "-L", "a", "-l", "a=b", "-o", "wide")
    assert said.splitlines()[1].split()[:2] == ["n1", "Unknown"], said
    watching = asyncio.create_task(kubectl("get", "nodes", "-w", "--request-timeout=2s"))
    await asyncio.sleep(0.5)
    kubectl.api.cluster.apply("nodes", node("n2"))
    _, said = await watching
    assert [line.split()[:3] for line in said.splitlines()[:3]] == [
        ["NAME", "STATUS", "ROLES"],
        ["n1", "Unknown", "<none>"],
        ["n2", "Unknown", "<none>"],
    ]
    code, said = await kubectl("wait", "--for=condition=Available", "apiservice/v1.apps")
    assert code == 0, said
    code, said = await kubectl("delete", "node", "n1")
    assert (code, said) == (0, 'node "n1" deleted\n')


def test_a_strategic_merge_patch_merges_lists_by_their_keys():
    old = {
        "containers": [{"name": "a", "image": "1", "ports": [{"containerPort": 1}]}, {"name": "b"}],
        "args": ["x", "y"],
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
    }
    change = {
        "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}],
        "containers": [
            {"name": "a", "image": "2"},
            {"name": "b", "$patch": "delete"},
            {"name": "c", "args": ["z"]},
        ],
        "args": ["z"],
        "strategy": {"$retainKeys": ["type"], "type": "Recreate"},
    }
    assert strategically_merged(old, change) == {
        "containers": [
            {"name": "a", "image": "2", "ports": [{"containerPort": 1}]},
            {"name": "c", "args": ["z"]},
        ],
        "args": ["z"],
        "strategy": {"type": "Recreate"},
    }
