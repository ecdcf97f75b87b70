"""Each alert fires when it should, and says what it should: promtool's own tests of rules."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.monitoring.rules import alerts, groups
from tests.support.needs import needed

TESTS = Path(__file__).with_name("alerts.yaml")


@pytest.fixture
def promtool(tmp_path):
    """Run promtool in a folder with the rules and their tests; return (exit code, output)."""
    program = needed("promtool")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()))
    (tmp_path / "alerts.yaml").write_text(TESTS.read_text())

    def run(*arguments):
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_rules_are_valid(promtool):
    code, output = promtool("check", "rules", "rules.yaml")
    assert code == 0, output
    assert f"{len(alerts())} rules found" in output


def test_alerts_fire_and_say_what_they_should(promtool):
    code, output = promtool("test", "rules", "alerts.yaml")
    assert code == 0, output


def test_a_wrong_expectation_would_fail(promtool, tmp_path):
    wrong = TESTS.read_text().replace("summary: 20% of", "summary: 30% of")
    (tmp_path / "alerts.yaml").write_text(wrong)
    assert promtool("test", "rules", "alerts.yaml")[0] != 0


def test_every_alert_is_tested_both_when_it_fires_and_when_it_does_not():
    cases = [
        case
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert firing == set(alerts())
    assert set(alerts()) - quiet == {"MetricsAPITaskRestarting"}  # beside one that restarted once
