"""Earlier findings of fuzzing, the seeds, and random changes of them, in each target."""

import random

import pytest

from tests.fuzz.targets import TARGETS
from tests.support.mutations import mutated_bytes
from tests.support.paths import ROOT

FINDINGS = ROOT / "tests" / "fuzz" / "findings"
EACH = [pytest.param(target, id=target.name) for target in TARGETS]


@pytest.mark.parametrize("target", EACH)
def test_findings_and_seeds_raise_nothing(target):
    for data in target.seeds():
        target.run(data)
    for path in sorted((FINDINGS / target.name).glob("*")):
        target.run(path.read_bytes())


@pytest.mark.parametrize("target", EACH)
def test_changed_seeds_raise_nothing(target):
    rng = random.Random(target.name)
    seeds = target.seeds()
    for _ in range(300):
        target.run(mutated_bytes(rng, rng.choice(seeds)))
