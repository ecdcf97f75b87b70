"""The official Python client reads the same numbers."""

import pytest

from tests.e2e.conftest import lasting

client = pytest.importorskip("kubernetes.client")
config = pytest.importorskip("kubernetes.config")


@pytest.fixture
def api(kubeconfig):
    with config.new_client_from_config(kubeconfig) as connection:
        yield client.CustomObjectsApi(connection)


def test_custom_objects_lists_nodes_and_pods(api):
    nodes = api.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "nodes")
    assert nodes["items"]
    assert all(item["usage"]["cpu"] for item in nodes["items"])
    pods = api.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "pods")
    at = lasting(pods["items"])
    each = api.get_namespaced_custom_object(
        "metrics.k8s.io", "v1beta1", at["namespace"], "pods", at["name"]
    )
    assert each["metadata"]["name"] == at["name"]


def test_an_absent_pod_raises_not_found(api):
    with pytest.raises(client.ApiException) as caught:
        api.get_namespaced_custom_object("metrics.k8s.io", "v1beta1", "default", "pods", "absent")
    assert caught.value.status == 404
