"""The real kubectl installs, changes and asks as it does with a cluster."""

import asyncio
import os
import subprocess

import pytest

from metricsapi.tools.sandbox.objects import node_object, pod_object
from metricsapi.tools.sandbox.patching import strategically_merged
from tests.support.paths import ROOT
from tests.tools.sandbox.apiservers import MASTERS, node, running

MANIFESTS = ROOT / "manifests" / "rendered"
ACCOUNT = "system:serviceaccount:kube-system:metrics-server"


@pytest.fixture
async def kubectl(tmp_path, kubectl_binary):
    """Run kubectl as an administrator; return its exit status and what it printed."""
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
    code, output = await kubectl("apply", "-f", str(first))
    assert (code, output.count(" created")) == (0, output.count("\n")), output
    code, output = await kubectl("apply", "-f", str(first))
    assert (code, output.count(" unchanged")) == (0, output.count("\n")), output
    other = MANIFESTS / "high-availability" / "components.yaml"
    code, output = await kubectl("apply", "-f", str(other))
    assert code == 0, output
    assert "deployment.apps/metrics-server configured" in output
    deployment = kubectl.api.cluster.get("deployments", "metrics-server", "kube-system")
    assert deployment["spec"]["replicas"] == 2
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [10250]
    code, output = await kubectl("delete", "--wait=false", "-f", str(other))
    assert code == 0, output
    assert kubectl.api.cluster.get("deployments", "metrics-server", "kube-system") is None


async def test_who_may_do_what_is_answered_for_oneself_and_for_others(kubectl):
    assert await kubectl("auth", "can-i", "list", "pods") == (0, "yes\n")
    await kubectl("apply", "-f", str(MANIFESTS / "default" / "components.yaml"))
    for asked, answer in (
        (("get", "nodes", "--subresource=stats"), "yes"),
        (("get", "nodes", "--subresource=proxy"), "no"),
        (("list", "pods"), "yes"),
    ):
        _, output = await kubectl("auth", "can-i", *asked, f"--as={ACCOUNT}")
        assert answer in output.splitlines(), asked
    _, output = await kubectl("auth", "whoami", f"--as={ACCOUNT}")
    assert ACCOUNT in output
    assert "system:serviceaccounts:kube-system" in output
    code, output = await kubectl("get", "nodes", "--as=nobody")
    assert code == 1
    assert 'User "nobody" cannot list resource "nodes"' in output


async def test_objects_are_labelled_watched_and_deleted(kubectl):
    kubectl.api.cluster.apply("nodes", node("n1"))
    assert (await kubectl("label", "node", "n1", "a=b"))[0] == 0
    code, output = await kubectl("get", "nodes", "-L", "a", "-l", "a=b", "-o", "wide")
    assert output.splitlines()[1].split()[:2] == ["n1", "Unknown"], output
    watching = asyncio.create_task(kubectl("get", "nodes", "-w", "--request-timeout=2s"))
    await asyncio.sleep(0.5)
    kubectl.api.cluster.apply("nodes", node("n2"))
    _, output = await watching
    assert [line.split()[:3] for line in output.splitlines()[:3]] == [
        ["NAME", "STATUS", "ROLES"],
        ["n1", "Unknown", "<none>"],
        ["n2", "Unknown", "<none>"],
    ]
    code, output = await kubectl("wait", "--for=condition=Available", "apiservice/v1.apps")
    assert code == 0, output
    code, output = await kubectl("delete", "node", "n1")
    assert (code, output) == (0, 'node "n1" deleted\n')


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


