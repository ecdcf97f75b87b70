"""What follows from several settings."""

from pathlib import Path

import pytest

from metricsapi.config.kubelet import KubeletSettings
from metricsapi.config.read import read_settings
from metricsapi.config.serving import ServingSettings
from metricsapi.config.settings import Settings, StorageSettings


def test_plain_http_has_the_kubelets_read_only_port_unless_one_is_named():
    assert KubeletSettings().default_port == 10250
    assert KubeletSettings(plain_http=True).default_port == 10255
    assert KubeletSettings(plain_http=True, port=1234).default_port == 1234


def test_max_age_is_the_larger_of_three_periods_and_a_minute():
    assert Settings().max_age == 60.0
    assert Settings(kubelet=KubeletSettings(resolution=30.0)).max_age == 90.0
    assert Settings(storage=StorageSettings(max_age=20.0)).max_age == 20.0


@pytest.mark.parametrize(
    ("args", "address"),
    [
        ([], ":443"),
        (["--secure-port=4443"], ":4443"),
        (["--advertise-address=10.0.0.1"], "10.0.0.1:443"),
        (["--advertise-address=fd00::1"], "[fd00::1]:443"),
        (["--external-hostname=metrics", "--advertise-address=10.0.0.1"], "metrics:443"),
        (["--external-hostname=metrics:8443"], "metrics:8443"),
        (["--external-hostname=[fd00::1]:8443"], "[fd00::1]:8443"),
        (["--external-hostname=[fd00::1]"], "[fd00::1]:443"),
    ],
)
def test_where_discovery_says_that_the_server_is(args, address):
    settings, parsed = read_settings(args, {})
    assert parsed.problems == []
    assert settings.discovery_address == address


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/state/metricsapi/certificates"),
        ({"HOME": "/home/me", "XDG_STATE_HOME": "/state"}, "/state/metricsapi/certificates"),
        ({"HOME": "/root", "XDG_STATE_HOME": "here"}, "/root/.local/state/metricsapi/certificates"),
        ({"HOME": "", "XDG_STATE_HOME": ""}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "apiserver.local.config/certificates"),
    ],
)
def test_outside_a_pod_no_key_lands_in_the_working_directory(environ, directory):
    expected = None if directory is None else Path(directory)
    assert ServingSettings().certificate_directory(environ) == expected
    given = ServingSettings(cert_dir=Path("here"))
    assert given.certificate_directory(environ) == Path("here")
