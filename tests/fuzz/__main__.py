"""`make fuzz`: each target in a process of its own; what it finds stays in `findings/` as a test.

See `worker` for how inputs are chosen.
"""

import argparse
import subprocess
import sys

from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import FINDINGS


def main():
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--target", choices=names, action="append", help="default: each")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each target")
    given = parser.parse_args()
    failing = []
    for name in given.target or names:
        print(f"== {name}, {given.seconds:g} s", flush=True)
        command = [sys.executable, "-m", "tests.fuzz.worker", name, str(given.seconds)]
        if subprocess.run(command, check=False).returncode:
            failing.append(name)
    if failing:
        print(f"FAILED: {', '.join(failing)}: see {FINDINGS}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
