"""The chart follows what is in the cluster, so that no upgrade makes the API unavailable."""

import asyncio
import base64

import pytest

from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.state import Cluster
from tests.install.charts import CHART, helm
from tests.install.objects import parse

BUNDLE = base64.b64encode(b"PEM").decode()


@pytest.fixture
async def rendered_in(tmp_path):
    """Render an upgrade in a cluster that has these objects: (plural, object)."""
    cluster = Cluster()
    api = ApiServer(cluster)
    await api.start()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(api.kubeconfig("admin", ("system:masters",)))

    def render(values):
        configuration = helm.Config(
            kubeconfig_path=str(kubeconfig), namespace="kube-system", storage_driver="memory"
        )
        with configuration as config, helm.Chart.load(CHART) as chart:
            files = config.render(chart, values, name="ms", namespace="kube-system")
        texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
        return parse("\n---\n".join(texts))

    async def run(values, *objects):
        for plural, thing in objects:
            cluster.apply(plural, thing)
        return await asyncio.to_thread(render, values)

    yield run
    await api.stop()


def api_service(**spec):
    metadata = {"name": "v1beta1.metrics.k8s.io"}
    service = {"name": "metrics-server", "namespace": "kube-system"}
    base = {"group": "metrics.k8s.io", "version": "v1beta1", "service": service}
    base |= {"groupPriorityMinimum": 100, "versionPriority": 100}
    return "apiservices", {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": metadata,
        "spec": base | spec,
    }


def secret(name, **data):
    metadata = {"name": name, "namespace": "kube-system"}
    return "secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def trust(objects):
    """What the rendered APIService says about verification."""
    spec = objects["APIService", "", "v1beta1.metrics.k8s.io"]["spec"]
    return {key: spec[key] for key in ("insecureSkipTLSVerify", "caBundle") if key in spec}


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        ((), {}),
        # metrics-server's: the server ends it, once it is ready.
        ((api_service(insecureSkipTLSVerify=True),), {"insecureSkipTLSVerify": True}),
        # Ours, after the server wrote its bundle: nothing to say about it.
        ((api_service(caBundle=BUNDLE),), {}),
    ],
    ids=["nothing", "unverified", "verified"],
)
async def test_an_unverified_apiservice_stays_so_until_the_server_ends_it(
    rendered_in, live, expected
):
    assert trust(await rendered_in({}, *live)) == expected


async def test_a_bundle_that_is_there_makes_room_for_an_unverified_connection(rendered_in):
    values = {"apiService": {"insecureSkipTLSVerify": True}}
    objects = await rendered_in(values, api_service(caBundle=BUNDLE))
    assert trust(objects) == {"insecureSkipTLSVerify": True, "caBundle": ""}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"tls.crt": "bGVhZg==", "ca.crt": "Y2E="}, "Y2E="),
        ({"tls.crt": "bGVhZg=="}, "bGVhZg=="),
        ({"tls.crt": "bGVhZg==", "ca.crt": ""}, "bGVhZg=="),
    ],
    ids=["its issuer", "itself", "an empty issuer"],
)
async def test_the_bundle_of_a_secret_is_its_issuer_or_itself(rendered_in, data, expected):
    values = {"tls": {"type": "existingSecret", "existingSecret": {"name": "mine"}}}
    assert trust(await rendered_in(values, secret("mine", **data))) == {"caBundle": expected}


async def test_without_lookup_no_secret_is_read(rendered_in):
    values = {"tls": {"type": "existingSecret", "existingSecret": {"name": "x", "lookup": False}}}
    assert trust(await rendered_in(values, secret("x", **{"tls.crt": "bGVhZg=="}))) == {}
