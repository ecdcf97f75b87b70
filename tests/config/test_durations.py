"""Go's durations, from flags and from clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.config.durations import format_duration, is_duration, parse_duration


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_durations_read_back(micros):
    assert parse_duration(format_duration(micros / 1e6)) == pytest.approx(micros / 1e6, abs=1e-6)


@pytest.mark.parametrize("text", ["", "15", "s", "1m 30s", "1d", "--1s", "\u0661s", "1s;", "nan"])
def test_what_is_no_duration_is_refused_with_what_it_must_be(text):
    with pytest.raises(ValueError, match="must be a duration with its unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["00s" * 2000 + "x", "0" * 8000, "11s" * 20 + "x", "1.1h" * 99])
def test_a_duration_that_is_long_or_could_be_read_in_many_ways_is_refused_at_once(text):
    """Requests say durations before anyone has looked who asks: `?timeout=`."""
    assert not is_duration(text)
