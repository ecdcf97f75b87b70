"""The docs say what the code does."""

import importlib.util
import re

import pytest
import yaml

from metricsapi.config.flags import flags_of
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.settings import Settings
from tests.support.paths import ROOT

PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
INDEX = ROOT / "docs" / "README.md"


def identify(page):
    """A page's path, which names its test."""
    return str(page.relative_to(ROOT))


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def test_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, content in generate.pages().items():
        assert path.read_text() == content, f"{path.name} is not current: make docs"


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_flag_that_a_page_names_exists(page):
    from metricsapi.tools.doctor.main import DoctorSettings
    from metricsapi.tools.sandbox.arguments import arguments_parser
    from metricsapi.tools.statusz import StatuszSettings

    sandbox = set(re.findall(r"--([a-z-]+)", arguments_parser().format_help()))
    known = {
        *sandbox,
        *flags_of(Settings),
        *IGNORED,
        *flags_of(DoctorSettings),
        *flags_of(StatuszSettings),
    }
    text = page.read_text()
    text = re.sub(
        r"^ *(kubectl|helm|docker|podman|git|pip|make|sha256sum) (?:.*\\\n)*.*",
        "",
        text,
        flags=re.MULTILINE,
    )
    named = set(re.findall(r"(?<![\w-])--([a-z][a-z0-9-]+)", text))
    foreign = {
        "flag",
        "raw",
        "show-swap",
        "sort-by",
        "containers",
        "cost",
        "nodes",
        "manifests",
        "requestheader",
        "enable-aggregator-routing",
        "every-platform",
        "platform",
        "isolation",
        "prune",
        "take-ownership",
        "force-conflicts",
        "watch",
    }
    assert {name for name in named - known - foreign if not name.endswith("-")} == set()


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_link_leads_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_picture_is_there_for_light_and_for_dark_pages(page):
    for light, dark in picture_files(page.read_text()):
        assert dark == light.replace(".svg", "-dark.svg")
        assert (page.parent / light).is_file(), light
        assert (page.parent / dark).is_file(), dark


def picture_files(text):
    """The files of each <picture>: for light and for dark pages."""
    for picture in re.findall(r"<picture>(.*?)</picture>", text, re.DOTALL):
        (light,) = re.findall(r'<img\b[^>]*?\ssrc="([^"]*)"', picture)
        (dark,) = re.findall(
            r'<source media="\(prefers-color-scheme: dark\)" srcset="([^"]*)"', picture
        )
        yield light, dark


def test_every_page_is_in_the_index():
    linked = {
        (INDEX.parent / target).resolve()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", INDEX.read_text())
    }
    assert {*(ROOT / "docs").glob("*.md")} - linked == {INDEX}


def test_every_file_that_the_guide_for_contributors_names_exists():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`((?:metricsapi|tests|docs|manifests|\.ci|\.github)/[\w./-]*)`", text))
    assert len(paths) > 10
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(
            re.findall(
                r"(?:`|^ {4,}(?:[A-Z_]+=\S+ )*)make ([a-z][a-z0-9-]*)",
                page.read_text(),
                re.MULTILINE,
            )
        )
        assert named <= targets, page.name


def test_hooks_run_commands_of_ci():
    """Each hook's make target is a step of .ci/run, with the tools that the lock file pins."""
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    ci = (ROOT / ".ci" / "run").read_text()
    run = {
        target for line in re.findall(r"^make (.+)$", ci, re.MULTILINE) for target in line.split()
    }
    for repository in configuration["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            program, target, *_ = hook["entry"].split()
            assert (program, target in run) == ("make", True), hook["id"]


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_every_series_that_a_page_names_exists(page):
    from prometheus_client import CollectorRegistry

    from metricsapi.telemetry import snapshot
    from metricsapi.telemetry.metrics import Telemetry

    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
    ours = {series.name for series in (*telemetry.series, *snapshot.SERIES)}
    parts = {f"{name}{suffix}" for name in ours for suffix in ("_bucket", "_sum", "_count")}
    for name in re.findall(r"\b(?:metricsapi|metrics_server)_[a-z_]+\b", page.read_text()):
        assert name in ours | parts, name


def test_every_series_that_is_exposed_is_explained():
    from prometheus_client import CollectorRegistry

    from metricsapi.telemetry.metrics import Telemetry
    from metricsapi.telemetry.snapshot import Snapshot

    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", page, re.MULTILINE))
    telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="1")
    shown = list(telemetry.families(Snapshot()))
    names = {family.name + "_total" * (family.type == "counter") for family in shown}
    assert names == rows.keys()
    for series in telemetry.series:
        assert rows[series.name] == ", ".join(f"`{label}`" for label in series.labels)
