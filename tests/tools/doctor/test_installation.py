"""The doctor before an installation: whether the cluster is fit, and what is there already."""

import asyncio
import json

import pytest

from tests.tools.doctor.listeners import SUMMARY, http, listening, serving
from tests.tools.doctor.test_cluster import (
    APISERVICE,
    CA,
    CONFIGMAP,
    HEALTHY,
    SERVICE,
    SLICES,
    ApiServer,
    api_service,
    run,
)

SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ACCESS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
PODS = "/api/v1/namespaces/kube-system/pods"
TOKEN = "/api/v1/namespaces/kube-system/serviceaccounts/{}/token"
ADMIN = {"status": {"userInfo": {"username": "kubernetes-admin"}}}
NOTHING = {APISERVICE: 404, SERVICE: 404, SLICES: 404, SELF: ADMIN}


def service(**more):
    return {"spec": {"ports": [{"port": 443}], "selector": {"k8s-app": "metrics-server"}} | more}


def pods(image, account="metrics-server"):
    spec = {"containers": [{"image": image}], "serviceAccountName": account}
    return {"items": [{"spec": spec}]}


async def examined(tmp_path, answers, *flags, denied=()):
    """Run the command; return exit status and results by check."""
    server = ApiServer(tmp_path, answers=answers, denied=denied)
    async with listening(server, serving(CA, "127.0.0.1")) as port:
        args = (f"--kubeconfig={server.kubeconfig(port)}", "--output=json", *flags)
        status, text = await asyncio.to_thread(run, *args)
    results = {}
    for result in json.loads(text)["results"]:
        results.setdefault(result["check"], []).append(result)
    return status, results, server


async def test_an_empty_cluster_is_fit_and_nothing_missing_is_a_failure(tmp_path):
    status, results, server = await examined(tmp_path, NOTHING)
    assert status == 0
    assert results["fitness"][0]["status"] == "ok"
    assert "nothing yet" in results["installation"][0]["evidence"]
    assert "does not exist yet" in results["APIService"][0]["evidence"]
    assert results["install"][0]["status"] == "ok"
    assert {each["verb"] for each in server.asked} == {"create"}
    assert {"clusterroles", "apiservices"} <= {each["resource"] for each in server.asked}


@pytest.mark.parametrize(
    ("answers", "failed"),
    [
        ({CONFIGMAP: 404}, "authentication ConfigMap"),
        ({CONFIGMAP: {"data": {}}}, "authentication ConfigMap"),
    ],
)
async def test_without_an_aggregation_layer_a_cluster_is_not_fit(tmp_path, answers, failed):
    status, results, _ = await examined(tmp_path, NOTHING | answers)
    assert status == 1
    assert results["fitness"][0]["evidence"] == f"not yet: {failed} failed"
    assert "--requestheader-client-ca-file" in results[failed][0]["fix"]


async def test_missing_permissions_to_install_are_reported(tmp_path):
    status, results, _ = await examined(tmp_path, NOTHING, denied=["create clusterroles"])
    assert status == 0
    assert results["install"][0]["evidence"] == "you may not create clusterroles"


async def test_metrics_server_in_our_place_is_named_with_the_way_to_migrate(tmp_path):
    image = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
    status, results, _ = await examined(
        tmp_path, {SELF: ADMIN, SERVICE: service(), PODS: pods(image)}
    )
    assert status == 0
    assert image in results["installation"][0]["evidence"]
    assert "docs/migration.md" in results["installation"][0]["evidence"]
    assert "fitness" in results
    assert "caBundle" not in results  # that is about ours


async def test_an_api_service_of_someone_else_is_a_warning_before_and_a_failure_after(tmp_path):
    other = {APISERVICE: api_service(service={"name": "adapter", "namespace": "monitoring"})}
    status, results, _ = await examined(tmp_path, NOTHING | other)
    assert status == 0
    assert results["APIService"][0]["status"] == "warn"
    assert "belongs to monitoring/adapter" in results["APIService"][0]["evidence"]
    status, results, _ = await examined(tmp_path, other | {SELF: ADMIN})
    assert status == 1
    assert results["APIService"][0]["status"] == "fail"
    assert "fitness" not in results


async def test_an_api_service_without_its_service_is_a_half_installation(tmp_path):
    """It blocks the deletion of namespaces, so it is no mere "not yet"."""
    status, results, _ = await examined(tmp_path, {SERVICE: 404, SELF: ADMIN})
    assert status == 1
    assert results["Service"][0]["status"] == "fail"


