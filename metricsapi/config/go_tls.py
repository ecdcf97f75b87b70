"""Go's TLS versions, cipher suites and curves, which flags use, and what they are in OpenSSL."""

from __future__ import annotations

import ssl

VERSIONS = {
    "VersionTLS10": ssl.TLSVersion.TLSv1_2,  # accepted as the reference does, never spoken
    "VersionTLS11": ssl.TLSVersion.TLSv1_2,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
# Every name that metrics-server takes. An empty name is never asked of OpenSSL: the suites of
# TLS 1.3 cannot be chosen, in Go neither, and are always on; those of RC4 and 3DES never are.
CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": "",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": "",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA": "",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA": "",
    "TLS_RSA_WITH_RC4_128_SHA": "",
}
# Go's CurveIDs, which are IANA's, with Go's names.
CURVES = {
    23: "CurveP256",
    24: "CurveP384",
    25: "CurveP521",
    29: "X25519",
    4587: "SecP256r1MLKEM768",
    4588: "X25519MLKEM768",
    4589: "SecP384r1MLKEM1024",
}
# Those that `ssl` has a name for, which is all but the hybrids with ML-KEM. The first is the one
# that every TLS 1.3 implementation must have (RFC 8446, 9.1); then as many clients have them.
_OPENSSL_CURVES = {23: "prime256v1", 29: "X25519", 24: "secp384r1", 25: "secp521r1"}


def offered_curve(curves: tuple[int, ...]) -> int | None:
    """Return the only one of the allowed curves that is offered; None where there is none.

    Python's `ssl` before 3.15 offers either every curve of OpenSSL or exactly one, so of a list
    the one that most clients have is taken: nothing outside the list is ever negotiated.
    """
    return next((curve for curve in _OPENSSL_CURVES if curve in curves), None)


def openssl_curve(curve: int) -> str:
    """Return the name that `ssl.SSLContext.set_ecdh_curve` takes for an `offered_curve`."""
    return _OPENSSL_CURVES[curve]
