"""Quantity, duration and time texts: exact, canonical, and read back to the same number."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from metricsapi.api.render.quantity import bytes_text, cpu_text
from metricsapi.api.render.times import duration_text, milliseconds, rfc3339

AMOUNTS = st.integers(0, 2**64 - 1)
# The grammar of resource.Quantity: a signed number, then a suffix.
GRAMMAR = re.compile(r"(\d+)(n|u|m||k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)")
SUFFIX = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def value(text):
    """Read a quantity by the published grammar, exactly."""
    number, suffix = GRAMMAR.fullmatch(text).groups()
    if suffix in SUFFIX:
        return Fraction(number) * Fraction(10) ** SUFFIX[suffix]
    return Fraction(number) * 1024 ** (" KMGTPE".index(suffix[0]))


@given(AMOUNTS)
@example(0)
@example(10**9)
@example(1_500_000_000)
def test_cpu_is_exact_and_canonical(nanocores):
    text = cpu_text(nanocores)
    assert value(text) == Fraction(nanocores, 10**9)
    number, suffix = GRAMMAR.fullmatch(text).groups()
    if nanocores and suffix != "E":
        assert int(number) % 1000 or number == "0"  # no larger suffix would do


@given(AMOUNTS)
@example(1000)
@example(1023)
@example(1024)
@example(2**60)
def test_bytes_are_exact_and_canonical(count):
    text = bytes_text(count)
    assert value(text) == count
    number, suffix = GRAMMAR.fullmatch(text).groups()
    if suffix.endswith("i") and suffix != "Ei":
        assert int(number) % 1024


@given(AMOUNTS)
def test_the_official_client_reads_the_same(amount):
    assert parse_quantity(bytes_text(amount)) == Decimal(amount)
    assert parse_quantity(cpu_text(amount)) * 10**9 == Decimal(amount)


@pytest.mark.parametrize(
    ("nanocores", "text"),
    [(0, "0"), (149_420_158, "149420158n"), (150_000_000, "150m"), (2 * 10**9, "2"), (5000, "5u")],
)
def test_cpu_as_kubernetes_writes_it(nanocores, text):
    assert cpu_text(nanocores) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (4097, "4097"), (11_169_952 * 1024, "11169952Ki"), (16 * 2**20, "16Mi")],
)
def test_bytes_as_kubernetes_writes_them(count, text):
    assert bytes_text(count) == text


def _go_duration(text):
    """Read Go's duration text as milliseconds."""
    units = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    assert "".join(number + unit for number, unit in parts) == text
    return sum(Fraction(number) * units[unit] for number, unit in parts)


@given(st.integers(0, 10**9))
@example(0)
@example(250)
@example(60_000)
def test_durations_are_exact(amount):
    assert _go_duration(duration_text(amount)) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [(14_968, "14.968s"), (60_000, "1m0s"), (3_600_000, "1h0m0s"), (250, "250ms"), (0, "0s")],
)
def test_durations_as_go_writes_them(amount, text):
    assert duration_text(amount) == text


@given(st.floats(0, 1e6))
def test_no_window_is_rounded_to_nothing(seconds):
    assert milliseconds(seconds) >= 1
    assert abs(milliseconds(seconds) - seconds * 1000) <= 1


@given(st.integers(0, 4 * 10**9))
def test_times_are_rfc_3339_in_utc(seconds):
    assert datetime.fromisoformat(rfc3339(seconds)) == datetime.fromtimestamp(seconds, UTC)
