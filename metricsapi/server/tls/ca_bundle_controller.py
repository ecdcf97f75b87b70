"""`--manage-ca-bundle`: our serving certificate is verified, without anyone having to set it up.

Needs get, watch and update on one Secret and on two APIServices, each by its name. What may not
be done is said once, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import Conflict, Forbidden, KubeError, NotFound
from metricsapi.kube.key_pair import KeyPair
from metricsapi.server.tls.ca_rotation import (
    InvalidSecret,
    RotationSchedule,
    bundle_certificates,
    ca_bundle,
    read_authorities,
    rotate,
    secret_data,
    signing_authority,
)
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_serving, renew_at
from metricsapi.server.tls.serving_certificate import ServingNames, describe

APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
V1, V1BETA1 = "v1.metrics.k8s.io", "v1beta1.metrics.k8s.io"
_LOOK = 60.0  # seconds between two looks when nothing seems to change
_WATCH = 300  # seconds that a watch is asked for
_MANY = 5  # writes in ten minutes, after which someone else keeps writing something different

log = logging.getLogger(__name__)
Object = dict[str, Any]


class CABundleController:
    """Keeps Secret, APIServices and `tls` in agreement; several replicas may do so at once.

    `reconciled` is set after the first attempt, whatever its result. `clock` gives epoch seconds.
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
        schedule: RotationSchedule | None = None,
        clock: Callable[[], float] = time.time,
        on_authorities: Callable[[Sequence[KeyPair], KeyPair], None] = lambda *_: None,
    ) -> None:
        """Call `on_authorities` with the authorities of the Secret and the one that signs."""
        self.reconciled = asyncio.Event()
        self._client = client
        self._tls = tls
        self._names = names
        self._service = {"namespace": namespace, "name": service}
        self._secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._secret = secret
        self._schedule = schedule or RotationSchedule()
        self._clock = clock
        self._on_authorities = on_authorities
        self._changed = asyncio.Event()
        self._signed_by: KeyPair | None = None
        self._said: dict[str, str] = {}
        self._writes: deque[float] = deque(maxlen=_MANY)

    async def run(self) -> None:
        """Look at each change, and once a minute, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(self._secrets, self._secret))
            group.create_task(self._watch(APISERVICES, V1BETA1))
            group.create_task(self._watch(APISERVICES, V1))
            while True:
                self._changed.clear()
                again = False
                try:
                    again = await self.reconcile()
                    self._said.pop("", None)
                except KubeError as error:
                    self._say("", f"cannot look after the CA bundle now: {error}")
                self.reconciled.set()
                await asyncio.sleep(self._pause())
                if not again:
                    await self._change()

    async def reconcile(self) -> bool:
        """Bring everything into agreement once; tell whether to look again soon.

        Raises KubeError when the API server cannot be reached.
        """
        services = [item for name in (V1BETA1, V1) if (item := await self._ours(name))]
        secret = await self._get(self._secrets, self._secret)
        if secret is None:
            return False
        published = _published(services)
        now = self._clock()
        found = self._authorities(secret)
        wanted = rotate(found, published, now, self._schedule)
        if wanted != found:
            body = {**secret, "data": {**(secret.get("data") or {}), **secret_data(wanted)}}
            written = await self._put(self._secrets, self._secret, body)
            if written is None:
                return True  # another replica was faster: do as it did
            if not written:
                wanted = found
            if not wanted:
                return False
        signer = signing_authority(wanted, published, now, self._schedule)
        self._present(signer, now)
        self._on_authorities(wanted, signer)
        bundle = base64.b64encode(ca_bundle(wanted)).decode()
        changed = wanted != found
        for item in services:
            spec = {**item["spec"], "caBundle": bundle, "insecureSkipTLSVerify": False}
            if spec != {"insecureSkipTLSVerify": False, **item["spec"]}:
                name = item["metadata"]["name"]
                written = await self._put(APISERVICES, name, {**item, "spec": spec})
                changed = changed or written is not False
        return changed

    async def _ours(self, name: str) -> Object | None:
        """Give an APIService if it is there and leads to our Service: others' are not touched."""
        item = await self._get(APISERVICES, name)
        if item is None:
            return None
        service = item.get("spec", {}).get("service") or {}
        if {key: service.get(key) for key in self._service} != self._service:
            self._say(name, f"APIService {name} does not lead to our Service; it is left alone")
            return None
        return item

    def _authorities(self, secret: Object) -> list[KeyPair]:
        try:
            return read_authorities(secret.get("data") or {})
        except InvalidSecret as error:
            log.warning(
                "the Secret of our CA cannot be used and is filled anew",
                extra={"data": {"secret": self._secret, "error": str(error)}},
            )
            return []

    def _present(self, authority: KeyPair, now: float) -> None:
        if authority == self._signed_by and renew_at(self._tls.pair) > now:
            return
        pair = make_serving(
            self._names.dns,
            self._names.addresses,
            now=now,
            lifetime=self._schedule.serving,
            authority=authority,
        )
        self._tls.present(pair)
        self._signed_by = authority
        log.info("presenting another certificate", extra={"data": describe(pair)})

    async def _get(self, path: str, name: str) -> Object | None:
        try:
            item: Object = msgspec.json.decode(await self._client.request("GET", f"{path}/{name}"))
        except NotFound:
            if name != V1:  # Kubernetes before 1.37 has no use for it
                self._say(f"get {name}", f"there is no {path}/{name}; going on without it")
        except Forbidden as error:
            self._say(f"get {name}", f"missing permission: {error.message}; going on without it")
        else:
            self._said.pop(f"get {name}", None)
            return item
        return None

    async def _put(self, path: str, name: str, body: Object) -> bool | None:
        """Write an object as it was read but for our change.

        Gives True when written, None when it has changed meanwhile, False when it may not be.
        """
        try:
            await self._client.request("PUT", f"{path}/{name}", body=body)
        except Conflict:
            return None
        except Forbidden as error:
            self._say(f"put {name}", f"missing permission: {error.message}; going on without it")
            return False
        self._said.pop(f"put {name}", None)
        self._writes.append(time.monotonic())
        log.info("wrote our CA", extra={"data": {"object": f"{path}/{name}"}})
        return True

    async def _watch(self, path: str, name: str) -> None:
        params: dict[str, str | int] = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "timeoutSeconds": _WATCH,
        }
        while True:
            try:
                lines = self._client.stream_lines(
                    path, params=params, accept="application/json", idle_timeout=_WATCH + 30.0
                )
                async with aclosing(lines):
                    async for _ in lines:
                        self._changed.set()
                        self._said.pop(f"watch {name}", None)
                await asyncio.sleep(1.0)
            except Forbidden as error:
                self._say(f"watch {name}", f"missing permission: {error.message}; looking instead")
                await asyncio.sleep(_LOOK)
            except KubeError:
                await asyncio.sleep(5.0)  # the look that follows tells what is wrong

    async def _change(self) -> None:
        try:
            async with asyncio.timeout(_LOOK):
                await self._changed.wait()
        except TimeoutError:
            return

    def _pause(self) -> float:
        """Give the seconds between two looks: more of them when someone writes against us."""
        writes = self._writes
        fought = len(writes) == _MANY and time.monotonic() - writes[0] < 600.0
        if fought:
            self._say("fight", "someone else keeps changing our Secret or APIServices")
        return 30.0 if fought else 1.0

    def _say(self, about: str, what: str) -> None:
        if self._said.get(about) != what:
            self._said[about] = what
            log.warning("CA bundle", extra={"data": {"problem": what}})


def _published(services: list[Object]) -> frozenset[bytes]:
    """Give the certificates that are in the bundle of every one of these APIServices."""
    bundles = [bundle_certificates(item["spec"].get("caBundle") or "") for item in services]
    return frozenset.intersection(*bundles) if bundles else frozenset()