async def test_namespaces_and_what_is_in_them_are_created_and_deleted(kubectl):
    for what in (
        ("namespace", "team"),
        ("configmap", "c", "-n", "team", "--from-literal=a=b"),
        ("secret", "generic", "s", "-n", "team", "--from-literal=a=b"),
        ("serviceaccount", "sa", "-n", "team"),
        ("clusterrole", "statusz", "--verb=get", "--non-resource-url=/statusz,/flagz"),
        ("clusterrolebinding", "statusz", "--clusterrole=statusz", "--user=me"),
    ):
        code, output = await kubectl("create", *what)
        assert (code, output.endswith(" created\n")) == (0, True), output
    cluster = kubectl.api.cluster
    assert cluster.get("namespaces", "team")["status"] == {"phase": "Active"}
    assert cluster.get("configmaps", "c", "team")["data"] == {"a": "b"}
    assert cluster.get("secrets", "s", "team")["data"] == {"a": "Yg=="}
    (rule,) = cluster.get("clusterroles", "statusz")["rules"]
    assert rule == {"verbs": ["get"], "nonResourceURLs": ["/statusz", "/flagz"]}
    assert cluster.get("clusterrolebindings", "statusz")["subjects"][0]["name"] == "me"
    code, output = await kubectl("create", "deployment", "d", "--image=i")
    assert code == 1
    assert "the sandbox reads Deployment as JSON only: kubectl apply -f FILE" in output
    assert "Status:       Active" in (await kubectl("describe", "namespace", "team"))[1]
    assert await kubectl("delete", "namespace", "team") == (0, 'namespace "team" deleted\n')
    assert cluster.get("configmaps", "c", "team") is None


async def test_what_the_sandbox_has_not_says_so_and_what_to_use_instead(kubectl, tmp_path):
    cluster = kubectl.api.cluster
    for namespace, name in (("kube-system", "metrics-server-0"), ("default", "app")):
        cluster.apply("pods", pod_object(namespace, name, "n1", ["c"], {}))
    cluster.apply("deployments", {"metadata": {"name": "d", "namespace": "default"}, "spec": {}})
    kubectl.api.aggregator.endpoints["kube-system", "metrics-server"] = [("127.0.0.1", 4443)]
    (tmp_path / "server.log").write_text("one\ntwo\n")
    kubectl.api.show_log("kube-system", "metrics-server-0", tmp_path / "server.log")
    server = ("-n", "kube-system", "metrics-server-0")
    assert await kubectl("logs", *server) == (0, "one\ntwo\n")
    assert await kubectl("logs", "--tail=1", *server) == (0, "two\n")
    for command, answer in (
        (("logs", "app"), "no log; the server's log: kubectl logs -n kube-system metrics-server-0"),
        (("exec", "app", "--", "ls"), "runs no containers: there is nothing to exec in"),
        (("port-forward", "app", ":443"), "the server listens on 127.0.0.1:4443 of this machine"),
        (("scale", "deployment/d", "--replicas=2"), "the sandbox has no deployments.apps/scale"),
    ):
        code, output = await kubectl(*command)
        assert (code, answer in output) == (1, True), output
    for command in (("get", "events"), ("get", "leases", "-A")):
        code, output = await kubectl(*command)
        assert (code, output[:18]) == (0, "No resources found"), output


async def test_a_fault_that_there_is_not_is_refused_with_those_that_there_are(kubectl):
    kubectl.api.cluster.apply("nodes", node("n1"))
    code, output = await kubectl("annotate", "node", "n1", "sandbox/fault=tired")
    assert code == 1
    assert 'Invalid value: "tired": is none of the faults of the sandbox: none, slow, ' in output
    assert (await kubectl("annotate", "node", "n1", "sandbox/fault=hang"))[0] == 0
    assert (await kubectl("annotate", "node", "n1", "sandbox/fault-"))[0] == 0


async def test_a_described_node_has_times_of_today(kubectl):
    item = node_object("n1", {}, 10250, cores=1, memory=2**30, info={})
    kubectl.api.cluster.apply("nodes", item)
    code, output = await kubectl("describe", "node", "n1")
    assert code == 0, output
    assert "kubelet is posting ready status" in output
    assert " 0001 " not in output
