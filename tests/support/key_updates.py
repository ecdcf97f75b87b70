"""A TLS 1.3 peer that updates its keys without end, which Python's `ssl` cannot.

Each update (RFC 8446, 4.6.3) is a record under keys of its own, made here from the secret that
`ssl` writes into its key log.
"""

import ssl
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

HASH = hashes.SHA384()  # of the cipher suite that OpenSSL prefers, TLS_AES_256_GCM_SHA384


def client_context(key_log):
    """Return the context of a client that verifies nothing, and logs its secrets to a file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.keylog_filename = str(key_log)
    return context


def key_updates(key_log, count, of="CLIENT"):
    """Return the first `count` records of a peer that has sent nothing since its handshake.

    `of` is CLIENT or SERVER. A server must have sent no session ticket.
    """
    (line,) = [
        each for each in key_log.read_text().splitlines() if f"{of}_TRAFFIC_SECRET_0" in each
    ]
    secret = bytes.fromhex(line.split()[2])
    records = []
    for _ in range(count):
        records.append(_record(secret, requested=True))
        secret = _expand(secret, b"traffic upd", HASH.digest_size)
    return b"".join(records)


def _record(secret, *, requested):
    message = bytes([24, 0, 0, 1, requested, 22])  # KeyUpdate, then the type of record: handshake
    head = struct.pack(">BHH", 23, 0x0303, len(message) + 16)
    key, nonce = _expand(secret, b"key", 32), _expand(secret, b"iv", 12)  # of the first record
    return head + AESGCM(key).encrypt(nonce, message, head)


def _expand(secret, label, length):
    """HKDF-Expand-Label (RFC 8446, 7.1)."""
    label = b"tls13 " + label
    info = struct.pack(">HB", length, len(label)) + label + b"\0"
    return HKDFExpand(HASH, length, info).derive(secret)
