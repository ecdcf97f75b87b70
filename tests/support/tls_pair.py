"""Both sides of a TLS connection in memory, one of which asks for another handshake.

Python's `ssl` cannot do that, so the record is made from the secrets that it writes into a key log.
"""

import contextlib
import hmac
import ssl
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HANDSHAKE, ALERT = 22, 21  # types of records (RFC 5246, 6.2.1)
HELLO_REQUEST, CLIENT_HELLO = b"\0\0\0\0", b"\1\0\0\0"  # without content


class TLSPair:
    """`client` and `server` after their handshake; `to_client` and `to_server` carry records."""

    def __init__(self, client, server):
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname="localhost")
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)
        self._client_random = self._shake_hands(self.client, self.to_server)
        self._server_random = self._shake_hands(self.server, self.to_client)
        for side in (self.client, self.server, self.client, self.server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        assert self.client.version() == self.server.version()

    @staticmethod
    def _shake_hands(side, bio):
        """Let a side send its hello; return the random bytes in it."""
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        sent = bio.read()
        bio.write(sent)
        return sent[11:43]  # behind the headers of record and message, and the version

    def renegotiation(self, key_log, *, by_client):
        """Return the record of TLS 1.2 with which a side that has sent nothing begins anew."""
        (line,) = [each for each in key_log.read_text().splitlines() if "CLIENT_RANDOM" in each]
        seed = b"key expansion" + self._server_random + self._client_random
        keys = _prf(bytes.fromhex(line.split()[2]), seed, 72)
        key, salt = (keys[:32], keys[64:68]) if by_client else (keys[32:64], keys[68:72])
        message = CLIENT_HELLO if by_client else HELLO_REQUEST
        number = struct.pack(">Q", 1)  # the second record under these keys: `Finished` was first
        known = number + struct.pack(">BHH", HANDSHAKE, 0x0303, len(message))
        sealed = number + AESGCM(key).encrypt(salt + number, message, known)
        return struct.pack(">BHH", HANDSHAKE, 0x0303, len(sealed)) + sealed


def _prf(secret, seed, length):
    """The pseudorandom function of TLS 1.2 with SHA-384 (RFC 5246, 5)."""
    made, block = b"", seed
    while len(made) < length:
        block = hmac.digest(secret, block, "sha384")
        made += hmac.digest(secret, block + seed, "sha384")
    return made[:length]
