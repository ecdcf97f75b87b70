"""`--manage-ca-bundle`: callers verify our serving certificate, without any setup.

A controller that keeps a CA in a Secret, presents a certificate of it, and writes the CA into the
`caBundle` of the APIServices that lead to our Service. It never creates an APIService: one that
nobody deletes with the server blocks the deletion of namespaces.

Needs get, watch and update on one Secret and on two APIServices, each by its name.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from metricsapi.kube.client import KubeClient
from metricsapi.kube.decoding import json_object
from metricsapi.kube.errors import KubeError
from metricsapi.kube.key_pair import KeyPair
from metricsapi.kube.progress import Progress, unobserved
from metricsapi.server.task import LONGEST_SILENCE, Task
from metricsapi.server.tls.apiservice import (
    APISERVICES,
    V1,
    V1BETA1,
    published_certificates,
    spec_of,
)
from metricsapi.server.tls.ca_bundle_publisher import BundlePublisher
from metricsapi.server.tls.ca_objects import IDLE, RELIST, Object, ObjectAccess
from metricsapi.server.tls.ca_rotation import (
    InvalidSecret,
    RotationSchedule,
    read_authorities,
    rotate,
    secret_data,
    signing_authority,
)
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import is_current, make_serving
from metricsapi.server.tls.service_probe import ServiceProbe
from metricsapi.server.tls.serving_certificate import ServingNames, describe

_PAUSE = 1.0  # seconds between two rounds, at least
_CONTESTED_PAUSE = 30.0
_ROUND = 600.0  # seconds that one may take: two probes, of 20 slow connections each
_PROBE_AGAIN = 2.0  # seconds after a probe that met another server

log = logging.getLogger(__name__)


class CABundleController:
    """Reconciles Secret, APIServices and `tls`; several replicas may do so at once.

    `reconciled` is set after the first attempt, whatever its result. `is_ready` returns whether
    this replica is ready, and so behind the Service. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        tls: ServingTLS,
        names: ServingNames,
        *,
        namespace: str,
        service: str,
        secret: str,
        is_ready: Callable[[], bool],
        probe: ServiceProbe,
        schedule: RotationSchedule | None = None,
        clock: Callable[[], float] = time.time,
        on_authorities: Callable[[Sequence[KeyPair], KeyPair], None] = lambda *_: None,
    ) -> None:
        """Call `on_authorities` with the authorities of the Secret and the one that signs."""
        self.reconciled = asyncio.Event()
        self._objects = ObjectAccess(client)
        self._tls = tls
        self._names = names
        self._service = {"namespace": namespace, "name": service}
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._secret = secret
        self._is_ready = is_ready
        self._publisher = BundlePublisher(self._objects, probe, is_ready)
        self._schedule = schedule or RotationSchedule()
        self._clock = clock
        self._on_authorities = on_authorities
        self._signed_by: KeyPair | None = None
        self._presented: KeyPair | None = None

    def tasks(self) -> list[Task]:
        """Return what runs until the process ends: the controller, and a watch of each object."""
        watched = {
            "ca-secret-watch": (self._secrets, self._secret),
            "apiservice-v1beta1-watch": (APISERVICES, V1BETA1),
            "apiservice-v1-watch": (APISERVICES, V1),
        }
        return [
            Task("ca-bundle-controller", self._run, longest_silence=LONGEST_SILENCE + _ROUND),
            *(
                Task(
                    name,
                    partial(self._objects.watch, *which),
                    longest_silence=LONGEST_SILENCE + IDLE,
                )
                for name, which in watched.items()
            ),
        ]

    async def _run(self, progress: Progress = unobserved) -> None:
        """Reconcile at each change, and once a minute, until cancelled."""
        while True:
            progress()
            self._objects.changed.clear()
            again = False
            try:
                again = await self.reconcile()
                self._objects.resolved("")
            except KubeError as error:
                self._objects.report("", f"cannot look after the CA bundle now: {error}")
            self.reconciled.set()
            contested = self._objects.is_contested()
            await asyncio.sleep(_CONTESTED_PAUSE if contested else _PAUSE)
            if not again:
                await self._wait()

    async def reconcile(self) -> bool:
        """Reconcile Secret, APIServices and certificate once; return whether to do so again soon.

        Raises KubeError when the API server cannot be reached.
        """
        services = [item for name in (V1BETA1, V1) if (item := await self._own_service(name))]
        secret = await self._objects.get(self._secrets, self._secret)
        if secret is None:
            return False
        published = published_certificates(services)
        now = self._clock()
        current = self._read(secret)
        wanted = rotate(current, published, now, self._schedule)
        if wanted != current:
            written = await self._write_secret(secret, wanted)
            if written is None:
                return True  # another replica was faster: do as it did
            if not written:
                wanted = current
            if not wanted:
                return False
        signer = signing_authority(wanted, published, now, self._schedule)
        self._present(signer, now)
        self._on_authorities(wanted, signer)
        changed = await self._publisher.publish(services, wanted)
        return changed or wanted != current

    async def _own_service(self, name: str) -> Object | None:
        """Return an APIService if it is there and leads to our Service: others are not touched."""
        item = await self._objects.get(APISERVICES, name, optional=name == V1)
        if item is None:
            return None
        service = json_object(spec_of(item).get("service"))
        if {key: service.get(key) for key in self._service} != self._service:
            problem = f"APIService {name} does not lead to our Service; it is left alone"
            self._objects.report(name, problem)
            return None
        return item

    def _read(self, secret: Object) -> list[KeyPair]:
        try:
            return read_authorities(json_object(secret.get("data")))
        except InvalidSecret as error:
            log.warning(
                "the Secret of our CA cannot be used and is filled anew",
                extra={"data": {"secret": self._secret, "error": str(error)}},
            )
            return []

    async def _write_secret(self, secret: Object, authorities: list[KeyPair]) -> bool | None:
        data = {**json_object(secret.get("data")), **secret_data(authorities)}
        return await self._objects.put(self._secrets, self._secret, {**secret, "data": data})

    def _present(self, authority: KeyPair, now: float) -> None:
        is_signed_by_us = authority == self._signed_by and self._tls.pair == self._presented
        if is_signed_by_us and is_current(self._tls.pair, now):
            return
        pair = make_serving(
            self._names.dns,
            self._names.addresses,
            now=now,
            lifetime=self._schedule.serving,
            authority=authority,
        )
        self._tls.present(pair)
        self._signed_by, self._presented = authority, pair
        log.info("presenting another certificate", extra={"data": describe(pair)})

    async def _wait(self) -> None:
        """Wait for a change, for a minute, or for what a bundle that is not written waits for."""
        was_ready = self._is_ready()
        deadline = time.monotonic() + (
            _PROBE_AGAIN if self._publisher.waiting and was_ready else RELIST
        )
        while time.monotonic() < deadline:
            try:
                async with asyncio.timeout(_PAUSE):
                    await self._objects.changed.wait()
            except TimeoutError:
                if not (self._publisher.waiting and self._is_ready() and not was_ready):
                    continue
            return
