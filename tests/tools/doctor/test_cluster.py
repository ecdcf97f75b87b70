"""The doctor at the API server: permissions, ConfigMap, APIService, Service, endpoints."""

import asyncio
import base64
import json
import re
import time
from unittest import mock

import pytest
import yaml

from metricsapi.config.flags import with_values
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.lease import ADDRESS_ANNOTATION, micro_time
from metricsapi.tools.doctor.cluster import check_cluster
from metricsapi.tools.doctor.main import main
from tests.support.pki import DAY, Authority
from tests.tools.doctor.listeners import http, listening, serving

CA = Authority("cluster-ca")
APISERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
CONFIGMAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
SERVICE = "/api/v1/namespaces/kube-system/services/metrics-server"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def api_service(**more):
    spec = {
        "service": {"name": "metrics-server", "namespace": "kube-system"},
        "caBundle": base64.b64encode(CA.pem).decode(),
    }
    conditions = [{"type": "Available", "status": "True", "reason": "Passed"}]
    return {"spec": spec | more, "status": {"conditions": conditions}}


def slices(*ready):
    endpoints = [
        {"addresses": [f"10.0.0.{number}"], "conditions": {"ready": value}}
        for number, value in enumerate(ready)
    ]
    return {"items": [{"endpoints": endpoints}]}


def configmap(**more):
    data = {
        "requestheader-client-ca-file": CA.text,
        "client-ca-file": CA.text,
        "requestheader-allowed-names": '["front-proxy-client"]',
    }
    return {"data": data | more}


HEALTHY = {
    "/version": {"gitVersion": "v1.36.0"},
    CONFIGMAP: configmap(),
    APISERVICE: api_service(),
    SERVICE: {"spec": {"ports": [{"port": 443, "targetPort": "https"}]}},
    SLICES: slices(True, True),
    "/api/v1/nodes": {"kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": []},
}


class ApiServer:
    """Answers from a table; a number in it is an HTTP status."""

    def __init__(self, directory, denied=(), **changes):
        self.directory = directory
        self.answers = HEALTHY | changes.pop("answers", {})
        self.denied = denied
        self.asked = []

    def __call__(self, request):
        path = request.path
        if path == REVIEWS and REVIEWS not in self.answers:
            attributes = json.loads(request.body)["spec"]["resourceAttributes"]
            sub = f"/{attributes['subresource']}" if "subresource" in attributes else ""
            words = f"{attributes['verb']} {attributes['resource']}{sub}"
            self.asked.append(attributes)
            given = {"status": {"allowed": words not in self.denied, "reason": "no rule"}}
        else:
            given = self.answers.get(path, 404)
        if isinstance(given, int):
            body = {"kind": "Status", "message": f"status {given}", "reason": "X", "code": given}
            return http(given, json.dumps(body))
        return http(200, json.dumps(given))

    def kubeconfig(self, port, authority=CA):
        pem = base64.b64encode(authority.pem).decode()
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": pem}
        path = self.directory / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "current-context": "x",
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                }
            )
        )
        return str(path)

    async def examine(self, flags=()):
        async with listening(self, serving(CA, "127.0.0.1")) as port:
            credentials = load_credentials(self.kubeconfig(port))
            async with KubeClient(credentials) as client:
                results, _ = await check_cluster(client, with_values(Settings, dict(flags)))
                return results


def statuses(results):
    return {(each.check, str(each.status)) for each in results if each.status != "ok"}


async def test_all_is_well(tmp_path):
    results = await ApiServer(tmp_path).examine()
    assert statuses(results) == {("APIService", "skip")}  # v1, which is optional
    assert "v1.36.0" in results[0].evidence
    assert results[-1].evidence == "2 ready: 10.0.0.0, 10.0.0.1"


