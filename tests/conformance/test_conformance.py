"""Clients see what metrics-server would give them, or one sentence says why not."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.conformance.compare import differences
from tests.conformance.deliberate import DELIBERATE
from tests.conformance.replay import recorded
from tests.conformance.verdicts import judge, verdicts

EXCHANGES = {each.name: each for each in recorded()}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    outcomes = asyncio.run(verdicts(tmp_path_factory.mktemp("cluster")))
    return {each.exchange.name: each for each in outcomes}


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_recorded_exchange_is_the_same_or_explained(judged, name):
    assert judged[name].wrong == ()


def test_every_sentence_belongs_to_an_exchange():
    assert DELIBERATE.keys() <= EXCHANGES.keys()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("node", b'"cpu":"1003625365n"', b'"cpu":"1103625365n"'),
        ("node", b'"zone":"z1"', b'"zone":"z2"'),
        ("node-missing", b'"NotFound"', b'"Gone"'),
        ("table-node", b'"cells":["node-3"', b'"cells":["node-4"'),
        ("livez-verbose", b"[+]ping ok", b"[+]pong ok"),
        ("metrics", b"metrics_server_storage_points", b"metrics_server_stored_points"),
        ("yaml-node", b"kind: NodeMetrics", b"kind: Node"),
    ],
)
def test_a_difference_would_be_seen(name, before, after):
    reference = EXCHANGES[name]
    assert differences(reference, reference) == []
    assert before in reference.body
    changed = dataclasses.replace(reference, body=reference.body.replace(before, after))
    assert differences(reference, changed)


def test_an_explanation_that_explains_nothing_is_wrong():
    assert judge(EXCHANGES["statusz"], EXCHANGES["statusz"]).wrong
