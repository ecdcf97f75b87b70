"""A server from its start to Ctrl-C, which ends everything: no process and no port stays."""

import signal
import socket
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from tests.e2e.conftest import Sandbox
from tests.support.conditions import until

# A process that was started with nohup goes on when the terminal closes, and so do its children.
NOHUP = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
WITH_TERMINAL = pytest.mark.skipif(NOHUP, reason="SIGHUP is ignored here, as under nohup")


@pytest.mark.parametrize(
    "sig", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=WITH_TERMINAL)]
)
def test_a_signal_ends_the_sandbox_and_all_that_it_started(tmp_path, sig):
    running = Sandbox(tmp_path, "--nodes=1", "--pods=1", "--port=0")
    try:
        running.wait_ready()
        with open(running.kubeconfig) as file:  # noqa: PTH123
            server = urlsplit(yaml.safe_load(file)["clusters"][0]["cluster"]["server"])
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert children, "the server is a process of its own"
    finally:
        code = running.stop(sig)
    assert code == 0, running.text()
    assert not [child for child in children if child.is_running()]
    with socket.socket() as probe:
        assert probe.connect_ex((server.hostname, server.port)) != 0
    assert "Traceback" not in running.text()
    assert tmp_path.exists(), "the state directory named by the user is left in place"


async def test_a_sandbox_that_is_killed_leaves_no_process_and_its_folder_to_the_next(tmp_path):
    running = Sandbox(tmp_path, "--nodes=1", "--pods=1", "--port=0", "--no-host")
    try:
        running.wait_ready()
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert len(children) >= 3, "kubelets, server and status page are processes of their own"
        second = Sandbox(tmp_path / "output-of-second", f"--state-dir={tmp_path}", "--nodes=1")
        assert second.process.wait(20) == 1
        assert f"another sandbox uses {tmp_path}" in second.text()
        assert second.text().count("\n") == 2, second.text()
    finally:
        running.stop(signal.SIGKILL)
    await until(lambda: not [child for child in children if child.is_running()])
    third = Sandbox(tmp_path, "--nodes=1", "--pods=1", "--no-host", "--once", "--port=0")
    assert third.process.wait(60) == 0, third.text()


async def test_the_log_says_that_the_server_is_ready_and_hides_nothing_about_its_nodes(sandbox):
    log = sandbox.directory / "server.log"
    await until(lambda: '"ready" ' in log.read_text())
    assert '"ready" remarks=[]' in log.read_text()
