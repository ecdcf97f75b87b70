"""Where a node's kubelet is looked for."""

import posixpath
import time
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.kube.resources import Address, Capacity, Node
from metricsapi.scrape.decoding import DecodeError
from metricsapi.scrape.targets import (
    MOST_HOSTS,
    PATH_ANNOTATION,
    Target,
    family,
    refused_path,
    target_of,
)
from tests.support.kubelet import Kubelet, Reader, client, http, is_sample, node

TYPES = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")
MANY = Node(
    "n1",
    {},
    {},
    (
        Address("Hostname", "n1"),
        Address("ExternalIP", "192.0.2.1"),
        Address("InternalIP", "10.0.0.1"),
        Address("InternalIP", "fd00::1"),
    ),
    10350,
    True,
)


@pytest.mark.parametrize(
    ("types", "ip_family", "hosts"),
    [
        (TYPES, None, ("10.0.0.1", "fd00::1", "192.0.2.1", "n1")),
        (TYPES, 4, ("10.0.0.1", "fd00::1", "192.0.2.1", "n1")),
        (TYPES, 6, ("fd00::1", "10.0.0.1", "192.0.2.1", "n1")),
        (("Hostname", "InternalIP"), 6, ("n1", "fd00::1", "10.0.0.1")),
        (("ExternalDNS",), None, ()),
    ],
)
def test_hosts_are_in_the_wanted_order_and_the_clusters_family_first(types, ip_family, hosts):
    settings = KubeletSettings(address_types=types)
    assert target_of(MANY, settings, ip_family).hosts == hosts


def test_of_a_thousand_addresses_the_first_are_used():
    """All of them share the time of one scrape."""
    addresses = tuple(Address("InternalIP", f"10.0.{i // 250}.{i % 250}") for i in range(1000))
    many = structs.replace(MANY, addresses=addresses * 2)
    hosts = target_of(many, KubeletSettings()).hosts
    assert hosts == tuple(address.address for address in addresses[:MOST_HOSTS])


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ({}, 10250),
        ({"plain_http": True}, 10255),
        ({"port": 1234}, 1234),
        ({"port": 1234, "use_node_status_port": True}, 10350),
        ({"plain_http": True, "use_node_status_port": True}, 10350),
    ],
)
def test_the_port_is_the_flags_or_the_nodes_own(settings, port):
    assert target_of(MANY, KubeletSettings(**settings)).port == port


def test_a_node_without_a_port_has_the_flags_port():
    settings = KubeletSettings(port=1234, use_node_status_port=True)
    assert target_of(node(), settings).port == 1234


@pytest.mark.parametrize(("annotation", "path"), [("/x/y", "/x/y"), ("x", "/x"), ("", None)])
def test_the_annotation_names_the_path(annotation, path):
    annotated = node(annotations={"metrics.k8s.io/resource-metrics-path": annotation})
    assert target_of(annotated, KubeletSettings()).path == path


@pytest.mark.parametrize(
    "path",
    [
        "/a b", "/a\r\nX: y", "/a\tb", "/\x7f", "/ü", "/", "/a\n",
        "/../../other/proxy/stats", "/a/..", "/..", "..", "/a/./b", "/%2e%2e/other", "/%2E./x",
        "/.%2e/x", "/%252e%252e/x", "/a%2fb", "/..%2fx", "/..;/x", "/a\\..\\b", "//other/x",
        "/a//b", "http://other/x", "//", "/a?x=/../y", "/a#b", "?x", "/" + "a" * 2000,
    ],
)  # fmt: skip
def test_an_annotation_that_is_no_plain_path_is_not_sent_anywhere(path):
    """Whoever may annotate a node must not reach other nodes or API paths with our token."""
    annotated = node(annotations={PATH_ANNOTATION: path})
    assert target_of(annotated, KubeletSettings()).path is None
    assert refused_path(annotated) == path


@pytest.mark.parametrize(
    "path", ["/metrics/nodes/node-1/metrics/resource", "/v2/...", "/~x/a.b/..c", "/x/"]
)
def test_a_plain_path_is_used(path):
    annotated = node(annotations={PATH_ANNOTATION: path})
    assert target_of(annotated, KubeletSettings()).path == path
    assert refused_path(annotated) == ""


