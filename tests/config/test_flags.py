"""Declarations of flags."""

import re
from dataclasses import dataclass

import pytest

from metricsapi.config.flags import Group, flags_of
from metricsapi.config.read import flag_texts, help_text, read_settings
from metricsapi.config.settings import Settings
from metricsapi.config.validation import problems


def test_every_default_is_valid_and_reads_back_from_its_text():
    assert problems(Settings()) == []
    for flag in flags_of(Settings).values():
        text = flag.kind.format(flag.default)
        assert text == "" or flag.parse(text) == flag.default


def test_settings_read_back_from_what_flagz_shows(tmp_path):
    args = [
        "--metric-resolution=1m30s",
        "--resources=cpu,memory",
        "--kubelet-insecure-tls",
        "--tls-curve-preferences=24,29",
        f"--cert-dir={tmp_path}",
        "-l=a in (b,c),!d",
        "-v4",
    ]
    given, parsed = read_settings(args, {})
    assert parsed.problems == []
    for settings in (Settings(), given):
        shown = [f"--{name}={text}" for name, text in flag_texts(settings).items() if text]
        assert read_settings(shown, {})[0] == settings


def test_two_declarations_of_one_name_are_refused():
    group = Group("Any")

    @dataclass(frozen=True)
    class Twice:
        first: int = group.integer("number", 1, "The first.")
        second: int = group.integer("number", 2, "The second.")

    with pytest.raises(ValueError, match="two declarations of --number"):
        flags_of(Twice)


def test_help_names_every_flag_in_the_groups_of_the_reference():
    text = help_text("metricsapi serve")
    groups = re.findall(r"^(.*) flags:$", text, re.MULTILINE)
    assert groups[:6] == [
        "Metrics server",
        "Generic",
        "Kubelet client",
        "Apiserver secure serving",
        "Apiserver authentication",
        "Apiserver authorization",
    ]
    for name in flags_of(Settings):
        assert f"--{name} " in text or f"--{name}\n" in text
