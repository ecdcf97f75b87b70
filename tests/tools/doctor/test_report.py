"""What the doctor prints of many nodes: groups of one cause, the worst last, each fix once."""

import json

from metricsapi.telemetry.troubleshooting import REMEDIES
from metricsapi.tools.doctor.report import as_json, as_table, exit_status
from metricsapi.tools.doctor.result import NOT_REACHED, Findings, Status


def node(number, cause=None, check="tls"):
    """The results of a node on which all is well, or one check fails for a cause."""
    findings = Findings(f"node-{number}")
    findings.ok("address", f"10.0.0.{number}")
    if cause is None:
        findings.ok("payload", "60 containers in 12 ms")
        return findings.results
    findings.because(check, cause, f"evidence of {number}")
    findings.skip("payload", NOT_REACHED)
    return findings.results


def fleet():
    """1,000 nodes of which 200 fail for four causes, and what concerns the cluster."""
    findings = Findings("cluster")
    findings.fail("endpoints", "none", "Is it scaled to 0?")
    findings.ok("API server", "v1.36.0")
    findings.warn("caBundle", "nobody verifies us", "Run with --manage-ca-bundle.")
    results = findings.results
    for number in range(1000):
        cause = None
        if number % 5 == 0:
            causes = ["certificate_self_signed"] * 7 + ["timeout", "timeout", "refused"]
            cause = causes[number // 5 % 10]
        check = "tls" if cause == "certificate_self_signed" else "tcp"
        results = results + node(number, cause, check)
    warned = Findings("node-warned")
    warned.warn("clock", "12 s ahead", "Let NTP set both clocks.")
    return results + warned.results


def test_200_failing_nodes_of_1000_fit_on_a_screen_with_the_worst_last():
    lines = as_table(fleet()).splitlines()
    assert len(lines) < 50
    heads = [line for line in lines if line[:4] in ("ok  ", "WARN", "FAIL", "skip")]
    assert [line[:30] for line in heads] == [
        "ok    API server: v1.36.0",
        "ok    800 nodes: node-1, node-",
        "WARN  clock: 1 node: node-warn",
        "WARN  caBundle: nobody verifie",
        "FAIL  tcp: nothing listens on ",
        "FAIL  tcp: the kubelet did not",
        "FAIL  tls: the kubelet signed ",
        "FAIL  endpoints: none",
    ]
    assert "20 nodes: node-45, node-95" in heads[4]
    assert "and 130 more" in " ".join(lines)
    assert lines[-2:] == [
        "nodes: 800 ok, 1 warn, 200 fail",
        "checks: 1,801 ok, 200 skip, 2 warn, 201 fail",
    ]


def test_each_fix_is_printed_once_and_each_group_shows_evidence():
    text = " ".join(as_table(fleet()).split())
    for cause in ("certificate_self_signed", "timeout", "refused"):
        assert text.count(REMEDIES[cause].fix) == 1
        assert REMEDIES[cause].title in text
    assert "node-0: evidence of 0" in text
    assert NOT_REACHED not in text


def test_json_has_every_node_with_its_cause():
    found = json.loads(as_json(fleet()))
    failed = [each for each in found["results"] if each["status"] == "fail"]
    assert len(failed) == found["summary"]["fail"] == 201
    assert {each["cause"] for each in failed} == {
        "", "certificate_self_signed", "timeout", "refused"
    }  # fmt: skip


def test_nothing_that_a_terminal_would_obey_is_printed():
    findings = Findings("node-\x1b[2J")
    findings.because("tcp", "refused", "\x1b]0;evil\x07\nFAIL  forged: line")
    text = as_table(findings.results)
    assert "\x1b" not in text
    assert "\nFAIL  forged" not in text


def test_a_single_node_is_as_readable():
    assert as_table(node(1)).splitlines() == [
        "ok    1 node: node-1: all is well, such as payload: 60 containers in 12 ms (node-1)",
        "",
        "nodes: 1 ok",
        "checks: 2 ok, 0 skip, 0 warn, 0 fail",
    ]
    assert exit_status(node(1)) == 0
    assert exit_status(node(1, "refused")) == 1


def test_what_could_not_be_looked_at_is_one_line_for_all_nodes():
    results = []
    for number in range(30):
        findings = Findings(f"node-{number}")
        findings.skip("tcp", "the API server connects")
        findings.ok("payload", "1 containers in 1 ms")
        results += findings.results
    table = as_table(results)
    assert table.count("skip  ") == 1
    assert table.startswith("ok    30 nodes: node-0, ")
    assert {result.status for result in results} == {Status.SKIP, Status.OK}
