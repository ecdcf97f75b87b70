"""YAML as Kubernetes writes it: keys sorted, ambiguous strings in double quotes."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

# What go-yaml takes for a number, a time or a bool and PyYAML does not, and the reverse.
_AMBIGUOUS = re.compile(
    r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?0[xob][\da-fA-F_]+|\d+(:\d+)+|"
    r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|\d{4}-\d{1,2}-\d{1,2}.*|"
    r"[yYnN~]|(yes|no|on|off|true|false|null)",
    re.IGNORECASE,
)


def _string(dumper: Any, text: str) -> Any:
    style = '"' if not text or _AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


@cache
def _dumper() -> Any:
    """Return PyYAML, and its dumper with Go's quotes."""
    import yaml  # noqa: PLC0415  a megabyte, and nearly nobody asks for YAML

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        pass

    Dumper.add_representer(str, _string)
    return yaml, Dumper


def yaml_text(value: Any) -> bytes:
    """Return a value made of dicts, lists, strings, numbers and None as YAML."""
    yaml, dumper = _dumper()
    text = yaml.dump(
        value, Dumper=dumper, default_flow_style=False, allow_unicode=True, width=2**31 - 1
    )
    return str(text).encode()
