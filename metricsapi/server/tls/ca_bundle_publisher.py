"""Writes the bundle of our authorities into APIServices, once that excludes no other server."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable

from metricsapi.kube.key_pair import KeyPair
from metricsapi.server.tls.apiservice import (
    APISERVICES,
    certificates_of,
    port_of,
    spec_of,
    verifies_nobody,
)
from metricsapi.server.tls.ca_objects import Object, ObjectAccess
from metricsapi.server.tls.ca_rotation import ca_bundle
from metricsapi.server.tls.service_probe import ServiceProbe

_PROBE_VALID = 10.0  # seconds in which a successful probe allows the update


class BundlePublisher:
    """Writes `caBundle` into the APIServices that lead to our Service.

    `waiting` is true after a round in which a bundle was not written: until this replica is ready,
    and the Service leads to servers with our certificates alone. `is_ready` returns whether this
    replica is ready, and so behind the Service.
    """

    def __init__(
        self, objects: ObjectAccess, probe: ServiceProbe, is_ready: Callable[[], bool]
    ) -> None:
        self.waiting = False
        self._objects = objects
        self._probe = probe
        self._is_ready = is_ready
        self._probed: tuple[str, float] = ("", float("-inf"))  # bundle, monotonic seconds

    async def publish(self, services: list[Object], authorities: list[KeyPair]) -> bool:
        """Write the bundle to the APIServices that lack it; return whether to look again soon."""
        self.waiting = False
        again = [await self._publish_to(item, authorities) for item in services]
        return any(again)

    async def _publish_to(self, item: Object, authorities: list[KeyPair]) -> bool:
        bundle, spec = ca_bundle(authorities), spec_of(item)
        wanted = {**spec, "caBundle": base64.b64encode(bundle).decode()}
        wanted.pop("insecureSkipTLSVerify", None)
        if wanted == {k: v for k, v in spec.items() if k != "insecureSkipTLSVerify" or v}:
            return False
        verifies_ours = not certificates_of(item).isdisjoint(p.certificate for p in authorities)
        if not verifies_ours and not await self._may_exclude_others(bundle.decode(), item):
            self.waiting = not self._has_probed(bundle.decode())
            return not self.waiting
        name = item["metadata"]["name"]
        written = await self._objects.put(APISERVICES, name, {**item, "spec": wanted})
        return written is not False

    async def _may_exclude_others(self, bundle: str, item: Object) -> bool:
        """Return whether an APIService may verify our authorities alone from now on.

        It may once this replica is ready and the Service was just seen to lead to servers with our
        certificates alone. The probe takes its time and objects change meanwhile, so a successful
        one counts for the next round, which reads them anew. An APIService by which no server of
        ours or of others can be verified has nothing to lose, so it needs no probe.
        """
        name = item["metadata"]["name"]
        if self._has_probed(bundle):
            self._objects.resolved(f"probe {name}")
            return True
        if not self._is_ready():
            return False
        if verifies_nobody(item):
            return True
        failure = await self._probe.run(bundle, port_of(item))
        if failure is None:
            self._probed = bundle, time.monotonic()
        else:
            level = logging.INFO if failure.other_server else logging.WARNING
            problem = f"caBundle of {name} is not written yet: {failure.text}"
            self._objects.report(f"probe {name}", problem, level)
        return False

    def _has_probed(self, bundle: str) -> bool:
        probed, at = self._probed
        return probed == bundle and time.monotonic() - at < _PROBE_VALID
