"""The serving certificates of stand-in kubelets, sound ones and broken ones."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.pki import DAY, SERVER, Authority, Certificate, server_context

# Kubelets that share a certificate, with the names and addresses of them all. More would make each
# certificate longer to read and to keep than a real one is.
GROUP = 8


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
        """Return the context of one kubelet, with the certificate fault if it is one."""
        if fault.value.startswith("cert-"):
            return server_context(self._broken(name, address, fault))
        group = self._group_of.get(name)
        if group is None:
            return self._shared([(name, address)])
        if group not in self._contexts:
            self._contexts[group] = self._shared(self._groups[group])
        return self._contexts[group]

    def _shared(self, members: list[tuple[str, str]]) -> ssl.SSLContext:
        names = dict.fromkeys(name for member in members for name in member)
        issued = self._authority.issue(
            "system:node", groups=("system:nodes",), usages=(SERVER,), names=tuple(names)
        )
        return server_context(issued)

    def _broken(self, name: str, address: str, fault: Fault) -> Certificate:
        authority, common_name = self._authority, name
        names: tuple[str, ...] = (name, address)
        start, end = -DAY, 90 * DAY
        if fault is Fault.CERT_EXPIRED:
            start, end = -2 * DAY, -DAY
        elif fault is Fault.CERT_UNKNOWN_CA:
            authority = Authority("another-ca")
        elif fault is Fault.CERT_SELF_SIGNED:  # as a kubelet does without a serving CSR
            authority = Authority(f"{name}-ca@1700000000")
            common_name, names = f"{name}@1700000000", (name,)
        elif fault is Fault.CERT_NO_ADDRESS:
            names = (name,)
        else:
            names = ("elsewhere",)
        return authority.issue(common_name, usages=(SERVER,), names=names, start=start, end=end)