async def test_an_administrator_asks_for_the_servers_account_not_for_himself(tmp_path):
    asked = []

    class Server(ApiServer):
        def __call__(self, request):
            if request.path == ACCESS:
                spec = json.loads(request.body)["spec"]
                asked.append(spec)
                allowed = spec["resourceAttributes"]["resource"] != "pods"
                return http(200, json.dumps({"status": {"allowed": allowed}}))
            return super().__call__(request)

    answers = {SELF: ADMIN, SERVICE: service(), PODS: pods("example/metricsapi:0.2", "mine")}
    server = Server(tmp_path, answers=answers)
    async with listening(server, serving(CA, "127.0.0.1")) as port:
        args = (f"--kubeconfig={server.kubeconfig(port)}", "--output=json")
        status, text = await asyncio.to_thread(run, *args)
    assert status == 1
    assert {spec["user"] for spec in asked} == {"system:serviceaccount:kube-system:mine"}
    assert "system:serviceaccounts:kube-system" in asked[0]["groups"]
    failed = [each for each in json.loads(text)["results"] if each["status"] == "fail"]
    assert [each["evidence"] for each in failed] == [
        f"no {verb} pods" for verb in ("list", "watch")
    ]
    assert "grant this to service account kube-system/mine" in failed[0]["fix"]


@pytest.mark.parametrize("service_answer", [403, service()])
async def test_the_server_itself_asks_for_itself_whatever_its_account_is_called(
    tmp_path, service_answer
):
    """As in a pod of the chart with serviceAccount.name, which may not look at Services."""
    user = {"status": {"userInfo": {"username": "system:serviceaccount:kube-system:custom"}}}
    answers = {SELF: user, SERVICE: service_answer, PODS: 403}
    status, results, server = await examined(tmp_path, answers)
    assert status == 0, results
    assert {each["status"] for each in results["permission"]} == {"ok"}
    assert server.asked


@pytest.mark.parametrize("path", sorted({*HEALTHY, SELF, PODS} - {"/version"}))
@pytest.mark.parametrize("shape", [[], None, {"items": 3, "spec": 3, "status": []}])
async def test_answers_of_another_shape_are_findings_not_tracebacks(tmp_path, path, shape):
    answers = {SERVICE: service(), path: shape}
    server = ApiServer(tmp_path, answers=answers)
    async with listening(server, serving(CA, "127.0.0.1")) as port:
        status, text = await asyncio.to_thread(run, f"--kubeconfig={server.kubeconfig(port)}")
    assert status in (0, 1)
    assert "checks: " in text


@pytest.mark.parametrize(
    ("code", "body", "status"),
    [
        (401, "Unauthorized", "fail"),
        (403, "Forbidden (user=system:anonymous, verb=get, resource=nodes)", "fail"),
        (403, "Forbidden (user=system:serviceaccount:kube-system:default, ...)", "ok"),
        (200, "ok", "ok"),
        (404, "404 page not found", "ok"),
    ],
)
async def test_whether_kubelets_take_tokens_is_tried_with_one_of_a_service_account(
    tmp_path, code, body, status
):
    """An administrator's client certificate says nothing of the server's own token."""
    tokens = []

    def kubelet(request):
        if request.path == "/healthz":
            tokens.append(request.headers["authorization"])
            return http(code, body)
        return http(200, SUMMARY)

    node = {
        "metadata": {"name": "node-a"},
        "status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
    }
    nodes = {"kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": [node]}
    token = {"status": {"token": "minted"}}
    answers = NOTHING | {"/api/v1/nodes": nodes, TOKEN.format("default"): token}
    async with listening(kubelet, serving(CA, "127.0.0.1")) as port:
        ended, results, _ = await examined(tmp_path, answers, f"--kubelet-port={port}")
    assert tokens == ["Bearer minted"]
    (result,) = results["token authentication"]
    assert result["status"] == status
    assert (results["fitness"][0]["status"], ended) == (
        ("ok", 0) if status == "ok" else ("fail", 1)
    )
    if status == "fail":
        assert "authentication.webhook.enabled: true" in result["fix"]


async def test_without_a_flag_the_kubeconfigs_of_the_environment_are_taken(tmp_path, monkeypatch):
    server = ApiServer(tmp_path)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with listening(server, serving(CA, "127.0.0.1")) as port:
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/nowhere:{server.kubeconfig(port)}")
        status, text = await asyncio.to_thread(run)
        assert status == 0, text
        home = tmp_path / "home" / ".kube"
        home.mkdir(parents=True)
        (home / "config").write_text((tmp_path / "kubeconfig").read_text())
        monkeypatch.delenv("KUBECONFIG")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert (await asyncio.to_thread(run))[0] == 0
    monkeypatch.setenv("HOME", str(tmp_path))
    status, text = await asyncio.to_thread(run)
    assert status == 1
    assert "FAIL  credentials: " in text
    assert f"{tmp_path}/.kube/config" in text
