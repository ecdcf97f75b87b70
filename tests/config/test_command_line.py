"""Go's syntax of flags, the environment beside it, and all mistakes at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.config.flags import BOOL, values_of
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.read import read_settings


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


def test_two_dashes_end_the_flags():
    assert read_settings(["--v=2", "--"], {})[1].problems == []
    _, parsed = read_settings(["--", "--v=2"], {})
    assert parsed.problems == ["unexpected argument '--v=2': flags begin with --"]


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


def test_flags_without_effect_say_so_once():
    args = ["--profiling=false", "--audit-log-path", "-", "--profiling"]
    _, parsed = read_settings(args, {})
    assert parsed.problems == []
    assert [note.split()[0] for note in parsed.notes] == ["--profiling", "--audit-log-path"]


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


@given(st.text(max_size=12))
def test_no_text_breaks_the_reading_of_flags(text):
    _, parsed = read_settings([f"--metric-resolution={text}", f"--{text}", f"-{text}"], {})
    assert parsed.problems


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_has_no_effect_here_says_why(name):
    value = [] if IGNORED[name].kind is BOOL else ["some,thing"]
    _, parsed = read_settings([f"--{name}", *value], {})
    assert parsed.problems == []
    assert parsed.notes == [f"--{name} has no effect here: {IGNORED[name].why}"]
