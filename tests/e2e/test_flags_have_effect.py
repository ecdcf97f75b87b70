"""Flags that change what is read or served, seen from outside."""

import json
import os
import subprocess

import pytest

from tests.e2e.conftest import Sandbox

BASE = "/apis/metrics.k8s.io/v1beta1"


@pytest.fixture
def served(kubectl_binary, tmp_path):
    """Return what a sandbox with these server flags serves: nodes and pods by name."""

    def ask(*flags):
        options = ("--nodes=3", "--pods=2", "--swap-every=2", "--no-host", "--", *flags)
        running = Sandbox(tmp_path, *options)
        try:
            running.wait_ready()
            lists = [json.loads(_get(kubectl_binary, running, "/api/v1/nodes"))["items"]]
            for resource in ("nodes", "pods"):
                text = _get(kubectl_binary, running, f"{BASE}/{resource}")
                lists.append({item["metadata"]["name"]: item for item in json.loads(text)["items"]})
            return lists
        finally:
            running.stop()

    return ask


def _get(kubectl_binary, running, path):
    return subprocess.check_output(
        [kubectl_binary, "get", "--raw", path],
        env={**os.environ, "KUBECONFIG": running.kubeconfig},
        text=True,
        timeout=60,
    )


def test_ephemeral_storage_is_served_on_request(served):
    objects, nodes, pods = served("--resources=cpu,memory,swap,ephemeral-storage")
    assert nodes["node-0"]["usage"].keys() == {"cpu", "memory", "swap", "ephemeral-storage"}
    capacity = {
        item["metadata"]["name"]: item["status"]["nodeInfo"].get("swap") for item in objects
    }
    assert (capacity["node-0"], capacity["node-1"]) == ({"capacity": 2**30 + 2**24}, None)
    assert "swap" not in nodes["node-1"]["usage"]
    usage = pods["app-1-0"]["containers"][0]["usage"]
    assert usage["ephemeral-storage"] == "48Ki"  # its root file system and its logs


def test_swap_can_be_left_out(served):
    _, nodes, _ = served("--resources=cpu,memory")
    assert nodes["node-0"]["usage"].keys() == {"cpu", "memory"}
