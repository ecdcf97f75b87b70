"""Kubeconfigs and service accounts, and the errors of broken ones."""

import base64
import ssl
import tempfile
import time

import pytest
import yaml

from metricsapi.kube import credentials
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.key_pair import KeyPair, load_key_pair
from metricsapi.server.tls.issue import make_serving


def kubeconfig(tmp_path, *, cluster=None, user=None, **top):
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://127.0.0.1:6443", **(cluster or {})}}
        ],
        "users": [{"name": "u", "user": user or {}}],
        **top,
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_a_token_and_the_server_come_from_the_current_context(tmp_path):
    loaded = load_credentials(kubeconfig(tmp_path, user={"token": "abc"}))
    assert loaded.server == "https://127.0.0.1:6443"
    assert loaded.identity.token() == "abc"
    assert loaded.tls.context().verify_mode is ssl.CERT_REQUIRED


def test_strict_mode_that_refuses_cluster_authorities_is_off(tmp_path):
    flags = load_credentials(kubeconfig(tmp_path)).tls.context().verify_flags
    assert not flags & ssl.VERIFY_X509_STRICT
    assert flags & ssl.VERIFY_X509_PARTIAL_CHAIN


def test_a_token_file_is_read_relative_to_the_kubeconfig_and_again_when_forgotten(tmp_path):
    (tmp_path / "token").write_text("first\n")
    identity = load_credentials(kubeconfig(tmp_path, user={"tokenFile": "token"})).identity
    assert identity.token() == "first"
    (tmp_path / "token").write_text("second\n")
    assert identity.token() == "first"
    identity.rejected()
    assert identity.token() == "second"
    (tmp_path / "token").unlink()
    identity.rejected()
    assert identity.token() == "second", "a file that is being replaced does not lose the token"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": {"current-context": "there"}}, "no context named 'there'"),
        ({"top": {"users": []}}, "no user named 'u'"),
        ({"top": {"clusters": None}}, "no cluster named 'c'"),
        ({"cluster": {"server": "http://127.0.0.1"}}, "must be an https:// URL"),
        ({"cluster": {"certificate-authority-data": "%%"}}, "is not base64"),
        (
            {"cluster": {"certificate-authority-data": base64.b64encode(b"x").decode()}},
            "no usable PEM certificate",
        ),
        ({"user": {"client-certificate": "gone.pem"}}, "cannot read client-certificate gone.pem"),
    ],
)
def test_a_broken_kubeconfig_is_named_with_its_fault(tmp_path, change, message):
    top = change.pop("top", {})
    path = kubeconfig(tmp_path, **change, **top)
    with pytest.raises(CredentialsError, match=message) as caught:
        load_credentials(path)
    assert path in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path, text):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(CredentialsError, match=str(path)):
        load_credentials(str(path))


def test_outside_a_pod_the_message_names_the_flag(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(CredentialsError, match="--kubeconfig"):
        load_credentials(None)


def test_in_a_pod_a_missing_service_account_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    with pytest.raises(CredentialsError, match="automountServiceAccountToken"):
        load_credentials(None)


def test_a_client_certificate_needs_no_folder_to_write_to(tmp_path, monkeypatch):
    """A read-only container without a /tmp starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    made = make_serving(["client"], (), now=time.time(), lifetime=3600.0)
    context = ssl.create_default_context()
    load_key_pair(context, made)
    with pytest.raises(ssl.SSLError):
        load_key_pair(context, KeyPair(made.certificate, b"no key"))
