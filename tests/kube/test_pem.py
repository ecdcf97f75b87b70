"""PEM as people and tools write it: what stands between the blocks, and one bad one among good."""

import contextlib
import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import example, given
from hypothesis import strategies as st

from metricsapi.kube.files import FileError
from metricsapi.kube.key_pair import parse_pair
from metricsapi.kube.pem import PEMError, parse_authorities, read_blocks, read_bundle
from metricsapi.kube.tls import verifying_context
from tests.support.odd_certificates import as_version, authority, make, to_pem, traditional

ONE, TWO = authority("one"), authority("two")
BAD = b"-----BEGIN CERTIFICATE-----\nMIIBnonsense\n-----END CERTIFICATE-----\n"
VERSION_2 = to_pem(as_version(ONE, ONE.private, 2))
NOT_DER = to_pem(b"\x30\x03\x02\x01\x01")


def subjects(bundle):
    return [certificate.subject.rfc4514_string() for certificate in bundle.certificates]


@pytest.mark.parametrize(
    "text",
    [
        ONE.pem + TWO.pem,
        "# Zertifikat für Köln ✓\n".encode() + ONE.pem + b"\xff\xfe latin \xe9\n" + TWO.pem,
        b"\xef\xbb\xbf" + ONE.pem + TWO.pem,
        (ONE.pem + TWO.pem).replace(b"\n", b"\r\n"),
        (ONE.pem + TWO.pem).replace(b"\n", b"\r"),
        (ONE.pem + TWO.pem).replace(b"\n", b" \t\n"),
        (ONE.text + TWO.text).encode("utf-16"),
        ONE.pem + b"subject=CN = two\nissuer=CN = two\n" + TWO.pem,
        ONE.key + ONE.pem + b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n" + TWO.pem,
        ONE.pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE") + TWO.pem,
        ONE.pem + TWO.pem.rstrip(),
    ],
    ids=[
        "nothing",
        "comments",
        "byte order mark",
        "CRLF",
        "CR",
        "trailing blanks",
        "UTF-16",
        "openssl's subjects",
        "other blocks",
        "another label",
        "no newline at the end",
    ],
)
def test_what_stands_between_the_blocks_is_ignored(text):
    bundle = read_bundle(text, "ca.crt")
    assert subjects(bundle) == ["CN=one", "CN=two"]
    assert bundle.skipped == ()
    verifying_context(bundle.pem)


