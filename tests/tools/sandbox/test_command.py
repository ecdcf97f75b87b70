"""`metricsapi sandbox` as a command: what it says where it cannot start."""

import subprocess
import sys

import pytest

from metricsapi.tools.sandbox.arguments import arguments
from metricsapi.tools.sandbox.host import host_name
from metricsapi.tools.sandbox.main import main

WITHOUT_PSUTIL = """
import sys
sys.modules["psutil"] = None
from metricsapi.cli import main
sys.exit(main(["sandbox", "--once"]))
"""


def test_without_psutil_it_says_in_a_line_how_to_get_it():
    command = [sys.executable, "-c", WITHOUT_PSUTIL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("metricsapi: the sandbox needs psutil: pip install ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--port=99999"], "--port: '99999' is no number from 0 to 65535"),
        (["--port=-1"], "--port: '-1' is no number"),
        (["--nodes=many"], "--nodes: 'many' is no number from 0 to 20000"),
        (["--nodes=" + "9" * 5000], "is no number from 0 to 20000"),
        (["--nodes=٣"], "is no number from 0 to 20000"),
        (["--pods=-1"], "--pods: '-1' is no number from 0 to 1000"),
        (["--containers=0"], "--containers: '0' is no number from 1 to 100"),
        (["--namespaces=0"], "--namespaces: '0' is no number from 1"),
        (["--swap-every=-2"], "--swap-every: '-2' is no number"),
        (["--workloads=1,,2"], "'1,,2' is no list of numbers of pods"),
        (["--no-host"], "--no-host leaves no node: give some with --nodes=NUMBER"),
        (["--nodes=1", "--fault=node-0=tired"], "one of none, slow, hang, "),
        (["--nodes=1", "--fault=hang"], "is not NODE=FAULT"),
        (["--nodes=3", "--fault=node-3=hang"], "no node 'node-3', only node-0 to node-2 and "),
        (["--fault=node-0=hang"], f"no node 'node-0', only {host_name()}"),
        (["--nodes=2", "--no-host", f"--fault={host_name()}=hang"], "only node-0 to node-1\n"),
        (["--manifests=/nowhere"], "No such file or directory: '/nowhere'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_with_what_there_is(args, message, capsys):
    with pytest.raises(SystemExit) as end:
        arguments(args)
    assert end.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("metricsapi sandbox: ")
    assert message in f"{first}\n"
    assert second == "metricsapi sandbox: 'metricsapi sandbox --help' lists the arguments"


@pytest.mark.parametrize("directory", ["/dev/null/x", "/proc/x"])
def test_a_folder_that_cannot_be_written_is_reported_in_a_line(directory, capsys):
    assert main([f"--state-dir={directory}"]) == 1
    assert capsys.readouterr().err.startswith(f"metricsapi sandbox: --state-dir={directory}: ")
