"""The docs say what the code does."""

import importlib.util
import re

import pytest

from metricsapi.config.flags import flags_of
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.settings import Settings
from tests.support.paths import ROOT

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])


def test_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, content in generate.pages().items():
        assert path.read_text() == content, f"{path.name} is not current: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_that_a_page_names_exists(page):
    from metricsapi.tools.doctor.main import DoctorFlags
    from metricsapi.tools.sandbox.main import _parser
    from metricsapi.tools.statusz import StatuszFlags

    sandbox = {name[2:] for action in _parser()._actions for name in action.option_strings}
    known = {
        *sandbox,
        *flags_of(Settings),
        *IGNORED,
        *flags_of(DoctorFlags),
        *flags_of(StatuszFlags),
    }
    text = page.read_text()
    text = re.sub(
        r"^ *(kubectl|helm|docker|podman|git|pip|make) .*(\\\n.*)*", "", text, flags=re.MULTILINE
    )
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9-]+)", text))
    foreign = {
        "flag",
        "raw",
        "show-swap",
        "sort-by",
        "containers",
        "nodes",
        "manifests",
        "requestheader",
    }
    assert {name for name in named - known - foreign if not name.endswith("-")} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_series_that_a_page_names_exists(page):
    from prometheus_client import CollectorRegistry, generate_latest

    from metricsapi.telemetry.metrics import Telemetry

    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
    ours = generate_latest(telemetry.registry).decode()
    for name in re.findall(r"\b(?:metricsapi|metrics_server)_[a-z_]+\b", page.read_text()):
        assert name in ours, name