@given(st.text(st.sampled_from("/.%2eE;?#\\ab"), max_size=12))
def test_a_path_that_is_used_leads_nowhere_else(text):
    path = target_of(node(annotations={PATH_ANNOTATION: text}), KubeletSettings()).path
    if path is not None:
        base = "/api/v1/nodes/n1/proxy"
        assert posixpath.normpath(base + unquote(unquote(path))).startswith(base + "/")
        assert not set("%?#;\\") & set(path)


@pytest.mark.parametrize(
    ("capacity", "limit"), [(None, 2000), (110, 165), (1, 2), (250, 375), (5000, 2000), (0, 2000)]
)
def test_a_node_may_list_as_many_pods_as_its_capacity_and_a_half(capacity, limit):
    of = structs.replace(node(), capacity=Capacity(pods=capacity))
    assert target_of(of, KubeletSettings()).max_pods == limit
    assert target_of(of, KubeletSettings(max_pods=100)).max_pods == min(limit, 100)


@given(st.text())
def test_any_text_has_a_family_or_none(text):
    assert family(text) in (4, 6, None)


async def test_the_next_address_is_tried_and_the_one_that_works_remembered():
    """127.0.0.2 refuses: the kubelet listens on one address only."""
    async with Kubelet() as kubelet:
        target = Target("n1", ("127.0.0.2", "127.0.0.1"), kubelet.port)
        async with Reader(kubelet, target=target) as read:
            assert is_sample(await read())
            assert read.client.address("n1") == f"127.0.0.1:{kubelet.port}"
            kubelet.hang_up()
            assert is_sample(await read())
            assert read.client.address("n1") == f"127.0.0.1:{kubelet.port}"


async def test_an_address_that_connects_but_never_answers_is_avoided_next_time():
    async def hang(_, writer):
        await kubelet.closed.wait()

    import asyncio

    async with Kubelet(certificate="127.0.0.1") as good:
        kubelet = Kubelet(hang, certificate="127.0.0.2", host="127.0.0.2", port=good.port)
        kubelet.closed = asyncio.Event()
        async with kubelet:
            target = Target("n1", ("127.0.0.2", "127.0.0.1"), good.port)
            async with Reader(good, target=target, seconds=0.5) as read:
                assert not is_sample(await read())
                read.seconds = 5.0
                assert is_sample(await read())
                assert len(kubelet.requests) == 1


async def test_a_name_that_does_not_resolve_falls_to_the_next_address():
    async with Kubelet() as kubelet:
        target = Target("n1", ("no-such-node.invalid", "127.0.0.1"), kubelet.port)
        async with Reader(kubelet, target=target) as read:
            assert is_sample(await read())


async def test_a_name_that_does_not_resolve_is_named():
    async with Kubelet() as kubelet:
        target = Target("n1", ("no-such-node.invalid",), kubelet.port)
        async with Reader(kubelet, target=target, seconds=10) as read:
            failure = await read()
            assert failure.cause == "name_not_found"
            assert "--kubelet-preferred-address-types" in failure.fix


async def test_every_address_that_failed_is_named():
    async with Kubelet() as kubelet:
        port = kubelet.port
    target = Target("n1", ("127.0.0.2", "127.0.0.3"), port)
    failure = await client(KubeletSettings()).scrape(target, time.monotonic() + 5)
    assert f"127.0.0.2:{port} refused" in failure.message
    assert f"127.0.0.3:{port} refused" in failure.message


async def test_a_node_is_read_at_the_path_of_its_annotation():
    async with Kubelet(lambda _: http(b"answer")) as kubelet:
        target = Target("n1", ("127.0.0.1",), kubelet.port, "/virtual/metrics")
        decoded = []

        def decode(body, exchange):
            decoded.append((exchange.node, body))
            yield
            raise DecodeError("enough")

        settings = KubeletSettings()
        reading = client(settings, decoders={"resource": decode})
        await reading.scrape(target, time.monotonic() + 5)
        reading.close()
        assert decoded[0] == ("n1", b"answer")
        assert {request.path for request in kubelet.requests} == {"/virtual/metrics"}
