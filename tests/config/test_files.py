"""Files that flags name: all problems are reported together, before anything starts."""

import ssl
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives import serialization

from metricsapi.config.read import flag_texts, read_settings
from tests.support.pki import DAY, SERVER, Authority

AUTHORITY = Authority("ca")
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {token: none}}]
"""


def _version_5(der):
    """Return a certificate as PEM with a version that there is not."""
    at = der.find(bytes.fromhex("a003020102")) + 4
    changed = der[:at] + bytes([5]) + der[at + 1 :]
    return ssl.DER_cert_to_PEM_cert(changed).encode()


@pytest.fixture
def files(tmp_path):
    """A folder with a pair, the key of another one, an expired certificate, and what is neither."""
    good, other = (AUTHORITY.issue("server", usages=(SERVER,)) for _ in range(2))
    expired = AUTHORITY.issue("server", usages=(SERVER,), start=-2 * DAY, end=-DAY)
    future = AUTHORITY.issue("server", usages=(SERVER,), start=DAY, end=2 * DAY)
    for name, content in {
        "tls.crt": good.pem,
        "tls.key": good.key,
        "other.key": other.key,
        "expired.crt": expired.pem,
        "expired.key": expired.key,
        "future.crt": future.pem,
        "future.key": future.key,
        "both.pem": good.key + good.pem,
        "locked.key": good.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        ),
        "ca.crt": AUTHORITY.pem,
        "garbage": b"not PEM\n",
        "version5.crt": _version_5(good.der),
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


PAIRS = [
    ("--tls-cert-file", "--tls-private-key-file"),
    ("--kubelet-client-certificate", "--kubelet-client-key"),
]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        ("tls.crt", "tls.key", None),
        ("both.pem", "both.pem", None),
        ("expired.crt", "expired.key", None),
        ("tls.crt", "other.key", "{}/other.key is not the key of the certificate in {}/tls.crt"),
        ("garbage", "tls.key", "{}/garbage holds no usable PEM certificate"),
        (
            "version5.crt",
            "tls.key",
            (
                "{}/version5.crt holds no usable PEM certificate; "
                "certificate 1: 5 is not a valid X509 version"
            ),
        ),
        ("tls.crt", "garbage", "{}/garbage holds no usable PEM private key"),
        (
            "tls.crt",
            "locked.key",
            "{}/locked.key: the key is encrypted; a key without a password is needed",
        ),
    ],
)
def test_a_pair_that_cannot_be_used_is_named_with_its_flags(files, pair, certificate, key, problem):
    args = [f"{pair[0]}={files / certificate}", f"{pair[1]}={files / key}"]
    _, parsed = read_settings(args, {})
    expected = [] if problem is None else [f"{pair[0]} and {pair[1]}: {problem}"]
    assert parsed.problems == [text.replace("{}", str(files)) for text in expected]


def test_all_faults_of_files_are_reported_together(files):
    flags = ("client-ca-file", "requestheader-client-ca-file", "kubelet-certificate-authority")
    args = [f"--{name}={files / 'garbage'}" for name in flags]
    args += [f"--tls-cert-file={files / 'nowhere'}", f"--tls-private-key-file={files / 'tls.key'}"]
    _, parsed = read_settings(args, {})
    assert sorted(parsed.problems) == sorted(
        [f"--{name}: {files / 'garbage'} holds no usable PEM certificate" for name in flags]
        + [f"--tls-cert-file: no such file: {files / 'nowhere'}"]
    )


def test_an_authority_of_several_certificates_is_taken(files):
    (files / "bundle").write_bytes(b"# two\n" + AUTHORITY.pem + Authority("next").pem)
    _, parsed = read_settings([f"--client-ca-file={files / 'bundle'}"], {})
    assert parsed.problems == []


@pytest.mark.parametrize("pair", PAIRS)
def test_a_certificate_out_of_its_time_is_a_warning_with_the_date(files, pair):
    def notes(name):
        args = [f"{pair[0]}={files / name}.crt", f"{pair[1]}={files / name}.key"]
        return read_settings(args, {})[1].notes

    yesterday = time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAY))
    (expired,), (future,) = notes("expired"), notes("future")
    assert notes("tls") == []
    assert expired.startswith(f"{pair[0]} and {pair[1]}: the certificate in {files}/expired.crt")
    assert f"expired on {yesterday} at " in expired
    assert "is not valid before" in future


def test_an_unknown_cipher_suite_is_named_with_the_nearest():
    _, parsed = read_settings(["--tls-cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA265"], {})
    assert len(parsed.problems) == 1
    assert parsed.problems[0].endswith("(did you mean 'TLS_RSA_WITH_AES_128_GCM_SHA256'?)")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{}/tls.crt,{}/tls.key", None),
        (" {}/tls.crt , {}/tls.key : a.example, *.b ", None),
        ("{}/tls.crt,{}/other.key:a", "{}/other.key is not the key of the certificate in"),
        ("{}/nowhere,{}/tls.key", "--tls-sni-cert-key: no such file: {}/nowhere"),
        ("{}/garbage,{}/tls.key", "{}/garbage holds no usable PEM certificate"),
        ("{}/tls.crt", "for --tls-sni-cert-key: must be certfile,keyfile or certfile,keyfile:"),
        ("", "must be certfile,keyfile"),
        (",", "must be certfile,keyfile"),
        ("a,b,c", "must be certfile,keyfile"),
        ("a,b:", "has an empty name after the ':'"),
        ("a,b:x,,y", "has an empty name after the ':'"),
    ],
)
def test_values_for_certificates_by_name(files, value, problem):
    _, parsed = read_settings([f"--tls-sni-cert-key={value.replace('{}', str(files))}"], {})
    if problem is None:
        assert parsed.problems == []
    else:
        assert len(parsed.problems) == 1
        assert problem.replace("{}", str(files)) in parsed.problems[0]


def test_several_certificates_by_name_by_repetition_or_in_the_environment(files):
    one = f"{files}/tls.crt,{files}/tls.key"
    two = f"{files}/both.pem,{files}/both.pem:A.example,*.b"
    by_flags, _ = read_settings([f"--tls-sni-cert-key={one}", "--tls-sni-cert-key", two], {})
    environ = {"METRICSAPI_TLS_SNI_CERT_KEY": f"{one};{two}"}
    by_environment, parsed = read_settings([], environ)
    assert parsed.problems == []
    assert by_environment.serving == by_flags.serving
    assert [each.names for each in by_flags.serving.named_certificates] == [
        (),
        ("a.example", "*.b"),
    ]
    text = f"{one};{two.replace('A.example', 'a.example')}"
    assert flag_texts(by_flags)["tls-sni-cert-key"] == text


def test_certificates_by_name_are_warned_of_like_others(files):
    pair = f"{files}/expired.crt,{files}/expired.key"
    _, parsed = read_settings([f"--tls-sni-cert-key={pair}:10.0.0.1,a.example"], {})
    expired, address = parsed.notes
    assert expired.startswith(f"--tls-sni-cert-key: the certificate in {files}/expired.crt expired")
    assert address.startswith("--tls-sni-cert-key: 10.0.0.1: whoever connects to an IP address")


def test_every_fault_ends_the_start_with_lines_and_status_2_not_a_traceback(files):
    (files / "kubeconfig").write_text(KUBECONFIG)
    ended = _serve(
        files,
        f"--client-ca-file={files / 'garbage'}",
        f"--tls-cert-file={files / 'tls.crt'}",
        f"--tls-private-key-file={files / 'other.key'}",
        "--tls-cipher-suites=TLS_NONSENSE",
        "--secure-prt=1",
    )
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("metricsapi: ") for line in lines)


def _serve(files, *flags):
    return subprocess.run(
        [sys.executable, "-m", "metricsapi", "serve", f"--kubeconfig={files / 'kubeconfig'}",
         f"--cert-dir={files / 'own'}", "--bind-address=127.0.0.1", "--secure-port=0", *flags],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def _with_kubeconfig_by_pipe(*command):
    return subprocess.run(
        [sys.executable, "-m", "metricsapi", *command, "--kubeconfig=/dev/stdin"],
        input=KUBECONFIG, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", [("doctor",), ("statusz", "--once", "--connect=127.0.0.1:1")])
def test_a_kubeconfig_may_be_a_pipe_which_is_read_once(command):
    ended = _with_kubeconfig_by_pipe(*command)
    assert ended.returncode == 1
    assert "https://127.0.0.1:1: " in ended.stdout + ended.stderr
    assert "/dev/stdin" not in ended.stderr


def test_a_kubeconfig_that_kubectl_must_read_too_is_no_pipe():
    ended = _with_kubeconfig_by_pipe("statusz", "--once")
    assert "/dev/stdin can be read only once, and kubectl reads it, too" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_same_pipe_for_two_flags_is_empty_for_the_second():
    ended = _with_kubeconfig_by_pipe("serve", "--authentication-kubeconfig=/dev/stdin")
    assert ended.returncode == 1
    assert "kubeconfig /dev/stdin is empty" in ended.stderr
    assert "Traceback" not in ended.stderr
