"""docs/migration.md, line by line: to this server and back, and no request fails meanwhile.

With KUBEBUILDER_ASSETS on the real API server, with metrics-server itself if it is there too.
"""

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import ASSETS
from tests.e2e.migration.cluster import Migration
from tests.e2e.migration.manifests import COMPONENTS, RELEASE
from tests.e2e.migration.metrics_server import NODE
from tests.e2e.migration.real import RealMigration
from tests.support.conditions import until
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "migration.md"
CHART = "apiVersion: v2\nname: metrics-server\nversion: 3.13.1\n"
KUSTOMIZATION = "resources: [components.yaml]\n"


def section(title):
    return PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def commands(title):
    """Return the blocks of indented lines of a section."""
    text = re.sub(r"```.*?```", "", section(title), flags=re.DOTALL)
    return [
        "\n".join(line[4:] for line in block.splitlines())
        for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    ]


def files(title):
    """Return the blocks of YAML of a section."""
    return re.findall(r"```yaml\n(.*?)```", section(title), re.DOTALL)


async def by_components(cluster):
    """Install metrics-server with kubectl; return the commands to this server, and back."""
    cluster.write("metrics-server/components.yaml", COMPONENTS)
    await cluster.shell("kubectl apply -f metrics-server/components.yaml")
    return commands("Installed from components.yaml")[0], commands("Back to metrics-server")[1]


async def by_kustomize(cluster):
    cluster.write("metrics-server/components.yaml", COMPONENTS)
    cluster.write("metrics-server/kustomization.yaml", KUSTOMIZATION)
    await cluster.shell("kubectl apply -k metrics-server")
    cluster.write("overlay/kustomization.yaml", files("Installed with kustomize")[0])
    cluster.link("overlay/metricsapi", ROOT)
    return commands("Installed with kustomize")[0], commands("Back to metrics-server")[2]


async def by_helm(cluster):
    pytest.importorskip("helm_python", reason="the Helm engine has no build for this platform")
    cluster.write("metrics-server/Chart.yaml", CHART)
    cluster.write("metrics-server/templates/manifest.yaml", RELEASE)
    await cluster.shell("helm -n kube-system install metrics-server metrics-server")
    cluster.write("migrate.yaml", files("Installed with Helm")[0])
    return commands("Installed with Helm")[0], commands("Back to metrics-server")[3]


REAL = bool(ASSETS) and Path(ASSETS, "metrics-server").exists()
# metrics-server serves after two scrapes, and has no node of its own.
MINUTES, OLD_NODE = (5, "node-0") if REAL else (2, NODE)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 * MINUTES)]


@pytest.fixture
async def cluster(kubectl_binary, tmp_path):
    real = RealMigration(tmp_path, kubectl_binary, ASSETS) if REAL else None
    async with real or Migration(tmp_path, kubectl_binary) as running:
        yield running


async def served_by_metrics_server(cluster):
    await until(cluster.is_available, seconds=60, what="metrics-server's API")

    await until(lambda: is_served(cluster, [OLD_NODE]), seconds=60, what="usage")
    assert await cluster.trust() == (True, "")


async def taken_over(cluster):
    """Wait until the server serves the usage and is verified."""

    async def verified():
        insecure, bundle = await cluster.trust()
        return bundle and not insecure

    await until(verified, seconds=60, what="the bundle")
    assert await cluster.served() == ["node-0"]


async def is_served(cluster, nodes):
    return await cluster.served() == nodes


async def is_unverified(cluster):
    return await cluster.trust() == (True, "")


@pytest.mark.parametrize("install", [by_components, by_kustomize, by_helm])
async def test_to_this_server_and_back_without_a_failed_request(cluster, install):
    forward, back = await install(cluster)
    await served_by_metrics_server(cluster)
    cluster.begin_asking()
    await cluster.shell(forward)
    await taken_over(cluster)
    await cluster.shell(commands("Back to metrics-server")[0])
    await cluster.shell(back)
    await until(lambda: [pod.is_ours for pod in cluster.pods] == [False], seconds=30)
    await until(lambda: is_unverified(cluster), seconds=10, what="no bundle")
    await until(
        lambda: cluster.endpoints == [("127.0.0.1", cluster.pods[0].replica.port)],
        what="no endpoint but the new pod's",
    )

    assert await cluster.served() == [OLD_NODE]
    await cluster.shell(commands("Back to metrics-server")[4])
    assert cluster.client_failures == []
    assert cluster.answers > 10
    assert cluster.tops > 1
    for path in (
        "/api/v1/namespaces/kube-system/secrets/metrics-server-ca",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/metrics-server:ca-bundle",
    ):
        assert await cluster.get(path) is None


@pytest.mark.parametrize("install", [by_components, by_helm])
async def test_the_way_back_without_its_first_step_is_refused_and_mended(cluster, install):
    forward, back = await install(cluster)
    await served_by_metrics_server(cluster)
    await cluster.shell(forward)
    await taken_over(cluster)
    printed, command = commands("Back to metrics-server")[5:]
    assert printed in await cluster.refused(back)
    await until(lambda: len(cluster.pods) == 1, seconds=60, what="the rollout")
    assert (await cluster.trust())[1]
    await until(lambda: is_served(cluster, []), seconds=30, what="the end of our pod")
    await cluster.shell(commands("Back to metrics-server")[0])
    if install is by_helm:
        back = command.replace("REVISION", "1")
    await cluster.shell(back)
    await served_by_metrics_server(cluster)


async def test_an_image_that_cannot_be_pulled_changes_nothing(cluster):
    await by_components(cluster)
    await served_by_metrics_server(cluster)
    cluster.begin_asking()
    await cluster.shell(
        "sed 's/image: metricsapi:.*/image: metricsapi:missing/' "
        "dist/manifests/default/components.yaml | kubectl apply -f -"
    )
    await until(lambda: len(cluster.pods) == 2, seconds=10, what="the new pod")
    before = cluster.answers
    await until(lambda: cluster.answers > before + 20, seconds=30, what="requests")
    assert cluster.client_failures == []
    assert await cluster.served() == [OLD_NODE]
    assert await cluster.trust() == (True, "")


async def test_a_release_takes_what_kubectl_applied(cluster):
    pytest.importorskip("helm_python", reason="the Helm engine has no build for this platform")
    forward, _ = await by_components(cluster)
    await served_by_metrics_server(cluster)
    cluster.begin_asking()
    await cluster.shell(forward)
    await taken_over(cluster)
    await cluster.shell(commands("Installed with Helm")[1])
    await cluster.shell("kubectl -n kube-system rollout status deployment/metrics-server")
    assert (await cluster.trust())[1]
    assert cluster.client_failures == []
