"""Names as the API server takes them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.name_validation import are_labels, is_subdomain

# As k8s.io/apimachinery has it (IsDNS1123Subdomain), which bounds the whole name only.
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@pytest.mark.parametrize(
    "name", ["a", "web-0", "a" * 253, "a" * 100 + ".b", "1.2.3", "x" * 64 + "-" + "y" * 100]
)
def test_a_pods_name_is_a_subdomain_without_a_limit_for_one_part(name):
    assert is_subdomain(name)


@pytest.mark.parametrize(
    "name", ["", "a" * 254, "-a", "a-", "a..b", "a.", ".a", "A", "a_b", "a/b", "ü"]
)
def test_what_no_pod_can_be_named(name):
    assert not is_subdomain(name)


@given(
    st.text(st.sampled_from("a1-.A"), max_size=20) | st.text(st.sampled_from("a."), max_size=300)
)
def test_names_are_those_of_the_api_server(name):
    assert is_subdomain(name) == (len(name) <= 253 and SUBDOMAIN.fullmatch(name) is not None)


def test_a_long_name_takes_no_longer_than_its_length():
    assert not is_subdomain("a-" * 126)
    assert not is_subdomain("a" * 10**6)


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("a" * 63, True), ("a" * 64, False), ("a.b", False), ("", False)],
)
def test_namespaces_and_containers_are_labels(name, good):
    assert are_labels(["x", name]) is good
