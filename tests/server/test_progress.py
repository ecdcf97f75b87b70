"""Every part of the server reports progress while it idles, and is named when it hangs.

The server is assembled as it runs, in front of an API server in which nothing ever happens; hours
pass at once.
"""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from metricsapi.config.read import read_settings
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.errors import Forbidden, IdleTimeout, NotFound
from metricsapi.server import assembly
from metricsapi.server.security import Security
from metricsapi.server.supervisor import Supervisor
from metricsapi.server.task import LONGEST_SILENCE
from metricsapi.server.task_run import LAST_CHANCE
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.tools.sandbox.credentials import kubeconfig
from tests.server.operator.serving import serving
from tests.support.pki import Authority
from tests.support.simulated_time import run_simulated

CONFIGMAPS = "/api/v1/namespaces/kube-system/configmaps"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
EVERYTHING = (
    "--leader-elect", "--advertise-address=127.0.0.1", "--prefetch", "--manage-ca-bundle",
)  # fmt: skip


class QuietApiServer:
    """A client whose API server has no objects; its watches send nothing until they time out.

    `hangs(method, path, params)` tells which calls never return.
    """

    def __init__(self, credentials, hangs, refuses=""):
        self.credentials = credentials
        self._hangs = hangs
        self._refuses = refuses
        self._lease = None

    async def request(self, method, path, *, params=None, body=None, **_):
        await self._called(method, path, params or {})
        if path.startswith(LEASES):
            if body is not None:
                self._lease = {**body, "metadata": {**body["metadata"], "resourceVersion": "7"}}
            if self._lease is None:
                raise NotFound(404, "NotFound", path)
            return json.dumps(self._lease).encode()
        if "limit" in (params or {}):
            return b'{"metadata": {"resourceVersion": "5"}, "items": []}'
        raise NotFound(404, "NotFound", path)

    async def request_json(self, method, path, _into, **options):
        return json.loads(await self.request(method, path, **options))

    async def stream_lines(self, path, *, params, idle_timeout, **_):
        await self._called("WATCH", path, params)
        await asyncio.sleep(idle_timeout)
        raise IdleTimeout("nothing came in time")
        yield b""

    async def _called(self, method, path, params):
        if self._refuses and path.startswith(self._refuses):
            raise Forbidden(403, "Forbidden", path)
        if self._hangs(method, path, params):
            await asyncio.Event().wait()


class Assembled:
    """The parts of a server, supervised. `async with` it."""

    def __init__(self, folder, flags, hangs=lambda *_: False, refuses="", user=None):
        authority = Authority()
        path = folder / "kubeconfig"
        path.write_text(
            kubeconfig("https://127.0.0.1:1", authority.pem, "u", user or {"token": "t"})
        )
        self.restarted = []
        self._settings, parsed = read_settings([f"--cert-dir={folder}", *flags], {})
        assert parsed.problems == []
        self._client = QuietApiServer(load_credentials(path), hangs, refuses)
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
        loop = asyncio.get_running_loop()
        self.supervisor = Supervisor(self.restarted.append, clock=loop.time)
        process = assembly.Process(
            settings=self._settings,
            credentials=self._client.credentials,
            telemetry=telemetry,
            supervisor=self.supervisor,
            client=self._client,
            leaving=asyncio.Event(),
        )
        security = Security(self._settings, self._client, telemetry, lambda: True, self._stack)
        cluster = assembly.cluster_of(process)
        replication = assembly.replication_of(process, security, cluster)
        usage = assembly.usage_of(process, cluster, replication)
        operations = assembly.operations_of(process, security, cluster, usage, replication)
        if replication is not None:
            replication.attach(usage.scraper, 4443)
        self.http = serving(operations.routes)
        tasks = assembly.tasks_of(security, cluster, usage, operations, replication)
        self.supervisor.add(*tasks)
        running = asyncio.create_task(self.supervisor.run())
        self._stack.push_async_callback(asyncio.wait, [running])
        self._stack.callback(running.cancel)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()


def flags_with_files(folder):
    """Return flags that have every file followed that can be."""
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.pem)
    pair = authority.issue("name")
    for number in range(2):
        (folder / f"{number}.crt").write_bytes(pair.pem)
        (folder / f"{number}.key").write_bytes(pair.key)
    return (
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--requestheader-client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / '0.crt'}",
        f"--tls-private-key-file={folder / '0.key'}",
        f"--tls-sni-cert-key={folder / '1.crt'},{folder / '1.key'}",
    )


