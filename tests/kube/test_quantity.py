"""Quantities as the API server writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.api.render.quantity import bytes_text, cpu_text
from metricsapi.kube.quantity import parse_quantity
from metricsapi.kube.watch import NODES

NANO = 10**9


@pytest.mark.parametrize(
    ("text", "scale", "amount"),
    [
        ("8", NANO, 8 * NANO),
        ("7910m", NANO, 7_910_000_000),
        ("1.5", NANO, 1_500_000_000),
        (".5", NANO, 500_000_000),
        ("250u", NANO, 250_000),
        ("1n", NANO, 1),
        ("0.1n", NANO, 1),  # rounded up
        ("32616476Ki", 1, 32616476 * 1024),
        ("1.5Gi", 1, 3 * 2**29),
        ("128M", 1, 128_000_000),
        ("129e6", 1, 129_000_000),
        ("1E", 1, 10**18),
        ("1Ei", 1, 2**60),
        ("-1", 1, -1),
        ("", 1, None),
        ("8 cores", 1, None),
        ("1ki", 1, None),
        ("1e", 1, None),
        ("1e9999", 1, None),
    ],
)
def test_amounts(text, scale, amount):
    assert parse_quantity(text, scale) == amount


@given(st.integers(min_value=0, max_value=10**24))
def test_what_is_written_reads_back(amount):
    assert parse_quantity(cpu_text(amount), NANO) == amount
    assert parse_quantity(bytes_text(amount)) == amount


@given(st.text(max_size=20))
def test_no_text_breaks_it(text):
    parse_quantity(text)


def test_a_node_has_its_allocatable_amounts():
    node = NODES.decode(b'{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"3920m",'
                       b'"memory":"16Gi","pods":"110","hugepages-2Mi":"0"}}}')  # fmt: skip
    assert (node.cpu, node.memory) == (3_920_000_000, 16 * 2**30)
    assert NODES.decode(b'{"metadata":{"name":"a"}}').cpu is None
