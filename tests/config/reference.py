"""The reference's flags, from its --help, or from the facts of it in data/."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# The list that a test holds ours against: facts of metrics-server's --help (groups, names, types,
# defaults). Another version's docs/command-line-flags.txt, or what its --help prints, does too:
#     METRICS_SERVER_FLAGS=FILE make test ARGS=tests/config/test_reference.py
DATA = Path(__file__).parent / "data" / "metrics-server-0.9-flags.txt"
_FLAG = re.compile(r" +(?:-(?P<short>\w), )?--(?P<name>[a-z0-9-]+)(?: (?P<type>[^ ]+))?(?: {2,}|$)")
_DEFAULT = re.compile(r"\(default \[?\"?(.*?)\"?\]?\)\s*$")


@dataclass(frozen=True)
class ReferenceFlag:
    """`type` is Go's name, empty for a switch; `default` is empty where --help shows none."""

    name: str
    type: str
    default: str
    short: str


def reference_flags(path=None):
    """Return the flags by name: of `path`, else of $METRICS_SERVER_FLAGS, else of DATA."""
    text = Path(path or os.environ.get("METRICS_SERVER_FLAGS") or DATA).read_text()
    flags = {}
    for line in text.splitlines():
        if match := _FLAG.match(line):
            default = _DEFAULT.search(line)
            flags[match["name"]] = ReferenceFlag(
                match["name"],
                match["type"] or "",
                default[1] if default else "",
                match["short"] or "",
            )
    return flags
