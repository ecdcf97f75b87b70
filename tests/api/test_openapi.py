"""The OpenAPI documents: two versions that agree, and schemas that what is served fits."""

from __future__ import annotations

import json

import jsonschema
import pytest
from fastapi.openapi.models import OpenAPI
from hypothesis import given
from hypothesis import strategies as st

from metricsapi import __version__
from metricsapi.api.openapi import http_date, read_documents
from tests.api.cluster import recorded

V2, V3 = read_documents(__version__)
ROOT = "/apis/metrics.k8s.io"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


@pytest.fixture(scope="module")
def cluster():
    return recorded()


def references(value):
    """Every schema that something refers to."""
    if isinstance(value, list):
        return {name for each in value for name in references(each)}
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*(references(each) for each in value.values()))


def as_v2(schema):
    """Write a v3 schema as v2 has it: references without siblings, and no defaults."""
    if not isinstance(schema, dict):
        return schema
    if "allOf" in schema:
        (reference,) = schema["allOf"]
        described = {key: schema[key] for key in ("description",) if key in schema}
        return {**described, "$ref": f"#/definitions/{reference['$ref'].rpartition('/')[2]}"}
    return {key: as_v2(value) for key, value in schema.items() if key != "default"}


@pytest.mark.parametrize("name", V3)
def test_a_v3_document_is_valid_and_complete(name):
    document = V3[name]
    OpenAPI.model_validate(document)
    assert document["info"]["version"] == f"v{__version__}"
    assert references(document) == document["components"]["schemas"].keys()


def test_the_v2_document_is_complete():
    assert V2["swagger"] == "2.0"
    assert references(V2) <= V2["definitions"].keys()


def test_both_versions_have_the_same_schemas():
    schemas = {}
    for document in V3.values():
        for name, schema in document["components"]["schemas"].items():
            assert schemas.setdefault(name, schema) == schema, name
    expected = {name: as_v2(schema) for name, schema in schemas.items()}
    # v2 knows no alternatives of types.
    del expected[QUANTITY]["oneOf"]
    expected[QUANTITY]["type"] = "string"
    assert V2["definitions"] == expected


def test_both_versions_have_the_same_operations():
    paths = {path: item for document in V3.values() for path, item in document["paths"].items()}
    assert paths.keys() == V2["paths"].keys()
    for path, item in paths.items():
        old, new = V2["paths"][path], item
        for key in ("tags", "operationId", "x-kubernetes-action"):
            assert old["get"].get(key) == new["get"].get(key), path
        assert set(old["get"]["produces"]) == new["get"]["responses"]["200"]["content"].keys()
        kinds = {each["name"]: (each["in"], each["type"]) for each in old.get("parameters", ())}
        assert kinds == {
            each["name"]: (each["in"], each["schema"]["type"]) for each in new.get("parameters", ())
        }


@pytest.mark.parametrize(
    ("document", "path", "served"),
    [
        ("apis", "/apis/", "/apis"),
        ("apis/metrics.k8s.io", f"{ROOT}/", ROOT),
        ("version", "/version/", "/version"),
        *(
            (f"apis/metrics.k8s.io/{version}", f"{ROOT}/{version}/{path}", f"{ROOT}/{version}{url}")
            for version in ("v1", "v1beta1")
            for path, url in [
                ("", ""),
                ("nodes", "/nodes"),
                ("nodes/{name}", "/nodes/node-7"),
                ("pods", "/pods?limit=3"),
                ("namespaces/{namespace}/pods", "/namespaces/ns-3/pods"),
                ("namespaces/{namespace}/pods/{name}", "/namespaces/ns-3/pods/app-7-3"),
            ]
        ),
    ],
)
def test_what_is_served_fits_its_schema_and_has_no_other_fields(cluster, document, path, served):
    content = V3[document]["paths"][path]["get"]["responses"]["200"]["content"]
    answer = json.loads(cluster.get(served).body)
    schemas = json.loads(json.dumps(V3[document]["components"]["schemas"]))
    for schema in schemas.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    wanted = {**content["application/json"]["schema"], "components": {"schemas": schemas}}
    jsonschema.validate(answer, wanted)


def test_every_path_of_the_document_is_served(cluster):
    for path in V2["paths"]:
        url = path.format(namespace="ns-3", name="node-7").rstrip("/")
        url = url.replace("pods/node-7", "pods/app-7-3")
        assert cluster.get(url).status == 200, path


DATES = st.one_of(
    st.text(max_size=60),
    st.from_regex(
        r"(Mon, )?[0-9]{1,3} (Jan|Feb|Foo) [0-9]{1,25} [0-9]{1,3}:[0-9]{2}:[0-9]{1,12}"
        r"( GMT| -0000| \+[0-9]{4,20}| Q|)",
        fullmatch=True,
    ),
)


@given(DATES)
def test_any_date_is_a_number_or_nothing(text):
    assert isinstance(http_date(text), float | None)


@pytest.mark.parametrize("year", ["0001", "9999", "100000000000000000000", "9" * 5000])
def test_dates_that_nothing_can_count_are_ignored(cluster, year):
    date = f"Fri, 27 Nov {year} 04:00:00 GMT"
    assert cluster.get("/openapi/v2", if_modified_since=date).status in (200, 304)


def test_a_document_that_did_not_change_since_a_date_is_not_sent(cluster):
    answer = cluster.get("/openapi/v2")
    known = {"if_modified_since": answer.headers["last-modified"]}
    assert cluster.get("/openapi/v2", **known).status == 304
    assert cluster.get("/openapi/v2", if_none_match='"other"', **known).status == 200
