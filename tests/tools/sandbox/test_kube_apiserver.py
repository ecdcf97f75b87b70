"""A folder for KUBEBUILDER_ASSETS that cannot be used is refused with the reason."""

import subprocess
import sys

import pytest


def start(assets, state, *flags):
    return subprocess.run(
        [
            *(sys.executable, "-m", "metricsapi", "sandbox", "--once", "--no-host", "--nodes=1"),
            f"--state-dir={state}",
            f"--kubebuilder-assets={assets}",
            *flags,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def assets(tmp_path):
    folder = tmp_path / "assets"
    folder.mkdir()
    return folder


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_binary_that_is_missing(assets, tmp_path):
    script(assets / "etcd", "exec sleep 60")
    done = start(assets, tmp_path / "state")
    assert done.returncode == 1
    assert f"{assets} has no executable kube-apiserver" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_binary_that_ends_is_quoted_and_the_other_is_ended(assets, tmp_path):
    script(assets / "etcd", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    waits = f"while [ ! -s {tmp_path}/pid ]; do sleep 0.01; done"
    script(assets / "kube-apiserver", f"{waits}; echo unknown flag: --frobnicate; exit 3")
    done = start(assets, tmp_path / "state")
    assert done.returncode == 1
    assert "kube-apiserver ended with exit status 3" in done.stderr
    assert "--frobnicate" in done.stderr
    pid = (tmp_path / "pid").read_text().strip()
    assert subprocess.run(["kill", "-0", pid], check=False, capture_output=True).returncode != 0


def test_a_port_that_another_process_took_meanwhile_is_replaced(assets, tmp_path):
    script(assets / "etcd", f"echo $$ >> {tmp_path}/pids; exec sleep 60")
    taken = "listen tcp 127.0.0.1:6443: bind: address already in use"
    script(
        assets / "kube-apiserver",
        f'echo "$@" | tr " " "\\n" | grep secure-port >> {tmp_path}/ports\n'
        f"if [ $(wc -l < {tmp_path}/ports) -lt 2 ]; then echo {taken}; exit 1; fi\n"
        "echo unknown flag: --frobnicate; exit 3",
    )
    done = start(assets, tmp_path / "state")
    assert "--frobnicate" in done.stderr
    assert len(set((tmp_path / "ports").read_text().splitlines())) == 2
    for pid in (tmp_path / "pids").read_text().split():
        assert subprocess.run(["kill", "-0", pid], check=False, capture_output=True).returncode


def test_a_port_asked_for_and_taken_meanwhile_is_named(assets, tmp_path):
    script(assets / "etcd", "exec sleep 60")
    script(assets / "kube-apiserver", "echo bind: address already in use; exit 1")
    done = start(assets, tmp_path / "state", "--port=16443")
    assert done.returncode == 1
    assert "cannot listen on port 16443: Address already in use" in done.stderr
