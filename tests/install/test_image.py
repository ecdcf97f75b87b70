"""The image, built and run by a container engine as the Deployment would run it.

Needs an engine that answers, and METRICSAPI_BASE_IMAGE: an image that the engine has, with Python
3.11 or newer, glibc and pip (python:3.13-slim-trixie). The build itself has no network.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys

import pytest

import metricsapi
from metricsapi.tools.sandbox.users import ADMIN
from tests.install.cluster import ACCOUNT, Installation
from tests.install.objects import args, container, rendered
from tests.support.paths import ROOT

BASE = os.environ.get("METRICSAPI_BASE_IMAGE")
ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not BASE, reason="METRICSAPI_BASE_IMAGE names no image to build on"),
]


def run(*command):
    """Give what a command printed; it has to succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def remove(engine, name):
    """Remove a container, should it still be there."""
    subprocess.run([engine, "rm", "--force", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def engine():
    for name in filter(shutil.which, ("docker", "podman")):
        if subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    pytest.skip("neither docker nor podman answers")


@pytest.fixture(scope="module")
def image(engine):
    """What the README says, with nothing to download in the build."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    python = run(engine, "run", "--rm", "--network=none", BASE, "python3", "-c", code).strip()
    name = f"localhost/metricsapi-test:{os.getpid()}"
    run("make", "wheelhouse", f"VENV={sys.prefix}", f"IMAGE_PYTHON={python}")
    built = (f"ENGINES={engine}", f"BASE_IMAGE={BASE}", f"IMAGE={name}", "ARGS=--network=none")
    run("make", "image", *built)
    yield name
    run(engine, "image", "rm", "--force", name)


def test_what_the_image_says_of_itself(engine, image):
    found, base = json.loads(run(engine, "image", "inspect", image, BASE))
    config = found["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["metricsapi", "serve"]
    assert list(config["ExposedPorts"]) == ["10250/tcp"]
    assert config["Env"] == ["PATH=/usr/local/bin"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "metricsapi"
    assert labels["org.opencontainers.image.version"] == metricsapi.__version__
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert found["Size"] < base["Size"]


def test_started_bare_it_says_what_it_needs(engine, image):
    command = [engine, "run", "--rm", "--network=none", "--read-only", image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KUBERNETES_SERVICE_HOST is not set" in done.stderr
    assert "--kubeconfig=FILE" in done.stderr
    assert "Traceback" not in done.stderr


def hardened(engine, *, folder):
    """The Deployment's security context in the words of an engine; with its /tmp, or none."""
    context = container(rendered("default"))["securityContext"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    yield f"--user={context['runAsUser']}:{context['runAsGroup']}"
    yield from (f"--cap-drop={name}" for name in context["capabilities"]["drop"])
    yield from ("--security-opt=no-new-privileges", "--read-only")
    if engine == "podman":
        yield "--read-only-tmpfs=false"
    if folder:
        yield "--tmpfs=/tmp:rw,size=8m"


@pytest.mark.parametrize("folder", [True, False], ids=["with-tmp", "nothing-writable"])
async def test_it_serves_as_the_deployment_runs_it(engine, image, kubectl, tmp_path, folder):
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
        command = [
            *(engine, "run", "--rm", f"--name={name}", "--network=host"),
            *hardened(engine, folder=folder),
            f"--volume={account}:{ACCOUNT_FOLDER}:ro,z",
            "--env=KUBERNETES_SERVICE_HOST=127.0.0.1",
            f"--env=KUBERNETES_SERVICE_PORT={installation.api.url.rpartition(':')[2]}",
            *(image, *args(objects), "--secure-port=0", "--bind-address=127.0.0.1"),
        ]
        try:
            replica = await installation.start(command, tmp_path / "log")
            await installation.ready(replica)
            asked = (kubectl, f"--kubeconfig={admin}", "top", "nodes")
            assert node.name in await asyncio.to_thread(run, *asked)
            await asyncio.to_thread(run, engine, "stop", "-t", "45", name)
            assert await asyncio.wait_for(replica.process.wait(), 10) == 0
            assert "Traceback" not in replica.log.read_text()
        finally:
            remove(engine, name)
