"""README and docs/troubleshooting.md quote texts exactly as the code prints them."""

import ast
import re
from functools import cache

import pytest

from tests.support.paths import ROOT

TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text()
README = (ROOT / "README.md").read_text()
# Printed by kubectl, the API server or the HPA controller.
FOREIGN = (
    "error: Metrics API not available",
    "error: metrics not available yet",
    'Error from server (Forbidden): nodes.metrics.k8s.io is forbidden: User … cannot list resource "nodes"',  # noqa: E501
    'Error from server (NotFound): podmetrics.metrics.k8s.io "NS/POD" not found',
    "unable to get metrics for resource cpu: no metrics returned from resource metrics API",
    "missing request for cpu in container …",
    "did not receive metrics for targeted pods (pods might be unready)",
    "Terminating",
    "NamespaceDeletionDiscoveryFailure … metrics.k8s.io",
    "system:anonymous",
    "kubectl top nodes",
    "<unknown>",
)
# What stands for a value in a quoted text, or is one.
VALUES = re.compile(
    r"…|\.\.\.|\bFILE\b|\bNAME\b|\bNODE\b|--[a-z][a-z-]*|https://\S+|/home/\S+|\d[\d.:]*|"
    r'"[^"]*"|Permission denied|Address already in use|Forbidden'
)
LEAST = 6  # characters of a part that is looked for


@cache
def constants():
    """Every text in the code, a formatted one in its parts."""
    return [
        node.value
        for path in (ROOT / "metricsapi").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def missing(quoted):
    """The parts of a quoted text, between values, that no text in the code has."""
    parts = (part.strip(" :;,()=?\"'") for part in VALUES.split(quoted))
    return [
        part
        for part in parts
        if len(part) >= LEAST and not any(part in constant for constant in constants())
    ]


def bold():
    """The quoted texts that begin an entry of the page on troubleshooting."""
    entries = re.findall(r"\*\*(.+?)\*\*", TROUBLESHOOTING, re.DOTALL)
    return [" ".join(text.split()) for entry in entries for text in re.findall(r"`([^`]+)`", entry)]


def printed_by_make_run():
    """The lines that README shows after `$ make run`, but for the tables, which are values."""
    block = README.split("    $ make run\n")[1].split("\n\nIn another shell")[0]
    lines = [line.strip() for line in block.splitlines()]
    return [line for line in lines if line and not re.match(r"vm |\.\.\.|NODE ", line)]


@pytest.mark.parametrize("quoted", [text for text in bold() if text not in FOREIGN])
def test_a_text_of_troubleshooting_is_printed(quoted):
    assert missing(quoted.removeprefix("metricsapi: ")) == []


@pytest.mark.parametrize("quoted", printed_by_make_run())
def test_a_line_of_the_readme_is_printed(quoted):
    assert missing(quoted) == []


def test_texts_of_others_are_still_on_the_page():
    assert set(FOREIGN) <= set(bold())


def test_a_text_that_nothing_prints_would_be_reported():
    assert missing("listens on everything at 0.0.0.0") == ["listens on everything at"]
    assert len(bold()) > 15
    assert len(printed_by_make_run()) >= 4
