"""HTTPS_PROXY and NO_PROXY, as golang.org/x/net/http/httpproxy reads them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.proxy import proxy_for

PROXY = "http://proxy.example:3128"
API = "https://api.cluster.example:6443"


def chosen(server, no_proxy, **environ):
    return proxy_for(server, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy, **environ})


@pytest.mark.parametrize(
    ("server", "rules"),
    [
        (API, "*"),
        (API, "example"),
        (API, "cluster.example"),
        (API, ".cluster.example"),
        (API, "*.cluster.example"),
        (API, "api.cluster.example:6443"),
        (API, " other.example , API.Cluster.Example "),
        ("https://10.96.0.1", "10.96.0.0/12"),
        ("https://10.96.0.1", "10.96.0.1"),
        ("https://10.96.0.1", "10.96.0.1:443"),
        ("https://[fd00::1]:6443", "fd00::/8"),
        ("https://[fd00::1]:6443", "fd00::1"),
        ("https://[fd00::1]:6443", "[fd00::1]:6443"),
        ("https://[::ffff:10.96.0.1]", "10.96.0.1"),
        ("https://localhost:6443", ""),
        ("https://127.0.0.2:6443", ""),
        ("https://[::1]:6443", ""),
        ("https://[::ffff:127.0.0.1]:6443", ""),
    ],
)
def test_what_goes_without_a_proxy(server, rules):
    assert chosen(server, rules) is None


@pytest.mark.parametrize(
    ("server", "rules"),
    [
        (API, ""),
        (API, "cluster"),
        (API, ".api.cluster.example"),
        (API, "luster.example"),
        (API, "api.cluster.example:443"),
        (API, ":6443"),
        (API, "10.0.0.0/8"),
        ("https://10.96.0.1", "10.96.0.1:6443"),
        ("https://10.96.0.1", "10.96.0.0/33"),
        ("https://10.96.0.1", "10.0.0.0/255.0.0.0"),  # Go knows prefixes alone
        ("https://[fd00::1]", "fe00::/8"),
    ],
)
def test_what_goes_through_it(server, rules):
    assert chosen(server, rules) == PROXY


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"https_proxy": PROXY}, PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, PROXY),
        ({"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "example"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "other", "no_proxy": "example"}, PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ({"HTTPS_PROXY": "socks5://proxy:1080"}, "socks5://proxy:1080"),
    ],
)
def test_which_variable_counts(environ, proxy):
    assert proxy_for(API, environ) == proxy


@pytest.mark.parametrize("proxy", ["ftp://proxy", "http://", "http://[::1", "http://proxy:99999"])
def test_a_proxy_that_is_no_url_is_named(proxy):
    with pytest.raises(CredentialsError, match="HTTPS_PROXY is no URL of a proxy"):
        proxy_for(API, {"HTTPS_PROXY": proxy})


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_proxy_or_an_error_of_one_kind(proxy, rules):
    with contextlib.suppress(CredentialsError):
        proxy_for(API, {"HTTPS_PROXY": proxy, "NO_PROXY": rules})
