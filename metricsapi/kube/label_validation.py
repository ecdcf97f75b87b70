"""Validates keys and values of labels, with the messages of Kubernetes' own validation."""

from __future__ import annotations

import re

_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_PART}(\.{_PART})*"
_CHARACTERS = (
    "consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_NAME_FAULT = (
    f"must {_CHARACTERS} (e.g. 'MyName',  or 'my.name',  or '123-abc', "
    f"regex used for validation is '{_NAME}')"
)
_VALUE_FAULT = (
    f"a valid label must be an empty string or {_CHARACTERS} "
    f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)
_PREFIX_FAULT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)


def key_faults(key: str) -> list[str]:
    """Return what is wrong with a label's key (`prefix/name` or `name`); empty if valid."""
    parts = key.split("/")
    if len(parts) > 2:
        with_prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_NAME_FAULT} {with_prefix}"]
    faults = []
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            faults.append("prefix part must be non-empty")
        else:
            if len(prefix) > 253:
                faults.append("prefix part must be no more than 253 characters")
            if not re.fullmatch(_SUBDOMAIN, prefix):
                faults.append(f"prefix part {_PREFIX_FAULT}")
    name = parts[-1]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name.encode("utf-8", "replace")) > 63:
        faults.append("name part must be no more than 63 characters")
    if not re.fullmatch(_NAME, name):
        faults.append(f"name part {_NAME_FAULT}")
    return faults


def value_faults(value: str) -> list[str]:
    """Return what is wrong with a label's value; empty if it is valid."""
    faults = []
    if len(value.encode("utf-8", "replace")) > 63:
        faults.append("must be no more than 63 characters")
    if not re.fullmatch(_VALUE, value):
        faults.append(_VALUE_FAULT)
    return faults
