"""Flags of the leader election that cannot work together are refused; client-go's rules."""

import pytest

from metricsapi.config.read import read_settings

POD = ("--leader-elect", "--advertise-address=10.0.0.1", "--manage-ca-bundle")


def durations(lease, renew, retry):
    return (
        f"--leader-elect-lease-duration={lease}",
        f"--leader-elect-renew-deadline={renew}",
        f"--leader-elect-retry-period={retry}",
    )


@pytest.mark.parametrize("values", [("15s", "10s", "2s"), ("1s", "500ms", "100ms")])
def test_durations_that_leave_time_for_a_second_attempt_are_taken(values):
    assert read_settings([*POD, *durations(*values)], {})[1].problems == []


@pytest.mark.parametrize(
    ("values", "longer", "shorter"),
    [
        (("10s", "10s", "2s"), "lease-duration=10s", "renew-deadline=10s"),
        (("15s", "20s", "2s"), "lease-duration=15s", "renew-deadline=20s"),
        (("15s", "10s", "10s"), "renew-deadline=10s", "retry-period=10s"),
        (("15s", "12s", "10s"), "renew-deadline=12s", "retry-period=10s"),
    ],
)
def test_durations_that_cannot_work_together_are_refused(values, longer, shorter):
    (problem,) = read_settings([*POD, *durations(*values)], {})[1].problems
    assert problem == f"--leader-elect-{longer} must be longer than --leader-elect-{shorter}"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "fe80::1%eth0"])
def test_an_address_at_which_no_other_replica_can_connect_is_refused(address):
    args = ["--leader-elect", "--manage-ca-bundle", f"--advertise-address={address}"]
    (problem,) = read_settings(args, {})[1].problems
    assert f"cannot reach --advertise-address={address}" in problem
    assert read_settings(args[1:], {})[1].problems == []


@pytest.mark.parametrize("address", ["", "$(POD_IP)", "metrics-server.kube-system.svc"])
def test_an_address_that_is_none_is_one_problem(address):
    args = ["--leader-elect", "--manage-ca-bundle", f"--advertise-address={address}"]
    (problem,) = read_settings(args, {})[1].problems
    assert "--advertise-address" in problem


@pytest.mark.parametrize(
    ("flag", "wrong"),
    [
        ("name", ["", "Metrics", "a/b", "..", "a" * 254]),
        ("namespace", ["", "../x", "a.b", "a" * 64]),
    ],
)
def test_a_lease_that_no_api_server_can_have_is_refused(flag, wrong):
    for value in wrong:
        (problem,) = read_settings([*POD, f"--leader-elect-resource-{flag}={value}"], {})[
            1
        ].problems
        assert f"--leader-elect-resource-{flag}: {value!r}" in problem
