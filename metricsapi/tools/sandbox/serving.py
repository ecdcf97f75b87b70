"""The serving certificates of stand-in kubelets, sound ones and broken ones."""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.pki import Authority, Issued

GROUP = 64  # kubelets that share a certificate, with the names and addresses of them all


class Certificates:
    """TLS contexts for kubelets, signed by one authority.

    A certificate takes 3 ms, so of thousands of kubelets neighbours share one: `plan` says who
    will ask, as (name, address). Anyone else gets one of their own.
    """

    def __init__(self, authority: Authority, plan: Sequence[tuple[str, str]] = ()) -> None:
        self._authority = authority
        self._group_of: dict[str, int] = {}
        self._groups: dict[int, list[tuple[str, str]]] = {}
        for number, (name, address) in enumerate(plan):
            self._group_of[name] = number // GROUP
            self._groups.setdefault(number // GROUP, []).append((name, address))
        self._contexts: dict[int, ssl.SSLContext] = {}

    def context(self, name: str, address: str, fault: Fault) -> ssl.SSLContext:
        """Give the context of one kubelet, with the certificate fault if it is one."""
        if fault.value.startswith("cert-"):
            return _context(self._broken(name, address, fault))
        group = self._group_of.get(name)
        if group is None:
            return self._shared([(name, address)])
        if group not in self._contexts:
            self._contexts[group] = self._shared(self._groups[group])
        return self._contexts[group]

    def _shared(self, members: list[tuple[str, str]]) -> ssl.SSLContext:
        issued = self._authority.issue(
            "system:node",
            organizations=("system:nodes",),
            dns=tuple(dict.fromkeys(name for name, _ in members)),
            ips=tuple(dict.fromkeys(address for _, address in members)),
            server=True,
        )
        return _context(issued)

    def _broken(self, name: str, address: str, fault: Fault) -> Issued:
        authority = self._authority
        if fault is Fault.CERT_EXPIRED:
            yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
            return authority.issue(
                name,
                dns=(name,),
                ips=(address,),
                server=True,
                not_before=yesterday - dt.timedelta(days=1),
                not_after=yesterday,
            )
        if fault is Fault.CERT_UNKNOWN_CA:
            other = Authority.create("another-ca")
            return other.issue(name, dns=(name,), ips=(address,), server=True)
        if fault is Fault.CERT_SELF_SIGNED:  # as a kubelet does without a serving CSR
            own = Authority.create(f"{name}-ca@1700000000")
            return own.issue(f"{name}@1700000000", dns=(name,), server=True)
        names = (name,) if fault is Fault.CERT_NO_ADDRESS else ("elsewhere",)
        return authority.issue(name, dns=names, server=True)


def _context(issued: Issued) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "pair.pem")
        path.write_bytes(issued.pem)
        context.load_cert_chain(path)
    return context
