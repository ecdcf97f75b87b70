"""`--manage-ca-bundle`: callers can verify us, always, with a bundle that nobody had to write."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time

import pytest

from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.errors import KubeError
from metricsapi.server.supervisor import Supervisor
from metricsapi.server.tls.apiservice import V1, V1BETA1
from metricsapi.server.tls.ca_bundle_controller import CABundleController
from metricsapi.server.tls.ca_rotation import (
    DAY,
    RotationSchedule,
    bundle_certificates,
    read_authorities,
)
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import begins_at, make_serving, renew_at
from metricsapi.server.tls.service_probe import ProbeFailure, ServiceProbe
from metricsapi.server.tls.serving_certificate import SelfSigned, ServingNames
from metricsapi.tools.sandbox.apiserver import ApiServer
from metricsapi.tools.sandbox.state import Cluster
from tests.support.conditions import until
from tests.support.listener import Listener
from tests.support.odd_certificates import authority, make
from tests.support.pki import client_context

ACCOUNT = "system:serviceaccount:kube-system:metrics-server"
SERVICE = {"namespace": "kube-system", "name": "metrics-server"}
SECRET = "metrics-server-ca"
SCHEDULE = RotationSchedule(authority=20 * DAY, serving=10 * DAY, overlap=3600.0)


class Probe:
    """What connections to the Service meet: a failure, or nobody but us."""

    failure = None
    runs = 0

    async def run(self, _authorities, _port):
        self.runs += 1
        return self.failure


class Installation:
    """An API server with our objects; `now` is what the keepers' clocks say."""

    def __init__(self, directory):
        self.directory = directory
        self.cluster = Cluster()
        self.api = ApiServer(self.cluster)
        self.now = 1.8e9
        self.ready = True
        self.probe = Probe()
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
            is_ready=lambda: self.ready,
            probe=self.probe,
            schedule=SCHEDULE,
            clock=lambda: self.now,
        )
        self.keepers.append((keeper, tls))
        return keeper

    async def run(self, keeper):
        """Run a keeper in the background."""
        supervisor = Supervisor()
        supervisor.add(*keeper.tasks())
        task = asyncio.create_task(supervisor.run())
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
        """Return whether what is presented is verified by what both APIServices hold."""
        by_certificate = {pair.certificate: pair for pair in self.authorities()}
        for name in (V1BETA1, V1):
            issuers = [by_certificate[each].leaf for each in self.bundle(name)]
            assert issuers, f"{name} has no bundle"
            if tls.pair.leaf.issuer not in [each.subject for each in issuers]:
                return False
            signer = next(each for each in issuers if each.subject == tls.pair.leaf.issuer)
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


@pytest.mark.parametrize("ahead", [DAY, 9 * DAY, 19 * DAY, 30 * DAY, 3650 * DAY])
async def test_a_clock_that_was_ahead_leaves_nothing_that_is_not_valid_yet(installation, ahead):
    """As in a machine whose clock is set by NTP only after it has started."""
    right = installation.now
    keepers = [await installation.keeper() for _ in range(2)]
    for now in (right + ahead, right, right + 2 * SCHEDULE.overlap, right + ahead):
        installation.now = now
        await settle(*keepers)
        for _, tls in installation.keepers:
            assert installation.verified(tls)
            (signer, *_) = [
                pair for pair in installation.authorities()
                if pair.leaf.subject == tls.pair.leaf.issuer
            ]  # fmt: skip
            for pair in (tls.pair, signer):
                assert begins_at(pair) <= now < pair.expires()


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
    problems = [record.data["problem"] for record in caplog.records if hasattr(record, "data")]
    assert problems
    assert all("missing permission" in each for each in problems)
    assert len(problems) == len(set(problems))
    assert any(SECRET in each for each in problems)


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


def spec_of(installation, name=V1BETA1):
    return installation.cluster.get("apiservices", name)["spec"]


async def test_nothing_is_published_before_this_replica_is_ready(installation):
    """metrics-server's pods behind the same Service go on serving while ours starts."""
    installation.ready = False
    installation.apply_service(V1BETA1, insecureSkipTLSVerify=True)
    await settle(await installation.keeper())
    assert spec_of(installation)["insecureSkipTLSVerify"] is True
    assert "caBundle" not in spec_of(installation)
    assert len(installation.authorities()) == 1
    assert installation.probe.runs == 0


