"""`metricsapi sandbox` as a command: what it says where it cannot start."""

import subprocess
import sys

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
