"""`/metrics` is written by our own code where it is long: every byte as prometheus_client's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from metricsapi.server.operator.metrics import encoder_for, exposition
from metricsapi.telemetry.histogram import DEFAULT_BUCKETS, Histogram
from metricsapi.telemetry.metrics import Telemetry
from metricsapi.telemetry.node_status import NodeStatus
from metricsapi.telemetry.snapshot import Snapshot

ENCODERS = [generate_latest, generate_openmetrics]
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(min_value=0, max_value=1e12) | st.integers(0, 10**9)


class Families:
    """As much of a registry as encoders use."""

    def __init__(self, families):
        self.families = list(families)

    def collect(self):
        return self.families


def both(families, encode):
    """Return what we write, and what the encoder writes of the same samples."""
    families = list(families)
    return b"".join(exposition(families, encode)), encode(Families(families))


@pytest.mark.parametrize("encode", ENCODERS)
@given(
    # One label sorts before `le`, one after it.
    st.lists(
        st.tuples(VALUES, VALUES, st.lists(st.tuples(NUMBERS, st.integers(1, 10**9)), max_size=4)),
        max_size=4,
    )
)
def test_any_histogram(encode, observed):
    histogram = Histogram("h", "some help", DEFAULT_BUCKETS, ["node", "first"])
    for node, first, observations in observed:
        histogram.of(node, first)
        for value, count in observations:
            histogram.observe(value, node, first, count=count)
    ours, theirs = both(histogram.collect(), encode)
    assert ours == theirs


@pytest.mark.parametrize("encode", ENCODERS)
def test_a_histogram_without_labels(encode):
    histogram = Histogram("h", "some help", (0.5, 1.0))
    histogram.observe(0.7, count=1_234_567)
    ours, theirs = both(histogram.collect(), encode)
    assert ours == theirs


@pytest.mark.parametrize("encode", ENCODERS)
@given(st.dictionaries(VALUES, NUMBERS, max_size=6))
def test_every_series_by_node(encode, nodes):
    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
    for node, number in nodes.items():
        telemetry.kubelet_request(node, number, success=True, at=number)
    rows = [NodeStatus(name=node, state="ok", sample_age=age) for node, age in nodes.items()]
    families = [
        family
        for family in telemetry.families(Snapshot(nodes=rows))
        if not family.name.startswith(("process_", "python_"))  # which change meanwhile
    ]
    ours, theirs = both(families, encode)
    assert ours == theirs


HEADERS = st.lists(
    st.sampled_from(["application/openmetrics-text", "text/plain", "version=", "1.0.0", "1.x", "9",
                     "0.0.4", "escaping=", "allow-utf-8", ";", ",", " ", "q=0.5", "=", "*/*"])
    | VALUES,
    max_size=12,
).map("".join)  # fmt: skip


@given(HEADERS)
def test_any_accept_header_gets_a_text(accept):
    encode, content_type = encoder_for(accept)
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))
    assert b"".join(exposition([], encode)) in (b"", b"# EOF\n")


@pytest.mark.parametrize("version", ["1.x", "9" * 5000])
def test_a_version_that_is_none_gets_the_plain_text(version):
    """It was a 500."""
    _, content_type = encoder_for(f"application/openmetrics-text;version={version}")
    assert content_type.startswith("text/plain; version=0.0.4")
