"""The image, built and run by a container engine as the Deployment would run it.

Needs an engine that answers, and METRICSAPI_BASE_IMAGE: an image that the engine has, with Python
3.11 or newer, glibc and pip (python:3.13-slim-trixie). The build downloads nothing.
"""

import asyncio
import json
import os
import subprocess

import pytest

import metricsapi
from metricsapi.tools.sandbox.users import ADMIN
from tests.install import engines
from tests.install.cluster import ACCOUNT, Installation
from tests.install.engines import run
from tests.install.objects import args, rendered
from tests.support.paths import ROOT
from tests.support.programs import virtual_environment

BASE = os.environ.get("METRICSAPI_BASE_IMAGE")
ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
MAX_SIZE = 100_000_000  # bytes, without compression

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not BASE, reason="METRICSAPI_BASE_IMAGE names no image to build on"),
]


@pytest.fixture(scope="module")
def engine():
    return engines.builder()


@pytest.fixture(scope="module")
def runner(engine):
    return engines.runner(engine, BASE)


def python_of(engine):
    """The version of the base image's Python, as 3.13."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    command = ("run", "--rm", "--network=none", BASE, "python3", "-c", code)
    if engines.succeeds(engine, *command):
        return run(engine, *command).strip()
    name = run("buildah", "from", "--pull-never", BASE).strip()
    try:
        return run("buildah", "run", "--isolation=chroot", name, "python3", "-c", code).strip()
    finally:
        run("buildah", "rm", name)


@pytest.fixture(scope="module")
def image(engine, runner, tmp_path_factory):
    """What docs/install.md says, with nothing to download in the build."""
    name = f"localhost/metricsapi-test:{os.getpid()}"
    make = (
        "make",
        f"--directory={ROOT}",
        f"VENV={virtual_environment(tmp_path_factory.mktemp('make'))}",
    )
    run(*make, "wheelhouse", f"IMAGE_PYTHON={python_of(engine)}")
    built = (f"ENGINES={engine}", f"BASE_IMAGE={BASE}", f"IMAGE={name}")
    run(*make, "image", *built, f"ARGS={engines.build_arguments()}")
    yield name
    run(engine, "image", "rm", "--force", name)


def test_what_the_image_says_of_itself(engine, image):
    built, base = json.loads(run(engine, "image", "inspect", image, BASE))
    config = built["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["metricsapi", "serve"]
    assert list(config["ExposedPorts"]) == ["10250/tcp"]
    assert config["Env"] == ["PATH=/usr/local/bin"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "metricsapi"
    assert labels["org.opencontainers.image.version"] == metricsapi.__version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert built["Size"] < base["Size"]
    assert built["Size"] < MAX_SIZE


def test_started_bare_it_says_what_it_needs(runner, image):
    name = f"metricsapi-bare-{os.getpid()}"
    try:
        command = runner.command(image, name)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        runner.remove(name)
    assert done.returncode == 1
    assert "KUBERNETES_SERVICE_HOST is not set" in done.stderr
    assert "--kubeconfig=FILE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("folder", [True, False], ids=["with-tmp", "nothing-writable"])
async def test_it_serves_as_the_deployment_runs_it(runner, image, kubectl, tmp_path, folder):
    objects = rendered("default")
    name = f"metricsapi-test-{os.getpid()}"
    async with Installation(objects, tmp_path) as installation:
        node = await installation.add_node(0)
        account = tmp_path / "account"
        account.mkdir(mode=0o755)
        (account / "token").write_text(installation.api.add_user(ACCOUNT))
        (account / "ca.crt").write_bytes(installation.api.ca.pem)
        (account / "namespace").write_text("kube-system")
        admin = tmp_path / "admin"
        admin.write_text(installation.api.kubeconfig(ADMIN, ("system:masters",)))
        options = [
            *runner.hardened(folder=folder),
            f"--volume={account}:{ACCOUNT_FOLDER}:ro,z",
            "--env=KUBERNETES_SERVICE_HOST=127.0.0.1",
            f"--env=KUBERNETES_SERVICE_PORT={installation.api.url.rpartition(':')[2]}",
        ]
        flags = (*args(objects), "--secure-port=0", "--bind-address=127.0.0.1")
        try:
            command = runner.command(image, name, *flags, options=options)
            replica = await installation.start(command, tmp_path / "log")
            await installation.ready(replica)
            asked = (kubectl, f"--kubeconfig={admin}", "top", "nodes")
            assert node.name in await asyncio.to_thread(run, *asked)
            await asyncio.to_thread(runner.stop, name, replica.process)
            assert await asyncio.wait_for(replica.process.wait(), 20) == 0
            assert "Traceback" not in replica.log.read_text()
        finally:
            runner.remove(name)