@pytest.mark.parametrize(
    "bad",
    [
        BAD,
        VERSION_2,
        NOT_DER,
        b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n",
        ONE.pem.replace(b"-----END CERTIFICATE-----", b"-----END RSA PRIVATE KEY-----"),
        ONE.pem[: len(ONE.pem) // 2],
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    ],
    ids=[
        "not DER",
        "version 2",
        "DER of something else",
        "not base64",
        "another end",
        "half",
        "begin",
        "empty",
    ],
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_bad_certificate_is_skipped_and_named(bad, number, caplog):
    text = bad + b"\n" + TWO.pem if number == 1 else TWO.pem + bad
    bundle = parse_authorities(text, "ca.crt")
    assert subjects(bundle) == ["CN=two"]
    assert [reason.partition(":")[0] for reason in bundle.skipped] == [f"certificate {number}"]
    with caplog.at_level(logging.WARNING):
        bundle.warn(logging.getLogger("test"))
    (record,) = caplog.records
    assert record.data["source"] == "ca.crt"
    assert record.data["reason"].startswith(f"certificate {number}: ")


def test_a_version_1_authority_is_one():
    old = make("old", version=1)
    assert old.certificate.version is x509.Version.v1
    assert subjects(parse_authorities(old.pem, "x")) == ["CN=old"]


@pytest.mark.parametrize(
    "text", [b"", b"no PEM at all", BAD, ONE.key], ids=["empty", "text", "bad", "a key"]
)
def test_a_bundle_without_a_usable_certificate_is_refused_by_name(text):
    with pytest.raises(PEMError, match=r"^ca\.crt holds no usable PEM certificate"):
        parse_authorities(text, "ca.crt")


@pytest.mark.parametrize("key", ["p256", "p384", "rsa", "ed25519"])
def test_a_pair_of_any_key_is_read(key):
    made = make("client", key=key)
    pair = parse_pair("# é\n".encode() + made.pem, made.key, "tls.crt", "tls.key")
    assert pair.leaf == made.certificate


def test_a_pair_in_one_file_after_its_parameters_is_read():
    """As `openssl ecparam -genkey` writes a key."""
    made = make("client")
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    both = parameters + traditional(made.private) + made.pem
    assert parse_pair(both, both, "x", "x").leaf == made.certificate


def test_a_chain_with_one_bad_intermediate_is_presented_without_it():
    made = make("leaf", issuer=ONE)
    pair = parse_pair(made.pem + BAD + ONE.pem, made.key, "tls.crt", "tls.key")
    assert pair.certificate == made.pem + ONE.pem


def encrypted(format_):
    return ONE.private.private_bytes(
        serialization.Encoding.PEM, format_, serialization.BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        (BAD + ONE.pem, ONE.key, "tls.crt holds no usable PEM certificate; certificate 1: "),
        (ONE.pem, TWO.key, "tls.key is not the key of the certificate in tls.crt"),
        (ONE.pem, ONE.pem, "tls.key holds no usable PEM private key"),
        (ONE.pem, encrypted(serialization.PrivateFormat.PKCS8), "without a password"),
        (ONE.pem, encrypted(serialization.PrivateFormat.TraditionalOpenSSL), "without a password"),
    ],
    ids=["bad leaf", "another key", "no key", "locked", "locked, traditional"],
)
def test_a_pair_that_cannot_be_used_is_named(certificate, key, message):
    with pytest.raises(PEMError, match=message):
        parse_pair(certificate, key, "tls.crt", "tls.key")


# Bytes that are nearly PEM: pieces of real files, cut and joined at random.
PIECES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [ONE.pem, TWO.pem, BAD, VERSION_2, ONE.key, b"\n", b"\r\n", b"-----BEGIN ", b"-----END "]
    ),
    st.builds(lambda at: ONE.pem[:at], st.integers(0, len(ONE.pem))),
    st.builds(
        lambda at, value: ONE.pem[:at] + bytes([value]) + ONE.pem[at + 1 :],
        st.integers(0, len(ONE.pem) - 1),
        st.integers(0, 255),
    ),
)


def test_a_file_full_of_bad_certificates_is_a_few_lines(caplog):
    text = BAD * 1000
    with pytest.raises(PEMError, match=r"995 more certificates$") as caught:
        parse_authorities(text, "ca.crt")
    assert len(str(caught.value)) < 1000
    parse_authorities(ONE.pem + text, "ca.crt").warn(logging.getLogger("test"))
    assert len(caplog.records) == 6


@given(st.lists(PIECES, max_size=6).map(b"".join))
@example(b"-----BEGIN -----\n-----END -----")
def test_any_bytes_are_a_bundle_of_what_is_usable_in_them(data):
    bundle = read_bundle(data, "any")
    if bundle.certificates:
        verifying_context(bundle.pem)
    for block in read_blocks(data):
        assert bool(block.error) or block.content is not None
    with contextlib.suppress(FileError):
        parse_pair(data, data, "any", "any")


@given(st.lists(st.sampled_from([ONE, TWO]), max_size=4), st.text(max_size=30))
def test_what_is_read_is_what_was_written(certificates, comment):
    text = "".join(f"{each.text}\n{comment.replace('-----', '')}\n" for each in certificates)
    bundle = read_bundle(text, "x")
    assert list(bundle.certificates) == [each.certificate for each in certificates]
    assert read_bundle(bundle.pem, "x").certificates == bundle.certificates