@pytest.mark.parametrize(
    ("flags", "missing", "status"),
    [
        ({}, "list nodes", "fail"),
        ({}, "watch pods", "fail"),
        ({}, "get nodes/stats", "fail"),
        ({}, "get nodes/metrics", "warn"),
        ({"kubelet-endpoint": "resource"}, "get nodes/metrics", "fail"),
        ({}, "create tokenreviews", "fail"),
        ({}, "create subjectaccessreviews", "fail"),
        ({"kubelet-transport": "apiserver-proxy"}, "get nodes/proxy", "fail"),
        ({"manage-ca-bundle": True}, "update secrets", "fail"),
        ({"manage-ca-bundle": True}, "update apiservices", "fail"),
        ({"leader-elect": True}, "update leases", "fail"),
    ],
)
async def test_each_missing_permission_is_named(tmp_path, flags, missing, status):
    results = await ApiServer(tmp_path, denied=[missing]).examine(flags)
    bad = [each for each in results if each.check == "permission" and each.status != "ok"]
    assert [str(each.status) for each in bad] == [status]
    assert re.fullmatch(rf"no {missing}( [\w.-]+)?: no rule", bad[0].evidence)
    assert "manifests/" in bad[0].fix


async def test_named_permissions_are_asked_for_those_names(tmp_path):
    server = ApiServer(tmp_path)
    await server.examine({"manage-ca-bundle": True})
    secrets = [each for each in server.asked if each["resource"] == "secrets"]
    assert {each["name"] for each in secrets} == {"metrics-server-ca"}
    assert {each["namespace"] for each in secrets} == {"kube-system"}


@pytest.mark.parametrize(
    ("answers", "check", "status", "evidence"),
    [
        ({REVIEWS: 403}, "permission", "skip", "list nodes: cannot be asked: 403"),
        ({CONFIGMAP: 404}, "authentication ConfigMap", "fail", "404"),
        ({CONFIGMAP: 403}, "authentication ConfigMap", "skip", "not permitted"),
        ({CONFIGMAP: {"data": {}}}, "authentication ConfigMap", "fail", "no requestheader-client"),
        (
            {CONFIGMAP: configmap(**{"client-ca-file": "garbage"})},
            "authentication ConfigMap",
            "fail",
            "client-ca-file: ",
        ),
        ({APISERVICE: 404}, "APIService", "fail", "does not exist"),
        ({APISERVICE: 403}, "APIService", "skip", "not permitted"),
        (
            {APISERVICE: api_service(service={"name": "other", "namespace": "monitoring"})},
            "APIService",
            "fail",
            "belongs to monitoring/other",
        ),
        ({APISERVICE: {"spec": api_service()["spec"]}}, "APIService", "fail", "not available"),
        ({APISERVICE: api_service(caBundle="")}, "caBundle", "fail", "empty"),
        ({APISERVICE: api_service(caBundle="%%")}, "caBundle", "fail", ""),
        (
            {APISERVICE: api_service(caBundle=None, insecureSkipTLSVerify=True)},
            "caBundle",
            "warn",
            "nobody verifies us",
        ),
        ({SERVICE: 404}, "Service", "fail", "does not exist"),
        ({SLICES: slices(False)}, "endpoints", "fail", "not ready: 10.0.0.0"),
        ({SLICES: slices()}, "endpoints", "fail", "none"),
        ({SLICES: 404}, "endpoints", "skip", "404"),
        ({"/version": {"gitVersion": "v1.26.15+k3s1"}}, "API server", "warn", "v1.26.15"),
        ({"/version": {"gitVersion": "v2.0.0"}}, "API server", "ok", "v2.0.0"),
        ({"/version": {"gitVersion": 7}}, "API server", "ok", "7 at"),
        ({"/version": 403}, "API server", "warn", "403"),
        ({"/version": 401}, "API server", "fail", "401"),
    ],
)
async def test_findings(tmp_path, answers, check, status, evidence):
    results = await ApiServer(tmp_path, answers=answers).examine()
    result = next(each for each in results if each.check == check)
    assert result.status == status
    assert evidence in result.evidence
    assert result.fix or result.status in ("ok", "skip")


async def test_without_the_api_server_the_rest_is_skipped(tmp_path):
    credentials = load_credentials(ApiServer(tmp_path).kubeconfig(1))
    async with KubeClient(credentials) as client:
        (first, *rest), _ = await check_cluster(client, Settings())
    assert (first.check, str(first.status)) == ("API server", "fail")
    assert {str(each.status) for each in rest} == {"skip"}


