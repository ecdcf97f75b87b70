"""The certificates that the other end of a connection has shown."""

from __future__ import annotations

import asyncio
from typing import Any

from metricsapi.server.auth.client_certificates import PeerCertificates


def peer_certificates(transport: asyncio.BaseTransport) -> PeerCertificates | None:
    """Return the peer's certificates, or None. Raises ValueError when they cannot be read."""
    tls: Any = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return None
    # Public from Python 3.13 on; before, the same method of the object inside.
    chain = getattr(tls, "get_unverified_chain", None)
    if chain is not None:
        return PeerCertificates(chain() or [der])
    inner = getattr(tls, "_sslobj", None)
    chain = getattr(inner, "get_unverified_chain", None)
    sent = chain() if chain is not None else None
    encoding = 2  # _ssl.ENCODING_DER
    return PeerCertificates([c.public_bytes(encoding) for c in sent] if sent else [der])
