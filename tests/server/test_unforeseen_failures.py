"""A process of its own into which failures are put that nobody thought of: it serves on."""

import asyncio
import re
import sys

import httpx
import pytest

from metricsapi.tools.sandbox.embedded import Embedded, Size
from metricsapi.tools.sandbox.serverprocess import ServerProcess

# Runs `metricsapi` in which each of these raises at its first two calls.
PROGRAM = """#!{python}
import sys
from importlib import import_module

class Panic(BaseException):
    pass

def fail(module, owner, name, error):
    owner = getattr(import_module(module), owner) if owner else import_module(module)
    works, calls = getattr(owner, name), []
    def fails(*args, **kwargs):
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
    "nodes-informer": ("kube.informer", "Informer", "_list", "TypeError('page')"),
    "pods-informer": ("kube.informer", "Informer", "_watch", "Panic('watch')"),
    "scraper": ("scrape.scraper", "ScraperPool", "run", "RuntimeError('pool')"),
    "ca-bundle-controller": (
        "server.tls.ca_bundle_controller",
        "CABundleController",
        "reconcile",
        "AttributeError('RSA')",
    ),
    "authentication-configuration": (
        "server.auth.configuration_source",
        "ConfigurationSource",
        "run",
        "UnicodeError('label')",
    ),
    "readiness": (
        "server.operator.readiness", "Readiness", "problems", "KeyError('check')"
    ),
    "summary": ("server.operator.operations", "", "log_summaries", "SystemExit(3)"),
    "scrape-cycle": ("server.operator.parts", "Parts", "end_cycle", "OSError('tick')"),
}  # fmt: skip


def program(folder, faults):
    lines = [
        f"fail('metricsapi.{module}', {owner!r}, {name!r}, {error})"
        for module, owner, name, error in faults.values()
    ]
    path = folder / "faulty"
    path.write_text(PROGRAM.format(python=sys.executable, faults="\n".join(lines)))
    path.chmod(0o755)
    return str(path)


async def eventually(wanted, seconds=30):
    for _ in range(5 * seconds):
        if await wanted():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"did not happen within {seconds} s: {wanted.__name__}")


@pytest.fixture
async def cluster(tmp_path):
    async with Embedded(Size(nodes=2, pods=3, host=False), tmp_path, port=0) as embedded:
        yield embedded


async def test_every_part_fails_and_the_process_serves_all_the_same(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "metricsapi.tools.sandbox.serverprocess.sys.executable", program(tmp_path, FAULTS)
    )
    server = ServerProcess(tmp_path, ("--metric-resolution=1s", "--manage-ca-bundle"))
    await server.start()
    token = cluster.api.add_user("root", ("system:masters",))
    try:
        async with httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{server.port}",
            verify=False,  # noqa: S501  the server of this test
            headers={"Authorization": f"Bearer {token}"},
        ) as http:

            async def get(path):
                assert server.is_running, server.exit_report()
                try:
                    return (await http.get(path)).text
                except httpx.TransportError:
                    return ""

            async def restarted():
                series = r'metricsapi_task_restarts_total{task="(.*?)"} '
                return set(re.findall(series, await get("/metrics"))) == set(FAULTS)

            async def ready():
                return await get("/readyz") == "ok"

            async def served():
                return (await get("/apis/metrics.k8s.io/v1beta1/nodes")).count('"usage"') == 2

            for wanted in (restarted, ready, served):
                await eventually(wanted)
            verbose = await get("/readyz?verbose")
            assert re.search(
                "warn: task scraper has not worked for .* RuntimeError: pool\n", verbose
            )
        log = (tmp_path / "server.log").read_text()
        for _, _, _, error in FAULTS.values():  # each task logs an error once, not at each restart
            name, _, argument = error.partition("(")
            lines = [line for line in log.splitlines() if f"{name}({argument}" in line]
            tasks = [re.search('task="(.*?)"', line)[1] for line in lines]
            assert tasks
            assert len(tasks) == len(set(tasks))
    finally:
        await server.stop()
    assert server.exit_status == 0