def run(*args):
    """Run the command in a thread-less way; returns exit status and what it printed."""
    lines = []
    with mock.patch("builtins.print", lambda *texts, **_: lines.append(" ".join(texts))):
        return main(args), "\n".join(lines)


async def test_the_exit_status_is_that_of_the_checks_and_json_reads_back(tmp_path):
    server = ApiServer(tmp_path)
    async with listening(server, serving(CA, "127.0.0.1")) as port:
        args = (f"--kubeconfig={server.kubeconfig(port)}", "--output=json")
        status, text = await asyncio.to_thread(run, *args)
        assert status == 0
        result = json.loads(text)
        assert result["summary"]["fail"] == 0
        assert result["results"][0]["check"] == "API server"
        server.answers[SLICES] = slices()
        status, text = await asyncio.to_thread(run, args[0])
        assert status == 1
        assert "FAIL  endpoints: none\n      -> Is the Deployment scaled to 0" in text


async def test_what_the_server_would_warn_of_at_its_start_is_found(tmp_path):
    expired = Authority().issue("server", start=-2 * DAY, end=-DAY)
    (tmp_path / "tls.crt").write_bytes(expired.pem)
    (tmp_path / "tls.key").write_bytes(expired.key)
    server = ApiServer(tmp_path)
    async with listening(server, serving(CA, "127.0.0.1")) as port:
        args = (
            f"--kubeconfig={server.kubeconfig(port)}",
            f"--tls-sni-cert-key={tmp_path}/tls.crt,{tmp_path}/tls.key",
        )
        status, text = await asyncio.to_thread(run, *args)
    assert status == 0
    assert "WARN  flags: --tls-sni-cert-key: the certificate in" in text
    assert "expired on" in text


def test_bad_usage_has_an_exit_status_of_its_own():
    status, text = run("--outptu=json", "--concurrency=0")
    assert status == 2
    assert "unknown flag: --outptu (did you mean --output?)" in text
    assert "--concurrency must be 1 or more" in text


LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/metrics-server"


def lease(*, renewed=0.0, address="10.0.0.1:10250", **spec):
    metadata = {"annotations": {ADDRESS_ANNOTATION: address}} if address else {}
    times = {"renewTime": micro_time(time.time() - renewed)}
    return {"metadata": metadata, "spec": {"holderIdentity": "pod-1_ab", **times, **spec}}


@pytest.mark.parametrize(
    ("answer", "status", "evidence"),
    [
        ({}, "ok", "pod-1_ab at 10.0.0.1:10250 holds the Lease kube-system/metrics-server"),
        ({"renewed": 3600.0}, "warn", "renewed 36[0-9][0-9]s ago; it lasts 15s"),
        ({"renewed": -3600.0}, "ok", "renewed 0s ago"),  # this machine's clock is behind
        ({"renewTime": "garbage"}, "warn", "at no time that can be read"),
        ({"renewTime": [5]}, "warn", "at no time that can be read"),
        ({"renewTime": "2026-01-01T00:00:00"}, "warn", "at no time that can be read"),
        ({"renewTime": "9999-12-31T23:59:59.999999Z"}, "warn", "renewed [0-9]+ days in the future"),
        ({"address": ""}, "warn", "at no address"),
        ({"address": "metrics-server:443"}, "warn", "at metrics-server:443"),
        ({"holderIdentity": ""}, "warn", "nobody holds the Lease"),
        ({"holderIdentity": None}, "warn", "nobody holds the Lease"),
        (404, "warn", "does not exist"),
        (403, "skip", "not permitted"),
    ],
)
async def test_the_lease_says_who_leads(tmp_path, answer, status, evidence):
    answers = {LEASE: lease(**answer) if isinstance(answer, dict) else answer}
    results = await ApiServer(tmp_path, answers=answers).examine({"leader-elect": True})
    (leader,) = [each for each in results if each.check == "leader"]
    assert str(leader.status) == status
    assert re.search(evidence, leader.evidence)


async def test_without_leader_election_no_lease_is_looked_at(tmp_path):
    results = await ApiServer(tmp_path).examine()
    assert "leader" not in {each.check for each in results}
