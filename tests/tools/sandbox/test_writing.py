"""What may be written to the stand-in API server, and what is refused as the real one does."""

import pytest

from tests.tools.sandbox.apiservers import V1BETA1, api_service, node

MERGE = {"Content-Type": "application/merge-patch+json"}
APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
MAPS = "/api/v1/namespaces/ns/configmaps"


def config(**data):
    return {"metadata": {"name": "c"}, "data": data}


async def test_create_read_replace_patch_delete(http):
    made = (await http.post(MAPS, json=config(a="1"))).json()
    assert made["metadata"].keys() >= {"uid", "creationTimestamp", "resourceVersion"}
    assert (await http.get(f"{MAPS}/c")).json() == made
    replaced = (await http.put(f"{MAPS}/c", json=config(b="2"))).json()
    assert (replaced["data"], replaced["metadata"]["uid"]) == ({"b": "2"}, made["metadata"]["uid"])
    change = {"data": {"b": None, "c": "3"}}
    assert (await http.patch(f"{MAPS}/c", json=change, headers=MERGE)).json()["data"] == {"c": "3"}
    steps = [{"op": "add", "path": "/data/x~1y", "value": "4"}, {"op": "remove", "path": "/data/c"}]
    headers = {"Content-Type": "application/json-patch+json"}
    patched = await http.patch(f"{MAPS}/c", json=steps, headers=headers)
    assert patched.json()["data"] == {"x/y": "4"}
    assert (await http.delete(f"{MAPS}/c")).status_code == 200
    gone = await http.get(f"{MAPS}/c")
    assert (gone.status_code, gone.json()["message"]) == (404, 'configmaps "c" not found')


async def test_a_version_that_is_not_the_current_one_is_a_conflict(http):
    old = (await http.post(MAPS, json=config())).json()
    assert (await http.put(f"{MAPS}/c", json={**old, "data": {"a": "1"}})).status_code == 200
    stale = await http.put(f"{MAPS}/c", json={**old, "data": {"a": "2"}})
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert "please apply your changes to the latest version" in stale.json()["message"]
    change = {"metadata": {"resourceVersion": "1"}, "data": {"a": "3"}}
    assert (await http.patch(f"{MAPS}/c", json=change, headers=MERGE)).status_code == 409
    again = await http.post(MAPS, json=config())
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    assert (await http.get(f"{MAPS}/c")).json()["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"caBundle": "Zm9v", "insecureSkipTLSVerify": True},
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is",
        ),
        ({"versionPriority": 0}, "spec.versionPriority: Invalid value: 0: must be positive"),
        ({"groupPriorityMinimum": 20001}, "spec.groupPriorityMinimum: Invalid value: 20001"),
        ({"version": "v2"}, 'metadata.name: Invalid value: "v1beta1.metrics.k8s.io": must be'),
        ({"service": {"name": "x"}}, "spec.service.namespace: Required value"),
        ({"service": None, "caBundle": "Zm9v"}, "local APIServices may not have a caBundle"),
    ],
)
async def test_an_apiservice_is_validated_as_the_aggregator_does(api, http, change, problem):
    item = api_service()
    item["spec"] |= change
    refused = await http.post(APISERVICES, json=item)
    assert (refused.status_code, refused.json()["reason"]) == (422, "Invalid")
    start = f'APIService.apiregistration.k8s.io "{V1BETA1}" is invalid: '
    assert refused.json()["message"].startswith(start)
    assert problem in refused.json()["message"]
    assert refused.json()["details"]["causes"]
    assert api.cluster.get("apiservices", V1BETA1) is None


async def test_going_back_to_skipping_verification_beside_a_bundle_is_refused(http):
    made = await http.post(APISERVICES, json=api_service(caBundle="Zm9v"))
    assert made.status_code == 201
    change = {"spec": {"insecureSkipTLSVerify": True}}
    path = f"{APISERVICES}/{V1BETA1}"
    assert (await http.patch(path, json=change, headers=MERGE)).status_code == 422
    change["spec"]["caBundle"] = None
    assert (await http.patch(path, json=change, headers=MERGE)).status_code == 200


async def test_status_is_written_through_its_own_path_alone(api, http):
    api.cluster.apply("nodes", {**node("n"), "status": {"phase": "x"}})
    change = {"status": {"phase": "y"}, "metadata": {"labels": {"a": "b"}}}
    path = "/api/v1/nodes/n"
    plain = (await http.patch(path, json=change, headers=MERGE)).json()
    assert (plain["status"], plain["metadata"]["labels"]) == ({"phase": "x"}, {"a": "b"})
    change["metadata"]["labels"] = {"c": "d"}
    reported = (await http.patch(f"{path}/status", json=change, headers=MERGE)).json()
    assert (reported["status"], reported["metadata"]["labels"]) == ({"phase": "y"}, {"a": "b"})


@pytest.mark.parametrize(
    ("method", "path", "sent", "code"),
    [
        ("POST", MAPS, {"content": b"{"}, 400),
        ("POST", MAPS, {"content": b"[]"}, 400),
        ("POST", MAPS, {"json": {"metadata": {}}}, 422),
        ("PUT", f"{MAPS}/absent", {"json": config()}, 404),
        ("PUT", "/api/v1/nodes/n", {"json": node("other")}, 400),
        ("PATCH", "/api/v1/nodes/n", {"json": {}}, 415),
        ("DELETE", "/api/v1/nodes", {}, 405),
        ("GET", "/api/v1/gizmos", {}, 404),
        ("GET", "/apis/gizmos.example/v1", {}, 404),
    ],
)
async def test_bad_requests_are_refused_with_a_status(api, http, method, path, sent, code):
    api.cluster.apply("nodes", node("n"))
    before = api.cluster.version
    answer = await http.request(method, path, **sent)
    assert (answer.status_code, answer.json()["code"]) == (code, code)
    assert api.cluster.version == before
