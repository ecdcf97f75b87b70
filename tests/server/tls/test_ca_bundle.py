"""`--manage-ca-bundle`: callers can verify us, always, with a bundle that nobody had to write."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging

import pytest

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.server.tls.ca_bundle_controller import V1, V1BETA1, CABundleController
from metricsapi.server.tls.ca_rotation import (
    DAY,
    RotationSchedule,
    bundle_certificates,
    read_authorities,
)
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_serving, renew_at
from metricsapi.server.tls.serving_certificate import ServingNames
from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.state import Cluster
from tests.support.conditions import until

ACCOUNT = "system:serviceaccount:kube-system:metrics-server"
SERVICE = {"namespace": "kube-system", "name": "metrics-server"}
SECRET = "metrics-server-ca"
SCHEDULE = RotationSchedule(authority=20 * DAY, serving=10 * DAY, overlap=3600.0)


class Installation:
    """An API server with our objects; `now` is what the keepers' clocks say."""

    def __init__(self, directory):
        self.directory = directory
        self.cluster = Cluster()
        self.api = ApiServer(self.cluster)
        self.now = 1.8e9
        self.keepers = []

    async def __aenter__(self):
        await self.api.start()
        apply = self.cluster.apply
        apply("secrets", {"metadata": {"namespace": "kube-system", "name": SECRET}})
        for name in (V1BETA1, V1):
            self.apply_service(name)
        self.allow("get", "watch", "update")
        (self.directory / "kubeconfig").write_text(self.api.kubeconfig(ACCOUNT))
        self._stack = contextlib.AsyncExitStack()
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()
        await self.api.stop()

    def apply_service(self, name, **spec):
        whole = {
            "service": SERVICE,
            "group": "metrics.k8s.io",
            "version": name.partition(".")[0],
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            **spec,
        }
        self.cluster.apply("apiservices", {"metadata": {"name": name}, "spec": whole})

    def allow(self, *verbs):
        """Let the account do these with exactly the named objects."""
        rules = [
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [SECRET],
                "verbs": list(verbs),
            },
            {
                "apiGroups": ["apiregistration.k8s.io"],
                "resources": ["apiservices"],
                "resourceNames": [V1BETA1, V1],
                "verbs": list(verbs),
            },
        ]
        self.cluster.apply("clusterroles", {"metadata": {"name": "ca"}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ca"}
        subject = {"kind": "ServiceAccount", **SERVICE}
        self.cluster.apply(
            "clusterrolebindings",
            {"metadata": {"name": "ca"}, "subjects": [subject], "roleRef": role},
        )

    async def keeper(self):
        """A replica's keeper, with the TLS that it presents certificates on."""
        credentials = load_credentials(str(self.directory / "kubeconfig"))
        client = await self._stack.enter_async_context(KubeClient(credentials))
        names = ServingNames(("metrics-server.kube-system.svc",))
        tls = ServingTLS(make_serving(names.dns, (), now=self.now, lifetime=DAY))
        keeper = CABundleController(
            client,
            tls,
            names,
            namespace="kube-system",
            service="metrics-server",
            secret=SECRET,
            schedule=SCHEDULE,
            clock=lambda: self.now,
        )
        self.keepers.append((keeper, tls))
        return keeper

    async def run(self, keeper):
        """Run a keeper in the background."""
        task = asyncio.create_task(keeper.run())
        self._stack.callback(task.cancel)
        await asyncio.wait_for(keeper.reconciled.wait(), 10)

    def bundle(self, name=V1BETA1):
        spec = self.cluster.get("apiservices", name)["spec"]
        assert not spec.get("insecureSkipTLSVerify")
        return bundle_certificates(spec.get("caBundle", ""))

    def authorities(self):
        data = self.cluster.get("secrets", SECRET, "kube-system").get("data") or {}
        return read_authorities(data)

    def verified(self, tls):
        """Whether what is presented is verified by what both APIServices hold."""
        by_certificate = {pair.certificate: pair for pair in self.authorities()}
        for name in (V1BETA1, V1):
            issuers = [by_certificate[one].leaf for one in self.bundle(name)]
            assert issuers, f"{name} has no bundle"
            if tls.pair.leaf.issuer not in [one.subject for one in issuers]:
                return False
            signer = next(one for one in issuers if one.subject == tls.pair.leaf.issuer)
            tls.pair.leaf.verify_directly_issued_by(signer)
        return tls.pair.expires() > self.now


@pytest.fixture
async def installation(tmp_path):
    async with Installation(tmp_path) as running:
        yield running


async def settle(*keepers):
    """Reconcile until nothing changes."""
    for _ in range(10):
        if not any([await keeper.reconcile() for keeper in keepers]):
            return
    raise AssertionError("they never agree")


async def test_secret_bundles_and_certificate_agree(installation):
    await settle(await installation.keeper())
    ((_, tls),) = installation.keepers
    assert len(installation.authorities()) == 1
    assert installation.bundle(V1) == installation.bundle(V1BETA1)
    assert installation.verified(tls)


async def test_two_replicas_that_start_at_once_share_one_authority(installation):
    first, second = await installation.keeper(), await installation.keeper()
    await asyncio.gather(first.reconcile(), second.reconcile())
    await settle(first, second)
    assert len(installation.authorities()) == 1
    assert all(installation.verified(tls) for _, tls in installation.keepers)


async def test_a_blanked_bundle_is_written_again(installation):
    keeper = await installation.keeper()
    await installation.run(keeper)
    await until(installation.bundle)
    before = installation.bundle()
    installation.apply_service(V1BETA1, insecureSkipTLSVerify=True)
    await until(lambda: installation.cluster.get("apiservices", V1BETA1)["spec"].get("caBundle"))
    assert installation.bundle() == before


async def test_an_apiservice_of_somebody_else_is_left_alone(installation):
    installation.apply_service(V1, service={"namespace": "other", "name": "server"})
    await settle(await installation.keeper())
    assert not installation.bundle(V1)
    assert installation.bundle(V1BETA1)


async def test_without_v1_there_is_v1beta1(installation, caplog):
    installation.cluster.delete("apiservices", V1)
    with caplog.at_level(logging.WARNING):
        await settle(await installation.keeper())
    assert installation.bundle(V1BETA1)
    assert not caplog.records


@pytest.mark.parametrize("verb", ["get", "update"])
async def test_a_missing_permission_is_named_once_and_the_rest_goes_on(installation, verb, caplog):
    installation.allow(*{"get", "watch", "update"} - {verb})
    keeper = await installation.keeper()
    for _ in range(3):
        await keeper.reconcile()
    said = [record.data["problem"] for record in caplog.records if hasattr(record, "data")]
    assert said
    assert all("missing permission" in one for one in said)
    assert len(said) == len(set(said))
    assert any(SECRET in one for one in said)


async def test_a_secret_with_something_else_in_it_is_filled_anew(installation):
    data = {"ca.crt": base64.b64encode(b"nonsense").decode(), "mine": "a2VwdA=="}
    secret = {"metadata": {"namespace": "kube-system", "name": SECRET}, "data": data}
    installation.cluster.apply("secrets", secret)
    await settle(await installation.keeper())
    assert len(installation.authorities()) == 1
    kept = installation.cluster.get("secrets", SECRET, "kube-system")["data"]
    assert kept["mine"] == "a2VwdA=="


async def test_authorities_and_certificates_are_replaced_with_overlap(installation):
    """Over two lives of an authority, two replicas present what both bundles verify, always."""
    keepers = [await installation.keeper(), await installation.keeper()]
    await settle(*keepers)
    known, serials = set(), set()

    async def step(seconds):
        installation.now += seconds
        for keeper in keepers:
            await keeper.reconcile()
            for _, tls in installation.keepers:
                assert installation.verified(tls)
                serials.add(tls.pair.leaf.serial_number)
        known.update(installation.bundle())
        assert len(installation.authorities()) <= 2

    for _ in range(2):
        renewal = renew_at(installation.authorities()[0])
        while installation.now < renewal - DAY:
            await step(DAY)
        await step(renewal - installation.now - 60.0)
        for _ in range(9):  # three hours in which everything changes
            await step(1200.0)
        assert len(installation.authorities()) == 1
    assert len(known) == 3
    assert len(serials) >= 2 * 5
