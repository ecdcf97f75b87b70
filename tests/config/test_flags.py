"""Flags: Go's syntax, metrics-server's names, and all mistakes at once."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.config.durations import format_duration, is_duration, parse_duration
from metricsapi.config.flags import BOOL, DURATION, INT, Group, flags_of, values_of
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.kubelet import KubeletSettings
from metricsapi.config.read import help_text, read_settings
from metricsapi.config.settings import Settings, StorageSettings
from metricsapi.config.validation import problems
from metricsapi.server.run import _address

# args of the Deployment in metrics-server's own manifests
REFERENCE_ARGS = [
    "--cert-dir=/tmp",
    "--secure-port=10250",
    "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
    "--kubelet-use-node-status-port",
    "--metric-resolution=15s",
]


def test_the_reference_deployments_args_carry_over_unchanged():
    settings, parsed = read_settings(REFERENCE_ARGS, {})
    assert parsed.problems == []
    assert parsed.notes == []
    assert settings.serving.port == 10250
    assert settings.kubelet.address_types == ("InternalIP", "ExternalIP", "Hostname")
    assert settings.kubelet.use_node_status_port is True
    assert settings.kubelet.resolution == 15.0


@pytest.mark.parametrize(
    ("args", "flag", "value"),
    [
        (["--kubelet-insecure-tls"], "kubelet-insecure-tls", True),
        (["--kubelet-insecure-tls=false"], "kubelet-insecure-tls", False),
        (["--kubelet-insecure-tls=T"], "kubelet-insecure-tls", True),
        (["--metric-resolution", "1m30s"], "metric-resolution", 90.0),
        (["--metric-resolution=1500ms"], "metric-resolution", 1.5),
        (["-v=2"], "v", 2),
        (["-v", "3"], "v", 3),
        (["-v4"], "v", 4),
        (["--v=5"], "v", 5),
        (["-l", "a=b,c!=d"], "node-selector", "a=b,c!=d"),
        (["-la=b"], "node-selector", "a=b"),
        (["--kubelet-port=1", "--kubelet-port=2"], "kubelet-port", 2),
        (
            ["--requestheader-allowed-names=a", "--requestheader-allowed-names=b,c"],
            "requestheader-allowed-names",
            ("a", "b", "c"),
        ),
        (["--requestheader-group-headers="], "requestheader-group-headers", ()),
    ],
)
def test_go_syntax(args, flag, value):
    settings, parsed = read_settings(args, {})
    assert parsed.problems == []
    assert values_of(settings)[flag] == value


def test_a_bare_boolean_does_not_take_the_next_word():
    _, parsed = read_settings(["--kubelet-insecure-tls", "false"], {})
    assert parsed.problems == ["unexpected argument 'false': flags begin with --"]


def test_all_mistakes_are_reported_together_with_the_nearest_name():
    args = [
        "--metric-resoltion=15s",
        "--secure-port=many",
        "--kubelet-client-key=/no/such/key",
        "--kubelet-transport=apiserver-prxy",
        "--kubelet-request-timeout=0",
        "--bind-address=localhost",
        "stray",
        "--kubeconfig",
    ]
    _, parsed = read_settings(args, {"METRICSAPI_V": "high"})
    text = "\n".join(parsed.problems)
    assert len(parsed.problems) == 10
    assert "unknown flag: --metric-resoltion (did you mean --metric-resolution?)" in text
    assert "invalid value 'many' for --secure-port: must be a whole number" in text
    assert "did you mean 'apiserver-proxy'?" in text
    assert "need both --kubelet-client-key and --kubelet-client-certificate" in text
    assert "--kubelet-client-key: no such file: /no/such/key" in text
    assert "--kubelet-request-timeout must be 1ms or more, not 0s" in text
    assert "--bind-address: 'localhost' is not an IP address" in text
    assert "unexpected argument 'stray'" in text
    assert "flag needs an argument: --kubeconfig" in text
    assert "invalid value 'high' for environment variable METRICSAPI_V" in text


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


def test_flags_without_effect_say_so_once():
    args = ["--profiling=false", "--audit-log-path", "-", "--profiling"]
    _, parsed = read_settings(args, {})
    assert parsed.problems == []
    assert [note.split()[0] for note in parsed.notes] == ["--profiling", "--audit-log-path"]


def test_every_flag_of_the_reference_is_known(recorded_flags):
    assert len(recorded_flags) > 95
    assert recorded_flags - set(flags_of(Settings)) - set(IGNORED) == set()
    assert not set(flags_of(Settings)) & set(IGNORED)


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


def test_every_default_is_valid_and_reads_back_from_its_text():
    assert problems(Settings()) == []
    for flag in flags_of(Settings).values():
        text = flag.kind.format(flag.default)
        assert text == "" or flag.parse(text) == flag.default


def test_two_declarations_of_one_name_are_refused():
    group = Group("Any")

    @dataclass(frozen=True)
    class Twice:
        first: int = group.integer("number", 1, "The first.")
        second: int = group.integer("number", 2, "The second.")

    with pytest.raises(ValueError, match="two declarations of --number"):
        flags_of(Twice)


def test_plain_http_has_the_kubelets_read_only_port_unless_one_is_named():
    assert KubeletSettings().default_port == 10250
    assert KubeletSettings(plain_http=True).default_port == 10255
    assert KubeletSettings(plain_http=True, port=1234).default_port == 1234


def test_the_environment_is_a_second_source():
    environ = {"METRICSAPI_METRIC_RESOLUTION": "20s", "METRICSAPI_KUBELET_PORT": "1", "HOME": "/"}
    settings, parsed = read_settings(["--kubelet-port=2"], environ)
    assert parsed.problems == []
    assert (settings.kubelet.resolution, settings.kubelet.port) == (20.0, 2)


def test_service_links_are_no_settings_and_a_misspelt_variable_is_noted():
    environ = {
        "METRICSAPI_SERVICE_HOST": "10.0.0.1",
        "METRICSAPI_PORT": "tcp://10.0.0.1:443",
        "METRICSAPI_PORT_443_TCP_ADDR": "10.0.0.1",
        "METRICSAPI_KUBELET_PRT": "1",
    }
    _, parsed = read_settings([], environ)
    assert parsed.problems == []
    assert parsed.notes == [
        "environment variable METRICSAPI_KUBELET_PRT: no such flag (did you mean --kubelet-port?)"
    ]


def test_timeouts_need_not_be_smaller_than_the_resolution():
    _, parsed = read_settings(["--metric-resolution=1s", "--kubelet-request-timeout=10s"], {})
    assert parsed.problems == []
    assert "below the kubelet's own period" in parsed.notes[0]
    _, parsed = read_settings(["--metric-resolution=999ms"], {})
    assert parsed.problems == ["--metric-resolution must be 1s or more, not 999ms"]


def test_max_age_is_the_larger_of_three_periods_and_a_minute():
    assert Settings().max_age == 60.0
    assert Settings(kubelet=KubeletSettings(resolution=30.0)).max_age == 90.0
    assert Settings(storage=StorageSettings(max_age=20.0)).max_age == 20.0


def test_help_names_every_flag_in_the_groups_of_the_reference():
    text = help_text("metricsapi serve")
    groups = re.findall(r"^(.*) flags:$", text, re.MULTILINE)
    assert groups[:6] == [
        "Metrics server",
        "Generic",
        "Kubelet client",
        "Apiserver secure serving",
        "Apiserver authentication",
        "Apiserver authorization",
    ]
    for name in flags_of(Settings):
        assert f"--{name} " in text or f"--{name}\n" in text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_durations_read_back(micros):
    assert parse_duration(format_duration(micros / 1e6)) == pytest.approx(micros / 1e6, abs=1e-6)


@pytest.mark.parametrize("text", ["", "15", "s", "1m 30s", "1d", "--1s", "\u0661s", "1s;", "nan"])
def test_what_is_no_duration_is_refused_with_what_it_must_be(text):
    with pytest.raises(ValueError, match="must be a duration with its unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["00s" * 2000 + "x", "0" * 8000, "11s" * 20 + "x", "1.1h" * 99])
def test_a_duration_that_is_long_or_could_be_read_in_many_ways_is_refused_at_once(text):
    """Requests say durations before anyone has looked who asks: `?timeout=`."""
    assert not is_duration(text)


@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_flags(text):
    _, parsed = read_settings([f"--metric-resolution={text}", f"--{text}", f"-{text}"], {})
    assert parsed.problems


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


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_has_no_effect_here_says_why(name):
    value = [] if IGNORED[name].kind is BOOL else ["some,thing"]
    _, parsed = read_settings([f"--{name}", *value], {})
    assert parsed.problems == []
    assert parsed.notes == [f"--{name} has no effect here: {IGNORED[name].why}"]


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
    ("args", "address"),
    [
        ([], ":443"),
        (["--secure-port=4443"], ":4443"),
        (["--advertise-address=10.0.0.1"], "10.0.0.1:443"),
        (["--advertise-address=fd00::1"], "[fd00::1]:443"),
        (["--external-hostname=metrics", "--advertise-address=10.0.0.1"], "metrics:443"),
        (["--external-hostname=metrics:8443"], "metrics:8443"),
        (["--external-hostname=[fd00::1]:8443"], "[fd00::1]:8443"),
        (["--external-hostname=[fd00::1]"], "[fd00::1]:443"),
    ],
)
def test_where_discovery_says_that_the_server_is(args, address):
    settings, parsed = read_settings(args, {})
    assert parsed.problems == []
    assert _address(settings) == address
