"""What a Retry-After asks for: seconds or a date, and nothing else."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.retry_after import retry_after_seconds

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5.0),
        ("0", 0.0),
        ("1000000000", 1e9),
        ("9" * 400, math.inf),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),  # the two old forms of RFC 9110, 5.6.7
        ("Wed Oct 21 07:28:30 2015", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 0.0),
        ("", 0.0),
        ("-3", 0.0),
        ("+3", 0.0),
        ("1.5", 0.0),
        ("\u0665", 0.0),
    ],
)
def test_it_is_a_number_of_seconds_or_a_date(text, seconds):
    assert retry_after_seconds(text, NOW) == seconds


@given(st.text(max_size=40))
def test_anything_else_is_no_pause(text):
    assert retry_after_seconds(text, NOW) >= 0.0
