"""Any query string and any headers: an answer that says what is wrong, never a fault of ours."""

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricsapi.api.asgi import LONGEST_ACCEPT
from tests.api.cluster import recorded

CLUSTER = recorded()
ROOT = "/apis/metrics.k8s.io/v1beta1"
PATHS = st.sampled_from([
    f"{ROOT}/nodes", f"{ROOT}/nodes/node-1", f"{ROOT}/pods", f"{ROOT}/namespaces/ns-3/pods",
    f"{ROOT}/namespaces/ns-3/pods/app-7-3", ROOT, "/apis/metrics.k8s.io", "/apis", "/version", "/",
    "/openapi/v2", "/openapi/v3", "/openapi/v3/apis/metrics.k8s.io/v1", "/nowhere",
])  # fmt: skip
METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "BREW"])
NUMBERS = st.tuples(st.sampled_from(["", "-", "+"]), st.sampled_from("019"), st.integers(1, 6000))
VALUES = st.one_of(
    NUMBERS.map(lambda number: number[0] + number[1] * number[2]),
    st.integers(-(2**65), 2**65).map(str),
    st.text(max_size=20),
    st.binary(max_size=20).map(lambda value: value.decode("latin-1")),
    st.sampled_from(
        ["", "true", "1", "None", "Exact", "NotOlderThan", "a in (b)", "a=b,", "metadata.name=x",
         "metadata.name=a\\\\", "%", "%zz", "1e999", "NaN", "0x10", "1_000", "\u0663", "5s"]
    ),
)  # fmt: skip
PARAMETERS = st.sampled_from(
    ["limit", "continue", "resourceVersion", "resourceVersionMatch", "timeoutSeconds", "timeout",
     "labelSelector", "fieldSelector", "watch", "pretty", "includeObject", "sendInitialEvents",
     "allowWatchBookmarks", "hash"]
)  # fmt: skip
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#")
QUERIES = st.one_of(
    st.lists(st.tuples(PARAMETERS, VALUES), max_size=4).map(
        lambda pairs: "&".join(f"{name}={quote(value)}" for name, value in pairs)
    ),
    st.text(VISIBLE, max_size=60),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["accept", "accept_encoding", "user_agent", "if_none_match", "if_modified_since", "range",
         "audit_id", "content_type", "expect"]
    ),
    st.one_of(
        st.sampled_from(
            ["application/json", "*/*", "*", "application/json;as=Table;v=v1;g=meta.k8s.io",
             "application/vnd.kubernetes.protobuf", "a/b;q=9e999", "*;q=nan", "text/html", ",;==",
             f"application/json;q={'9' * 5000}", "application/json;pretty=1;pretty", "gzip",
             "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
             f"Fri, 27 Nov 1{'0' * 20} 04:00:00 GMT", f"Fri, 27 Nov {'9' * 5000} 0:0:0 GMT"]
        ),
        st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
                max_size=60),
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(METHODS, PATHS, QUERIES, HEADERS)
def test_any_query_and_headers(method, path, query, headers):
    answer = CLUSTER.get(f"{path}?{query}", method=method, **headers)
    assert answer.status in (200, 301, 304, 400, 404, 405, 406, 422)
    if answer.headers.get("content-type") == "application/json" and method != "HEAD":
        body = answer.body
        if answer.headers.get("content-encoding") != "gzip":
            assert json.loads(body)


@pytest.mark.parametrize("name", ["limit", "timeoutSeconds", "resourceVersion"])
@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000, "9" * 20])
def test_numbers_beyond_what_kubernetes_counts_with_are_refused(name, digits):
    """Python refuses to read thousands of digits, which was a 500."""
    answer = CLUSTER.get(f"{ROOT}/nodes?{name}={digits}")
    assert (answer.status, json.loads(answer.body)["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("name", ["limit", "timeoutSeconds", "resourceVersion"])
def test_leading_zeros_count_for_nothing(name):
    answer = CLUSTER.get(f"{ROOT}/nodes?{name}={'0' * 5000}5")
    assert answer.status == 200
    assert len(json.loads(answer.body)["items"]) == (5 if name == "limit" else 100)


def test_of_an_endless_accept_header_the_beginning_counts():
    other = "text/x," * LONGEST_ACCEPT
    assert CLUSTER.get(f"{ROOT}/nodes", accept=f"application/json,{other}").status == 200
    assert CLUSTER.get(f"{ROOT}/nodes", accept=f"{other}application/json").status == 406
