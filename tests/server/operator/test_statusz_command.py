"""`metricsapi statusz`: the page on loopback, with the user's own credentials and nobody else's."""

import asyncio
import base64
import contextlib
import os
import re
import signal
import stat
import sys

import httpx
import psutil
import pytest
import pytest_asyncio

from metricsapi.tools.sandbox.embedded import Embedded
from metricsapi.tools.sandbox.size import Size
from tests.support.conditions import until
from tests.support.pki import Authority
from tests.support.server import serving

APISERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
URL = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/statusz")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    async with Embedded(Size(nodes=2, pods=1, host=False), folder, port=0) as embedded:
        (folder / "admin").write_text(embedded.api.kubeconfig("admin", ("system:masters",)))
        (folder / "nobody").write_text(embedded.api.kubeconfig("nobody", ()))
        yield embedded


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(cluster):
    """A server that all tests but the last one, which ends it, share."""
    async with serving(cluster) as running:
        yield running


@pytest.fixture
def port(server):
    return server.port


@pytest.fixture
def admin(cluster):
    """The flag with an administrator's kubeconfig."""
    return f"--kubeconfig={cluster.directory}/admin"


@contextlib.asynccontextmanager
async def statusz(*flags, path=None):
    """Run the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "metricsapi", "statusz", *flags,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": str(path or "/nowhere")},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def ended(*flags, path=None):
    """Run the command to its end; return its status, output and errors."""
    async with statusz(*flags, path=path) as process, asyncio.timeout(60):
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


async def test_the_page_is_shown_under_an_address_that_nobody_can_guess(admin, port):
    flags = (admin, f"--connect=127.0.0.1:{port}")
    async with statusz(*flags) as process, httpx.AsyncClient() as browser:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        assert URL.fullmatch(url)
        page = await browser.get(url, headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "node-0" in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert (await browser.get(url.replace("statusz", "flagz"))).status_code == 200
        base = url.rpartition("/")[0]
        for elsewhere in (
            f"{base}/apis/metrics.k8s.io/v1beta1/nodes",
            f"{base}x/statusz",
            f"{base.rpartition('/')[0]}/statusz",
        ):
            assert (await browser.get(elsewhere)).status_code == 404
        rebound = await browser.get(url, headers={"Host": "evil.example"})
        assert rebound.status_code == 404


async def test_once_prints_the_text(admin, port):
    flags = (admin, f"--connect=127.0.0.1:{port}", "--once")
    status, out, err = await ended(*flags)
    assert (status, err) == (0, "")
    assert out.startswith("metrics-server statusz\n")
    assert "node-1" in out


async def test_the_error_names_the_missing_permission_and_the_fix(cluster, port):
    flags = (f"--kubeconfig={cluster.directory}/nobody", f"--connect=127.0.0.1:{port}")
    status, out, err = await ended(*flags)
    assert (status, out) == (1, "")
    assert 'User "nobody" cannot get path "/statusz"' in err.replace("\\", "")
    assert "kubectl create clusterrole statusz --verb=get" in err


async def test_credentials_go_to_nobody_whom_the_ca_bundle_does_not_vouch_for(cluster, admin, port):
    flags = (admin, "--once")
    status, _, err = await ended(*flags, f"--connect=192.0.2.1:{port}")
    assert status == 1
    assert "the APIService has no caBundle, so the server cannot be verified" in err
    bundle = base64.b64encode(Authority("another").pem).decode()
    await set_trust(cluster, {"caBundle": bundle, "insecureSkipTLSVerify": False})
    status, _, err = await ended(*flags, f"--connect=127.0.0.1:{port}")
    assert status == 1
    assert "certificate verify failed" in err
    await set_trust(cluster, {"caBundle": None})


async def set_trust(cluster, spec):
    """Change what the APIService says about verification."""
    token = cluster.api.add_user("root", ("system:masters",))
    async with httpx.AsyncClient(verify=False) as http:  # noqa: S501 - the sandbox's own server
        patched = await http.patch(
            f"{cluster.api.url}{APISERVICE}",
            json={"spec": spec},
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/merge-patch+json",
            },
        )
    assert patched.status_code == 200


def kubectl(folder, script):
    """Put a program in place of kubectl; return the folder."""
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{folder}:/usr/bin:/bin"


async def test_without_connect_it_goes_through_kubectls_port_forward(admin, port, tmp_path):
    asked = tmp_path / "asked"
    forward = f"echo Forwarding from 127.0.0.1:{port} '->' 443"
    path = kubectl(tmp_path, f'echo "$@" > {asked}; {forward}; exec sleep 600')
    flags = (admin, "--once")
    status, out, _ = await ended(*flags, path=path)
    assert status == 0
    assert "node-1" in out
    assert asked.read_text().split() == [
        admin,
        "--namespace=kube-system",
        "port-forward",
        "--address=127.0.0.1",
        "service/metrics-server",
        ":443",
    ]


async def test_errors_of_kubectl_are_shown(admin, tmp_path):
    path = kubectl(tmp_path, "echo no such service >&2; exit 1")
    status, _, err = await ended(admin, path=path)
    assert status == 1
    assert "kubectl port-forward failed: no such service" in err
    status, _, err = await ended(admin)
    assert "kubectl is not on PATH: install it, or use --connect" in err


async def test_a_forward_that_has_ended_with_its_pod_is_started_again(server, admin, tmp_path):
    runs = tmp_path / "runs"
    forward = f"echo Forwarding from 127.0.0.1:{server.port} '->' 443"
    path = kubectl(tmp_path, f'echo "$$ $@" >> {runs}; {forward}; exec sleep 600')
    async with (
        statusz(admin, path=path) as process,
        httpx.AsyncClient() as browser,
    ):
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        assert (await browser.get(url)).status_code == 200
        await server.stop()
        first = int(runs.read_text().split()[0])
        os.kill(first, signal.SIGKILL)
        await until(lambda: has_ended(first), what="the first forward has ended")
        assert (await browser.get(url)).status_code == 502
        await until(lambda: len(runs.read_text().splitlines()) == 2)
        pid, arguments = runs.read_text().splitlines()[1].split(maxsplit=1)
        assert arguments.endswith(f" {server.port}:443")
        process.terminate()
        await process.wait()
    await until(lambda: has_ended(int(pid)), what="the forward has ended")


def has_ended(pid):
    """Return whether a process is gone, or waits for its parent to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
