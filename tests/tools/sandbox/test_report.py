"""The lines to copy run in any shell, as they are printed."""

import shlex
import subprocess
from pathlib import Path

from metricsapi.tools.sandbox.report import commands
from metricsapi.tools.sandbox.state import Cluster


def cluster():
    some = Cluster()
    some.apply("nodes", {"metadata": {"name": "node-0"}})
    some.apply("pods", {"metadata": {"name": "app-0", "namespace": "ns-0"}})
    return some


def printed(kubeconfig):
    return [line.strip() for line in commands(cluster(), kubeconfig, port=1234).splitlines()]


def test_a_folder_with_blanks_and_quotes_is_quoted():
    kubeconfig = Path("/home/me/it's mine/.state/kubeconfig")
    (line,) = [line for line in printed(kubeconfig) if line.startswith("export ")]
    done = subprocess.run(
        ["sh", "-c", f'{line}; printf %s "$KUBECONFIG"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == str(kubeconfig)


def test_the_status_page_needs_no_active_virtual_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = [line for line in printed(Path("/k")) if " statusz " in line]
    program = shlex.split(line)[0]
    assert Path(program).is_file()
    monkeypatch.setenv("PATH", str(Path(program).parent))
    assert "metricsapi statusz --connect=127.0.0.1:1234 --once" in printed(Path("/k"))
