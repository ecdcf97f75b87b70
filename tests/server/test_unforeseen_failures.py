"""A process of its own into which failures are put that nobody thought of: it serves on."""

import re

import pytest

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.size import Size
from tests.support.conditions import until
from tests.support.programs import write_program
from tests.support.server import administrator, becomes_ready, serving

# Runs `metricsapi` in which each of these raises at its first two calls (that have an argument).
PROGRAM = """
import sys
from importlib import import_module

class Panic(BaseException):
    pass

def fail(module, owner, name, error, argument=None):
    owner = getattr(import_module(module), owner) if owner else import_module(module)
    works, calls = getattr(owner, name), []
    def fails(*args, **kwargs):
        if argument is None or argument in args:
            calls.append(1)
            if len(calls) <= 2:
                raise error
        return works(*args, **kwargs)
    setattr(owner, name, fails)

{faults}

from metricsapi.cli import main
sys.exit(main(sys.argv[3:]))
"""
FAULTS = {
    "nodes-informer": (
        "kube.client", "KubeClient", "request", "TypeError('page')", "/api/v1/nodes"
    ),
    "pods-informer": (
        "kube.client", "KubeClient", "stream_lines", "Panic('watch')", "/api/v1/pods"
    ),
    "scraper": ("scrape.scraper", "ScraperPool", "run", "RuntimeError('pool')"),
    "ca-bundle-controller": (
        "server.tls.ca_bundle_controller",
        "CABundleController",
        "reconcile",
        "AttributeError('RSA')",
    ),
    "authentication-configuration": (
        "kube.client",
        "KubeClient",
        "stream_lines",
        "UnicodeError('label')",
        "/api/v1/namespaces/kube-system/configmaps",
    ),
    "readiness": (
        "server.operator.readiness", "Readiness", "problems", "KeyError('check')"
    ),
    "summary": ("server.operator.operations", "", "log_summaries", "SystemExit(3)"),
}  # fmt: skip


def program(folder, faults):
    lines = [
        f"fail('metricsapi.{module}', {owner!r}, {name!r}, {error}, *{argument!r})"
        for module, owner, name, error, *argument in faults.values()
    ]
    path = folder / "faulty"
    write_program(path, PROGRAM.format(faults="\n".join(lines)))
    return str(path)


@pytest.fixture
async def cluster(tmp_path):
    async with Embedded(Size(nodes=2, pods=3, host=False), tmp_path, port=0) as embedded:
        yield embedded


async def test_every_part_fails_and_the_process_serves_all_the_same(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "metricsapi.tools.sandbox.serverprocess.sys.executable", program(tmp_path, FAULTS)
    )
    async with (
        serving(cluster, "--metric-resolution=1s", "--manage-ca-bundle") as server,
        administrator(cluster, server) as http,
    ):

        async def restarted():
            series = r'metricsapi_task_restarts_total{task="(.*?)"} '
            return set(re.findall(series, (await http.get("/metrics")).text)) == set(FAULTS)

        async def served():
            nodes = await http.get("/apis/metrics.k8s.io/v1beta1/nodes")
            return nodes.text.count('"usage"') == 2

        await until(restarted, seconds=30, what="every task is restarted")
        await becomes_ready(server, http)
        await until(served, seconds=30, what="the usage of both nodes")
        verbose = (await http.get("/readyz?verbose")).text
        assert re.search("warn: task scraper has not worked for .* RuntimeError: pool\n", verbose)
        log = (tmp_path / "server.log").read_text()
        for _, _, _, error, *_ in FAULTS.values():  # a task logs an error once, not each time
            name, _, argument = error.partition("(")
            lines = [line for line in log.splitlines() if f"{name}({argument}" in line]
            tasks = [re.search('task="(.*?)"', line)[1] for line in lines]
            assert tasks
            assert len(tasks) == len(set(tasks))
    assert server.exit_status == 0