@pytest.mark.parametrize("with_files", [False, True])
def test_no_part_hangs_because_nothing_happens(tmp_path, with_files):
    flags = flags_with_files(tmp_path) if with_files else EVERYTHING

    async def check():
        async with Assembled(tmp_path, flags) as server:
            for _ in range(200):
                await asyncio.sleep(61.0)
                assert server.supervisor.problems() == []
            assert server.restarted == []
            return {health.name for health in server.supervisor.health()}

    names = run_simulated(check())
    assert ("client-ca-file" in names) is with_files
    assert ("leader-election" in names) is not with_files


def test_files_that_are_read_only_when_they_are_used_are_named_while_nothing_uses_them(tmp_path):
    """There is no node, and so no kubelet that is connected to."""
    authority, token = tmp_path / "kubelet-ca.crt", tmp_path / "token"
    pem = Authority().pem
    authority.write_bytes(pem)
    token.write_text("t")
    user = {"tokenFile": str(token)}
    flags = [f"--kubelet-certificate-authority={authority}"]

    async def check():
        async with Assembled(tmp_path, flags, user=user) as server:
            await asyncio.sleep(150.0)
            assert server.supervisor.problems() == []
            authority.write_text("garbage")
            await asyncio.sleep(30.0)
            [problem] = server.supervisor.problems()
            assert problem.startswith("task credential-files has not worked for ")
            assert str(authority) in problem
            verbose = await server.http.get("/readyz?verbose")
            assert problem.partition(" for ")[0] in verbose.text
            token.unlink()
            await asyncio.sleep(90.0)
            [problem] = server.supervisor.problems()
            assert f"no such file: {token}" in problem
            authority.write_bytes(pem)
            token.write_text("t")
            await asyncio.sleep(90.0)
            assert server.supervisor.problems() == []

    run_simulated(check())


HANGS = {
    "nodes-informer": lambda method, path, _: (method, path) == ("GET", "/api/v1/nodes"),
    "pods-informer": lambda method, path, _: (method, path) == ("WATCH", "/api/v1/pods"),
    "authentication-configuration": lambda _method, path, _: path == CONFIGMAPS,
    "ca-bundle-controller": lambda method, path, _: method == "GET" and SECRETS in path,
    "ca-secret-watch": lambda method, path, _: (method, path) == ("WATCH", SECRETS),
    "apiservice-v1-watch": lambda method, path, params: (
        (method, path) == ("WATCH", APISERVICES) and "v1.metrics" in params["fieldSelector"]
    ),
}


@pytest.mark.parametrize("name", HANGS)
def test_a_part_that_hangs_is_named_wherever_one_that_fails_is(tmp_path, name):
    async def check():
        async with Assembled(tmp_path, EVERYTHING, HANGS[name]) as server:
            await asyncio.sleep(LONGEST_SILENCE - 20.0)
            assert server.supervisor.problems() == []
            await asyncio.sleep(2 * LONGEST_SILENCE + 100.0)
            verbose = (await server.http.get("/readyz?verbose")).text
            status = (await server.http.get("/statusz")).text
            tasks = (await server.http.get("/statusz?format=json")).json()["tasks"]
            metrics = (await server.http.get("/metrics")).text
        assert f"\nwarn: task {name} has not worked for " in verbose
        assert f"\nFailing: task {name} has not worked for " in status
        assert [task["name"] for task in tasks if task["error"]] == [name]
        assert set(server.restarted) == {name}
        series = f'metricsapi_task_failing_seconds{{task="{name}"}} '
        (line,) = [line for line in metrics.splitlines() if line.startswith(series)]
        assert float(line.removeprefix(series)) > LONGEST_SILENCE - LAST_CHANCE

    run_simulated(check())


@pytest.mark.parametrize(("flags", "named"), [
    ((), True),
    (("--authentication-tolerate-lookup-failure",), False),
])  # fmt: skip
def test_an_authentication_configuration_that_may_not_be_read_is_named(tmp_path, flags, named):
    async def check():
        async with Assembled(tmp_path, flags, refuses=CONFIGMAPS) as server:
            await asyncio.sleep(100.0)
            return server.supervisor.problems()

    problems = run_simulated(check())
    assert ["authentication-configuration" in problem for problem in problems] == [True] * named


def test_without_lookup_and_files_there_is_nothing_of_authentication_to_run(tmp_path):
    async def check():
        async with Assembled(tmp_path, ("--authentication-skip-lookup",)) as server:
            await asyncio.sleep(100.0)
            assert server.restarted == []
            return server.supervisor.problems()

    assert run_simulated(check()) == []
