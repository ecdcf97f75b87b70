"""Flags of metrics-server: known, of the same type, with the same default."""

import pytest

from metricsapi.config.flags import BOOL, flags_of
from metricsapi.config.ignored_flags import IGNORED
from metricsapi.config.read import read_settings
from metricsapi.config.settings import Settings
from tests.config.reference import reference_flags

# args of the Deployment in metrics-server's own manifests
REFERENCE_ARGS = [
    "--cert-dir=/tmp",
    "--secure-port=10250",
    "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
    "--kubelet-use-node-status-port",
    "--metric-resolution=15s",
]


def test_the_reference_deployments_args_carry_over_unchanged():
    settings, parsed = read_settings(REFERENCE_ARGS, {})
    assert parsed.problems == []
    assert parsed.notes == []
    assert settings.serving.port == 10250
    assert settings.kubelet.address_types == ("InternalIP", "ExternalIP", "Hostname")
    assert settings.kubelet.use_node_status_port is True
    assert settings.kubelet.resolution == 15.0


REFERENCE = reference_flags()
# Go's types that say more than ours, which say it in `problems` or in `choices`.
TYPES = {"ip": "string", "Level": "int"}
# Ours, and why they differ.
DEFAULTS = {
    "metric-resolution": "15s",  # the reference's own manifests set it
    "cert-dir": "",  # outside a pod it is no folder below the working directory
    "tls-min-version": "VersionTLS12",  # the reference's, which its --help leaves out
    "permit-address-sharing": "true",  # what the reference does, whatever its flag says
}


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_a_flag_of_the_reference_is_known_with_its_type_and_default(name):
    theirs, flags = REFERENCE[name], flags_of(Settings)
    if name in IGNORED:
        assert name not in flags
        assert (IGNORED[name].kind is BOOL) == (theirs.type == "")
        return
    assert name in flags, f"metrics-server has --{name}: serve it, or say in IGNORED why not"
    ours = flags[name]
    assert ours.kind.name == TYPES.get(theirs.type, theirs.type)
    assert ours.short == theirs.short or name == "node-selector"  # its line has it in the help
    zero = {"int": ("", "0"), "duration": ("", "0s")}.get(ours.kind.name, ("",))
    shown = ours.kind.format(ours.default)
    assert shown == DEFAULTS.get(name, theirs.default) or (
        theirs.default == "" and shown in (*zero, "false") and name not in DEFAULTS
    )


def test_nothing_is_ignored_that_the_reference_does_not_have():
    assert len(REFERENCE) > 100
    assert set(IGNORED) <= set(REFERENCE)


def test_a_flag_that_the_reference_adds_is_noticed(tmp_path):
    newer = tmp_path / "help.txt"
    newer.write_text(
        "Usage:\n   [flags]\n\nGeneric flags:\n\n"
        "      --next-flag strings                  What it does. (default [a,b])\n"
        "      --secure-port int                    The port. (default 443)\n"
        "  -x, --next-switch                        Another --one-in-a-text.\n"
    )
    flags = reference_flags(newer)
    assert flags["next-flag"].default == "a,b"
    assert flags["next-switch"].short == "x"
    known = {*flags_of(Settings), *IGNORED}
    assert sorted(set(flags) - known) == ["next-flag", "next-switch"]