async def test_nothing_is_published_while_the_service_leads_to_another_server(installation, caplog):
    caplog.set_level(logging.INFO)
    installation.apply_service(V1BETA1, insecureSkipTLSVerify=True)
    installation.probe.failure = ProbeFailure("connection 3 meets another", other_server=True)
    keeper = await installation.keeper()
    for _ in range(3):
        await keeper.reconcile()
    assert "caBundle" not in spec_of(installation)
    assert spec_of(installation)["insecureSkipTLSVerify"] is True
    lines = [r for r in caplog.records if "connection 3 meets another" in str(vars(r))]
    assert [line.levelname for line in lines] == ["INFO"]
    installation.probe.failure = None
    await settle(keeper)
    assert installation.bundle()


async def test_an_apiservice_that_verifies_nobody_needs_readiness_alone(installation):
    """As after a first installation, where no other server can be excluded."""
    installation.probe.failure = ProbeFailure("no hairpin", other_server=False)
    installation.ready = False
    keeper = await installation.keeper()
    await settle(keeper)
    assert "caBundle" not in spec_of(installation)
    installation.ready = True
    await settle(keeper)
    assert installation.bundle()


async def test_it_publishes_soon_after_it_is_ready(installation):
    installation.ready = False
    installation.apply_service(V1BETA1, insecureSkipTLSVerify=True)
    await installation.run(await installation.keeper())
    await until(installation.authorities)
    installation.ready = True
    await until(lambda: spec_of(installation).get("caBundle"))
    assert not spec_of(installation).get("insecureSkipTLSVerify")


async def test_a_bundle_that_has_an_authority_of_ours_is_renewed_without_a_probe(installation):
    """Who verifies us already is not broken by the next authority."""
    keeper = await installation.keeper()
    await settle(keeper)
    installation.probe.failure = ProbeFailure("no hairpin", other_server=False)
    installation.ready = False
    installation.now = renew_at(installation.authorities()[0])
    before = installation.bundle()
    await settle(keeper)
    assert len(installation.bundle()) == 2
    assert before < installation.bundle()


async def test_a_bundle_of_somebody_else_is_replaced_only_after_a_probe(installation):
    other = base64.b64encode(authority("another").pem).decode()
    installation.apply_service(V1BETA1, caBundle=other)
    installation.probe.failure = ProbeFailure("meets another", other_server=True)
    keeper = await installation.keeper()
    await settle(keeper)
    assert spec_of(installation)["caBundle"] == other
    installation.probe.failure = None
    await settle(keeper)
    assert installation.bundle() == {each.certificate for each in installation.authorities()}


async def test_an_apiservice_that_is_not_there_is_not_made(installation):
    for name in (V1, V1BETA1):
        installation.cluster.delete("apiservices", name)
    await settle(await installation.keeper())
    assert [installation.cluster.get("apiservices", name) for name in (V1, V1BETA1)] == [None] * 2


def put_authority(installation, certificate, key):
    data = {name: base64.b64encode(text).decode() for name, text in
            (("ca.crt", certificate), ("ca.key", key))}  # fmt: skip
    secret = {"metadata": {"namespace": "kube-system", "name": SECRET}, "data": data}
    installation.cluster.apply("secrets", secret)


@pytest.mark.parametrize("key", ["rsa", "ed25519", "p384", "p256"])
async def test_an_authority_of_any_key_that_verifiers_take_is_used(installation, key):
    """Made by openssl or cert-manager, say; a real client verifies what it signed."""
    installation.now = time.time()
    given = authority("given", key=key, days=400)
    put_authority(installation, "# CA von Köln\n".encode() + given.pem, given.key)
    await settle(await installation.keeper())
    assert [each.leaf for each in installation.authorities()] == [given.certificate]
    ((_, tls),) = installation.keepers
    assert await shakes_hands(tls, given.text)


async def shakes_hands(tls, trusts):
    async with Listener(tls=tls.context) as listener:
        _, writer = await asyncio.open_connection(
            listener.host,
            listener.port,
            ssl=client_context(trusts=trusts),
            server_hostname="metrics-server.kube-system.svc",
        )
        writer.close()
        await writer.wait_closed()
    return True


