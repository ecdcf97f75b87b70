"""Values that cannot work, alone or beside another."""

import pytest

from metricsapi.config.flags import DURATION, INT, flags_of
from metricsapi.config.read import read_settings
from metricsapi.config.settings import Settings


@pytest.mark.parametrize(
    "pair",
    [
        ("--kubelet-certificate-authority=F", "--kubelet-insecure-tls"),
        ("--kubelet-certificate-authority=F", "--deprecated-kubelet-completely-insecure"),
        ("--kubelet-insecure-tls", "--deprecated-kubelet-completely-insecure"),
        ("--manage-ca-bundle", "--tls-cert-file=F"),
    ],
)
def test_flags_that_exclude_each_other(pair, tmp_path):
    file = tmp_path / "f"
    file.write_text("x")
    _, parsed = read_settings([arg.replace("=F", f"={file}") for arg in pair], {})
    names = [arg.partition("=")[0] for arg in pair]
    assert f"cannot use both {names[0]} and {names[1]}" in parsed.problems


def test_a_number_outside_the_range_of_its_declaration_is_refused():
    bounded = [flag for flag in flags_of(Settings).values() if flag.kind in (INT, DURATION)]
    assert len(bounded) > 20
    for flag in bounded:
        below = flag.kind.format(flag.minimum - (1 if flag.kind is INT else 0.0005))
        _, parsed = read_settings([f"--{flag.name}={below}"], {})
        assert any(text.startswith(f"--{flag.name} must be ") for text in parsed.problems), flag
        if flag.maximum != float("inf"):
            _, parsed = read_settings([f"--{flag.name}={flag.maximum + 1}"], {})
            (problem,) = parsed.problems
            assert problem.endswith(f" and {flag.maximum} at most, not {flag.maximum + 1}")


def test_timeouts_need_not_be_smaller_than_the_resolution():
    _, parsed = read_settings(["--metric-resolution=1s", "--kubelet-request-timeout=10s"], {})
    assert parsed.problems == []
    assert "below the kubelet's own period" in parsed.notes[0]
    _, parsed = read_settings(["--metric-resolution=999ms"], {})
    assert parsed.problems == ["--metric-resolution must be 1s or more, not 999ms"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--node-selector=a==="], "--node-selector"),
        (["--resources=cpu,swap"], "--resources: memory cannot be left out"),
    ],
)
def test_values_that_make_no_sense_are_named(args, named):
    _, parsed = read_settings(args, {})
    assert any(named in problem for problem in parsed.problems)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--request-timeout=0"], "--request-timeout must be 1ms or more, not 0s"),
        (["--advertise-address=here"], "--advertise-address: 'here' is not an IP address"),
        (
            ["--strict-transport-security-directives=max-age=1,includeSubdomains"],
            (
                "--strict-transport-security-directives: 'includeSubdomains' is none of "
                "max-age=SECONDS, includeSubDomains and preload"
            ),
        ),
    ],
)
def test_values_that_the_reference_refuses_are_refused(args, problem):
    assert read_settings(args, {})[1].problems == [problem]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("29", None),
        ("23,24,25,29,4588", None),
        ("4588", "Python's TLS has none of these: add 23 (CurveP256)"),
        ("23,29,23", "--tls-curve-preferences names a curve twice"),
        ("30", "must be one of 23, 24, 25, 29, 4587, 4588, 4589"),
        ("X25519", "must be a whole number"),
        ("23,", "must be a whole number"),
    ],
)
def test_curves_are_gos_numbers_and_one_of_them_can_be_offered(value, problem):
    _, parsed = read_settings([f"--tls-curve-preferences={value}"], {})
    assert len(parsed.problems) == (problem is not None)
    assert all(problem in text for text in parsed.problems)


def test_of_several_curves_the_log_names_the_one_that_is_offered():
    _, parsed = read_settings(["--tls-curve-preferences=4588,29"], {})
    (note,) = parsed.notes
    assert "offers one key exchange, here 29 (X25519)" in note
    assert read_settings(["--tls-curve-preferences=29"], {})[1].notes == []


def test_a_file_in_the_place_of_the_certificate_directory_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    _, parsed = read_settings([f"--cert-dir={file}"], {})
    assert parsed.problems == [f"--cert-dir: not a directory: {file}"]


@pytest.mark.parametrize(
    ("args", "problems", "seconds"),
    [
        ([], [], 5.0),
        (["--min-scrape-interval=15s"], [], 15.0),
        (["--metric-resolution=2s"], [], 2.0),
        (["--metric-resolution=1m", "--min-scrape-interval=1s"], [], 1.0),
        (
            ["--min-scrape-interval=15001ms"],
            ["--min-scrape-interval=15.001s must not be longer than --metric-resolution=15s"],
            15.0,
        ),
        (
            ["--metric-resolution=2s", "--min-scrape-interval=5s"],
            ["--min-scrape-interval=5s must not be longer than --metric-resolution=2s"],
            2.0,
        ),
    ],
)
def test_scrapes_that_follow_queries_are_no_rarer_than_periodic_ones(args, problems, seconds):
    settings, parsed = read_settings(args, {})
    assert parsed.problems == problems
    assert settings.min_scrape_interval == seconds


def test_prefetch_through_the_api_server_is_off_and_noted_where_it_was_asked_for():
    proxied = "--kubelet-transport=apiserver-proxy"
    assert read_settings(["--prefetch"], {})[0].prefetches
    assert read_settings(["--prefetch"], {})[1].notes == []
    for given, environ in ((["--prefetch"], {}), ([], {"METRICSAPI_PREFETCH": "true"})):
        settings, parsed = read_settings([proxied, *given], environ)
        assert not settings.prefetches
        (note,) = parsed.notes
        assert note.startswith(f"--prefetch has no effect with {proxied}")
    for given in ([], ["--prefetch=false"]):
        settings, parsed = read_settings([proxied, *given], {})
        assert not settings.prefetches
        assert parsed.notes == []
