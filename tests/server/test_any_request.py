"""Whatever a certificate, headers or a target say: one meaning, or a refusal."""

import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsapi.api.asgi import QueryString
from metricsapi.api.status import StatusError
from metricsapi.kube.field_selectors import parse_fields
from metricsapi.kube.selectors import SelectorError
from metricsapi.server.auth.authenticator import Authenticator
from metricsapi.server.auth.client_certificates import PeerCertificates
from metricsapi.server.auth.configuration import from_configmap
from metricsapi.server.auth.request_info import request_info
from metricsapi.server.http.request_target import BadTarget, resolve
from tests.server.serving import configmap
from tests.support.pki import SERVER, Authority

FRONT, CLIENTS, STRANGER = (Authority(name) for name in ("front", "clients", "stranger"))
PIECES = st.sampled_from(
    ["/", "//", "/./", "/../", "%2f", "%2F", "%5c", "%00", "%2e", ";", "?", "#", "\\", " ", "%",
     "%zz", "\xff", "apis", "metrics.k8s.io", "v1beta1", "v1", "nodes", "pods", "namespaces",
     "namespace", "ns", "healthz", "metrics", "a", "http://x", "*"]
)  # fmt: skip
TARGETS = st.one_of(
    st.binary(max_size=60),
    st.lists(PIECES, max_size=12).map(lambda p: "".join(p).encode("latin-1")),
)


@settings(max_examples=500)
@given(TARGETS)
def test_a_target_has_one_meaning_or_none(target):
    """What is left can be read in one way only, and resolving it again changes nothing."""
    try:
        meant = resolve(target)
    except BadTarget:
        return
    path = meant.partition(b"?")[0]
    assert path.startswith(b"/")
    assert path == b"/" or not any(part in (b"", b".", b"..") for part in path[1:].split(b"/"))
    assert not {b"%2f", b"%5c", b"%00", b"%2e%2e"} & {
        path.lower()[i : i + 3] for i in range(len(path))
    }
    assert all(0x21 <= byte <= 0x7E for byte in meant)
    assert resolve(meant) == meant


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


@given(
    NAMES, NAMES, st.sampled_from(["namespaces", "namespace"]), st.sampled_from(["v1", "v1beta1"])
)
def test_what_is_authorized_is_what_is_served(namespace, name, word, version):
    """The singular is the plural, and no part of a name changes what is asked for."""
    path = f"/apis/metrics.k8s.io/{version}/{word}/{namespace}/pods/{name}"
    asked = request_info("GET", path, QueryString(b""))
    assert (asked.verb, asked.resource, asked.namespace, asked.name) == (
        "get",
        "pods",
        namespace,
        name,
    )
    listed = request_info(
        "GET", f"/apis/metrics.k8s.io/{version}/namespaces/{namespace}/pods", QueryString(b"")
    )
    assert (listed.verb, listed.resource, listed.namespace, listed.name) == (
        "list",
        "pods",
        namespace,
        "",
    )


@given(
    st.text(max_size=30),
    st.sampled_from(["GET", "POST", "DELETE", "PATCH"]),
    st.binary(max_size=20),
)
def test_any_path_has_attributes_or_is_refused(text, method, query):
    path = "/apis/metrics.k8s.io/v1beta1/" + text
    refused = None
    try:
        asked = request_info(method, path, QueryString(query))
    except StatusError as error:
        refused = error.code
    assert refused == 400 or (asked.verb and asked.review())


CERTIFICATES = {
    "front proxy": FRONT.issue("front-proxy-client"),
    "front proxy, other name": FRONT.issue("x"),
    "front proxy, expired": FRONT.issue("front-proxy-client", end=-60),
    "front proxy, for servers": FRONT.issue("front-proxy-client", usages=(SERVER,)),
    "client": CLIENTS.issue("bob", groups=["team"]),
    "client named like the proxy": CLIENTS.issue("front-proxy-client"),
    "stranger": STRANGER.issue("front-proxy-client"),
    "none": None,
}
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"x-remote-user", b"x-remote-group", b"x-remote-uid",
                         b"x-remote-extra-scopes", b"x-remote-extra-a%2fb", b"x-other"]),
        st.sampled_from([b"", b"root", b"system:masters", b"eve", b"\xff", b"%41"]),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CERTIFICATES)), HEADERS)
def test_headers_name_a_user_only_behind_the_front_proxys_certificate(kind, headers):
    authenticator = Authenticator()
    authenticator.configure(from_configmap(configmap(FRONT, CLIENTS)))
    certificate = CERTIFICATES[kind]
    peer = PeerCertificates([certificate.der]) if certificate else None
    user, _ = authenticator.by_certificate(peer, headers, time.time())
    named = [value for name, value in headers if name == b"x-remote-user" and value]
    if kind == "front proxy":
        assert user is None or len(set(named)) == 1
    elif kind == "client":
        assert (user.name, "team" in user.groups) == ("bob", True)
        assert "system:masters" not in user.groups
    elif kind == "client named like the proxy":
        assert user.name == "front-proxy-client"
        assert "system:masters" not in user.groups
    else:
        assert user is None


@pytest.mark.parametrize("name", ["a/b", "a b", "ä", "%", "a%2fb"])
def test_a_name_with_odd_characters_is_not_another_path(name):
    target = f"/apis/metrics.k8s.io/v1/nodes/{quote(name, safe='')}".encode()
    if "%2F" in target.decode().upper().removeprefix("/APIS"):
        with pytest.raises(BadTarget):
            resolve(target)
    else:
        assert resolve(target) == target


SELECTORS = st.lists(
    st.sampled_from(["metadata.name", "metadata.namespace", "=", "==", "!=", ",", "\\", "a", "b-1",
                     ".", "..", " ", "metadata.name=a", "secret"]),
    max_size=10,
).map("".join)  # fmt: skip


@settings(max_examples=500)
@given(SELECTORS)
def test_a_name_that_is_authorized_is_the_only_one_that_is_listed(selector):
    """Who may list one name must not get others by a selector that two parsers read differently."""
    query = QueryString(b"fieldSelector=" + quote(selector).encode())
    name = request_info("GET", "/apis/metrics.k8s.io/v1/nodes", query).name
    if not name:
        return
    try:
        terms = parse_fields(selector, ("metadata.name", "metadata.namespace"))
    except SelectorError:
        return
    assert ("metadata.name", name, False) in [
        (term.field, term.value, term.negated) for term in terms
    ]
