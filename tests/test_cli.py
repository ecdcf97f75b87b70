"""The command line: whatever it gets, an error is lines that name the thing, no traceback."""

import logging
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricsapi.cli import main
from metricsapi.config.flags import flags_of
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.settings import Settings
from metricsapi.tools.doctor.main import DoctorSettings
from metricsapi.tools.statusz import StatuszSettings

COMMANDS = {
    "serve": [*flags_of(Settings), *IGNORED],
    "doctor": [*flags_of(DoctorSettings), *IGNORED],
    "statusz": list(flags_of(StatuszSettings)),
}
# What the kernel passes on: no NUL; bytes that are not UTF-8 are surrogates.
TEXT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    st.binary(max_size=40).map(lambda data: os.fsdecode(data.replace(b"\0", b""))),
)
VALUES = st.one_of(
    TEXT,
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "-", "0", "-1", "true", "1e9", "9" * 30, "1s", "1h1", "\u0661s", "a,b", ",", ":", "::",
         "/", ".", "/dev/null", "/dev/stdin", "/etc", "/proc/self/mem", "a" * 300, "a/" * 3000,
         "127.0.0.1:99999", "[::1", "https://x", "%", "x:y:z", "\udcff\udcfe"]
    ),
)  # fmt: skip


def arguments(names):
    name = st.one_of(st.sampled_from(names), TEXT)
    return st.lists(
        st.one_of(
            st.builds("--{}={}".format, name, VALUES),
            st.builds("--{}".format, name),
            st.builds("-{}{}".format, st.sampled_from("vlhx"), VALUES),
            VALUES,
        ),
        min_size=1,
        max_size=4,
    )


@pytest.fixture(autouse=True)
def logs_of_other_tests():
    """`serve` sends the logs of the process to its standard error, which here is one test's."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No cluster to be reached, so that what is well-formed fails, too."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "current-context: here\n"
        "contexts: [{name: here, context: {cluster: here, user: me}}]\n"
        "clusters: [{name: here, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: me, user: {token: none}}]\n"
    )
    for name in [name for name in os.environ if name.startswith(("KUBE", "METRICSAPI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return kubeconfig


@pytest.mark.parametrize("command", COMMANDS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_arguments_end_with_lines_and_a_status(command, data, capsys, nowhere):
    args = data.draw(arguments(COMMANDS[command]))
    with pytest.MonkeyPatch.context() as patch:
        if command != "serve":  # so that what is well-formed goes on to the API server
            patch.setenv("KUBECONFIG", str(nowhere))
            patch.setenv("PATH", "/nowhere")  # without kubectl
        status = main([command, *args])
    out, error = capsys.readouterr()
    assert status in (0, 1, 2)
    assert "Traceback" not in out + error
    if status == 2:
        assert error.strip()
        assert all(line.startswith("metricsapi") for line in error.splitlines()), error
    assert out or error


@pytest.mark.parametrize("command", ["serve", "doctor"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(COMMANDS["serve"]), VALUES, max_size=3))
def test_any_environment_ends_with_lines_and_a_status(command, values, capsys, nowhere):
    names = {f"METRICSAPI_{name.upper().replace('-', '_')}": text for name, text in values.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, text in names.items():
            patch.setenv(name, text)
        status = main([command, "--kubeconfig=/nowhere"])
    out, error = capsys.readouterr()
    assert status in (1, 2)
    assert "Traceback" not in out + error
    assert "no such file: /nowhere" in out + error


CONTENTS = {
    "a folder": None,
    "empty": b"",
    "garbage": b"\x00\x01\x02" * 99,
    "not UTF-8": b"apiVersion: v1\n# caf\xe9 \xff\xfe\n",
    "half PEM": b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    "YAML of another kind": b"- 1\n- [2, {3: 4}]\n",
    "a deep YAML": b"[" * 600,
    "a YAML that names itself": b"&a [*a]\n",
    "a tag": b"!!python/object/apply:os.system ['true']\n",
}
FILES = sorted(name for name, flag in flags_of(Settings).items() if flag.kind.must_exist)


def as_file(directory, content):
    path = directory / "file"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_named(name, content, tmp_path, capsys, nowhere):
    """Each ends the start, but for a kubeconfig that is not needed yet."""
    path = as_file(tmp_path, CONTENTS[content])
    args = [f"--{name}={path}", f"--cert-dir={tmp_path}/certificates", "--secure-port=0"]
    if name != "kubeconfig":
        args.append(f"--kubeconfig={nowhere}")
    others = {
        "tls-cert-file": "tls-private-key-file",
        "tls-private-key-file": "tls-cert-file",
        "kubelet-client-certificate": "kubelet-client-key",
        "kubelet-client-key": "kubelet-client-certificate",
    }
    if name in others:
        args.append(f"--{others[name]}={path}")
    status = main(["serve", *args])
    _, error = capsys.readouterr()
    assert status in (1, 2)
    assert str(path) in error
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("metricsapi: ")]
    assert lines


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert main(["serve", f"--client-ca-file={pipe}"]) == 2
    assert f"--client-ca-file: {pipe} is a pipe or a device" in capsys.readouterr().err


def test_a_file_that_may_not_be_read_is_named_with_the_reason(tmp_path, capsys, monkeypatch):
    path = tmp_path / "file"
    path.write_text("x")

    def refuse(opened, *args, real=os.open, **options):
        if opened == path:
            raise PermissionError(13, "Permission denied", str(opened))
        return real(opened, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert main(["serve", f"--kubeconfig={path}"]) == 2
    assert f"--kubeconfig: cannot read {path}: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ([], 2, "Usage: metricsapi COMMAND"),
        (["--help"], 0, "Usage: metricsapi COMMAND"),
        (["serv"], 2, "unknown command 'serv' (did you mean 'serve'?)"),
        (["\udcff"], 2, "unknown command"),
        (["version", "now"], 2, "version takes no arguments"),
        (["serve", "--help"], 0, "--metric-resolution duration"),
        (["serve", "--no-such"], 2, "unknown flag: --no-such"),
        (["doctor", "--kubeconfig=/nowhere"], 2, "--kubeconfig: no such file: /nowhere"),
        (["statusz", "--port=99999"], 2, "--port must be 0 or more and 65535 at most"),
        (["statusz", "--kubeconfig=/etc"], 2, "--kubeconfig: /etc is a folder, not a file"),
    ],
)
def test_the_process_says_it_in_lines(args, status, message):
    """As it is run: bytes that are not UTF-8 reach standard error without a traceback."""
    run = subprocess.run(
        [sys.executable, "-m", "metricsapi", *args], capture_output=True, timeout=60, check=False
    )
    assert run.returncode == status
    text = (run.stdout + run.stderr).decode("utf-8", "replace")
    assert message in text
    assert "Traceback" not in text