def pair_of(made):
    return made.pem, made.key


LEAF = make("leaf", days=400)
UNUSABLE = {
    "a leaf": pair_of(LEAF),
    "a short key": pair_of(authority(key="rsa1024", days=400)),
    "a curve that Go lacks": pair_of(authority(key="secp256k1", days=400)),
    "Ed448": pair_of(authority(key="ed448", days=400)),
    "another's key": (authority("x", days=400).pem, authority("y", days=400).key),
    "no key": (authority("x", days=400).pem, b""),
    "two certificates, one key": (authority("x").pem + LEAF.pem, LEAF.key),
    "garbage": (b"\xff\xfe\x00", b"\x00"),
    "version 1": pair_of(make("v1", version=1, days=400)),
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_authority_that_cannot_be_used_is_replaced_with_a_clear_line(
    installation, content, caplog
):
    installation.now = time.time()
    put_authority(installation, *content)
    await settle(await installation.keeper())
    assert len(installation.authorities()) == 1
    (line,) = [r for r in caplog.records if "cannot be used and is filled anew" in r.message]
    assert line.data["secret"] == SECRET
    assert line.data["error"].startswith("ca.crt and ca.key: ")


@pytest.mark.parametrize("data", [None, {}, {"ca.crt": None}, {"ca.crt": "%%%", "ca.key": "x"}])
async def test_any_data_of_the_secret_is_survived(installation, data):
    secret = {"metadata": {"namespace": "kube-system", "name": SECRET}, "data": data}
    installation.cluster.apply("secrets", secret)
    await settle(await installation.keeper())
    assert len(installation.authorities()) == 1


ODD = [{}, {"spec": {"service": SERVICE}}, {"metadata": None}, {"metadata": {"name": 3}},
       {"metadata": {"name": "other"}},
       {"metadata": {"name": V1BETA1}, "spec": []}, {"metadata": {"name": SECRET}, "data": [1]},
       {"metadata": {"name": V1BETA1}, "spec": {"service": {**SERVICE, "port": -1}}},
       {"metadata": {"name": V1BETA1}, "spec": {"service": {**SERVICE, "port": 10**30}}},
       {"metadata": {"name": V1BETA1}, "spec": {"service": SERVICE, "caBundle": {"a": 1}}},
       ]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_whatever_the_api_server_answers_the_controller_only_reports_it(odd):
    """An object without a name was a KeyError, with a traceback in the log."""

    class Client:
        async def request_json(self, _method, path, _into):
            right = {"metadata": {"name": path.rpartition("/")[2]}, "spec": {"service": SERVICE}}
            return odd if path.endswith(str((odd.get("metadata") or odd).get("name"))) else right

        async def request(self, *_, **__):
            return b"{}"

    names = ServingNames(("metrics-server.kube-system.svc",))
    for everywhere in (False, True):
        client = Client()
        if everywhere:
            client.request_json = lambda *_: asyncio.sleep(0, odd)
        controller = CABundleController(
            client,
            ServingTLS(make_serving(names.dns, (), now=1.8e9, lifetime=DAY)),
            names,
            namespace="kube-system",
            service="metrics-server",
            secret=SECRET,
            is_ready=lambda: True,
            probe=ServiceProbe("kube-system", "metrics-server", {}, timeout=0.1),
            clock=lambda: 1.8e9,
        )
        with contextlib.suppress(KubeError):
            await controller.reconcile()


async def test_who_replaces_the_self_signed_certificate_leaves_that_of_the_ca_alone(installation):
    """Both were due in the same minute; the self-signed one, which nobody verifies, could win."""
    rounds = []
    await settle(await installation.keeper())
    ((keeper, tls),) = installation.keepers
    before = tls.pair
    late = renew_at(before) + 1.0
    own = SelfSigned(None, ServingNames(("localhost",)), period=0.001, clock=lambda: late)
    own.read()
    following = asyncio.create_task(own.follow(tls, lambda: rounds.append(1)))
    await until(lambda: len(rounds) > 3)
    following.cancel()
    await asyncio.wait([following])
    assert tls.pair == before
    tls.present(own.read())
    await keeper.reconcile()
    assert installation.verified(tls)
