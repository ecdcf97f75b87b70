"""The cluster's authentication ConfigMap, in every form that kube-apiserver and people give it."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.server.auth.configuration import ConfigurationError, from_configmap
from tests.support.odd_certificates import as_version, authority, to_pem

CA, OTHER = authority("ca"), authority("other")
KEY = "requestheader-client-ca-file"


@pytest.mark.parametrize("text", ["null", "[]", "", None])
def test_a_list_that_kube_apiserver_was_not_given_is_empty(text):
    data = {} if text is None else {"requestheader-allowed-names": text}
    configuration = from_configmap({KEY: CA.text, **data})
    assert configuration.front_proxy.allowed_names == frozenset()
    assert configuration.front_proxy.authorities


def test_names_of_headers_are_compared_in_lower_case():
    data = {"requestheader-username-headers": '["X-Remote-User", " X-User "]'}
    assert from_configmap(data).front_proxy.username_headers == ("x-remote-user", "x-user")


@pytest.mark.parametrize("text", ["x", "{}", "[1]", '"a"', "["])
def test_a_list_that_is_none_is_named(text):
    expected = "requestheader-allowed-names must be a JSON list of strings"
    with pytest.raises(ConfigurationError, match=expected):
        from_configmap({"requestheader-allowed-names": text})


def test_a_bad_authority_is_skipped_and_named(caplog):
    bad = to_pem(as_version(CA, CA.private, 2)).decode()
    text = f"# Prüfstelle\n{bad}{CA.text}# e\n{OTHER.text}"
    with caplog.at_level(logging.WARNING):
        configuration = from_configmap({KEY: text, "client-ca-file": OTHER.text})
    assert configuration.front_proxy.authorities.pem == CA.text + OTHER.text
    (record,) = caplog.records
    assert (
        record.data["source"]
        == f"{KEY} of the ConfigMap kube-system/extension-apiserver-authentication"
    )
    assert record.data["reason"].startswith("certificate 1: ")


@pytest.mark.parametrize("text", ["x", "-----BEGIN CERTIFICATE-----", CA.key.decode()])
def test_authorities_that_are_none_are_refused_by_name(text):
    with pytest.raises(ConfigurationError, match=f"{KEY} of the ConfigMap"):
        from_configmap({KEY: text})


KEYS = [KEY, "client-ca-file", "requestheader-allowed-names", "requestheader-uid-headers"]
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from([CA.text, "null"])


@given(st.dictionaries(st.sampled_from(KEYS), TEXTS))
def test_any_data_is_a_configuration_or_an_error_of_one_kind(data):
    try:
        from_configmap(data)
    except ConfigurationError:
        return
