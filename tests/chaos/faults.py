"""The faults, by the boundary that they are at. Each is a context manager: it ends with the block.

What is random in a fault comes from its own seed in the plan.
"""

import base64
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import partial

from metricsapi.tools.sandbox.faults import Fault as KubeletFault
from metricsapi.tools.sandbox.outages import Outage
from tests.chaos.clients import CLIENTS
from tests.chaos.world import CA_SECRET, FILES, LARGEST
from tests.support.mutations import mutated_bytes, mutated_json
from tests.support.paths import RECORDED


class Scope(Enum):
    """What a fault may make unavailable."""

    NODES = "nodes"  # the nodes that it is given
    NODE_OBJECTS = "node objects"  # the same, until the API server has sent their objects again
    API_SERVER = "API server"  # changes of objects: what is known stays served
    IDENTITY = "identity"  # the front proxy may be refused meanwhile
    NOTHING = "nothing"


@dataclass(frozen=True)
class Fault:
    """`begin(world, rng, nodes)` gives an async context manager.

    With `lies`, responses are valid and have wrong numbers, which may stay for the node itself
    until its kubelet reads that stat again. `lacking(world)` returns what this machine lacks for
    it.
    """

    name: str
    scope: Scope
    begin: Callable
    lies: bool = False
    lacking: Callable = lambda _world: ""


# Kubelets.
@contextlib.asynccontextmanager
async def kubelet(_world, _rng, nodes, kind):
    for node in nodes:
        await node.kubelet.set_fault(KubeletFault(kind))
    yield
    for node in nodes:
        await node.kubelet.set_fault(KubeletFault.NONE)


def _summaries():
    lines = (RECORDED / "kubelet-1.36-series.jsonl").read_text().splitlines()
    whole = json.loads((RECORDED / "kubelet-1.36-summary-full.json").read_text())
    return [json.loads(line)["summary"] for line in lines] + [whole]


@contextlib.asynccontextmanager
async def responses_mutated(_world, rng, nodes, kind):
    """Recorded responses, or the node's own, changed byte by byte or by their structure."""
    recorded = _summaries()
    mutate = mutated_bytes if kind.endswith("bytes") else mutated_json

    def change_for(node):
        def change(body):
            if not kind.startswith("own"):
                document = rng.choice(recorded)
                document["node"]["nodeName"] = node.name
                body = json.dumps(document).encode()
            with contextlib.suppress(ValueError):
                body = mutate(rng, body)  # /metrics/resource is no JSON
            return body

        return change

    for node in nodes:
        node.source.change = change_for(node)
    yield
    for node in nodes:
        node.source.change = None


@contextlib.asynccontextmanager
async def clocks_jump(_world, rng, nodes):
    for node in nodes:
        node.source.offset = rng.choice((-1e9, -86400.0, -3.7, 2.5, 59.0, 86400.0, 1e9, 6e10))
    yield
    for node in nodes:
        node.source.offset = 0.0


@contextlib.asynccontextmanager
async def largest_responses(_world, _rng, nodes):
    """As many tiny pods as are read."""
    pod = b'{"podRef":{"name":"p","namespace":"d","uid":"u"},"containers":[{"name":"c"}]}'
    body = b'{"node":{"nodeName":"x"},"pods":[%b]}' % b",".join([pod] * (LARGEST // len(pod) - 100))
    for node in nodes:
        node.source.change = lambda _, name=node.name: body.replace(b'"x"', b'"%b"' % name.encode())
    yield
    for node in nodes:
        node.source.change = None


# Connections, below TLS.
def _damage(rng, kind):
    if kind == "corrupted":
        return lambda data: mutated_bytes(rng, data, most=1)
    return lambda data: rng.randbytes(64) + data


async def _broken(relay, rng, kind):
    if kind == "cut":
        relay.cut()
    elif kind == "stalled":
        relay.stalled = True
    elif kind == "refusing":
        relay.refusing = True
        relay.cut()
    else:
        relay.damage = _damage(rng, kind)


def _mend(relay):
    relay.damage, relay.refusing, relay.stalled = None, False, False
    relay.cut()


WIRE = ("corrupted", "injected", "cut", "stalled", "refusing")


@contextlib.asynccontextmanager
async def kubelet_connections(_world, rng, nodes, kind):
    for node in nodes:
        await _broken(node.relay, rng, kind)
    yield
    for node in nodes:
        _mend(node.relay)


@contextlib.asynccontextmanager
async def api_connections(world, rng, _nodes, kind):
    await _broken(world.api_relay, rng, kind)
    yield
    _mend(world.api_relay)


# The API server.
@contextlib.asynccontextmanager
async def api_server(world, _rng, _nodes, kind):
    await world.api.set_outage(Outage(kind))
    yield
    await world.api.set_outage(Outage.NONE)


@contextlib.asynccontextmanager
async def versions_expire(world, _rng, _nodes):
    for collection in world.cluster.collections.values():
        collection.forget_changes()
    world.api.break_connections()
    yield


@contextlib.asynccontextmanager
async def nodes_deleted(world, _rng, nodes):
    for node in nodes:
        for plural, item in node.objects():
            metadata = item["metadata"]
            world.cluster.delete(plural, metadata["name"], metadata.get("namespace", ""))
    yield
    _restore(world, nodes)


HOSTS = (
    "", "a..b", "x" * 64 + ".example", "n\0ul", "-", "127.0.0.1:80", "fe80::1%lo", "::1",
    "\u00fc.example", "999.1.1.1", "[", "a b", "x" * 5000, "no-such-node.invalid",
)  # fmt: skip


@contextlib.asynccontextmanager
async def addresses_of_any_content(world, rng, nodes):
    for node in nodes:
        item = node.objects()[0][1]
        hosts = [rng.choice(HOSTS) for _ in range(rng.randint(0, 4))]
        item["status"]["addresses"] = [{"type": "InternalIP", "address": host} for host in hosts]
        if rng.random() < 0.3:
            port = rng.choice((0, -1, 65536, 2**40))
            item["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = port
        world.cluster.apply("nodes", item)
    yield
    _restore(world, nodes)


PATHS = ("/../../other/proxy/stats/summary", "metrics", "//", "/\0", "/" + "x" * 9000, "/%2e%2e/")


@contextlib.asynccontextmanager
async def annotations_of_any_content(world, rng, nodes):
    for node in nodes:
        item = node.objects()[0][1]
        name = "metrics.k8s.io/resource-metrics-path"
        item["metadata"]["annotations"] = {name: rng.choice(PATHS), "": "\u0000", "x": "y" * 90_000}
        world.cluster.apply("nodes", item)
    yield
    _restore(world, nodes)


def _restore(world, nodes):
    for node in nodes:
        for plural, item in node.objects():
            world.cluster.apply(plural, item)


@contextlib.asynccontextmanager
async def pods_come_and_go(world, rng, _nodes):
    names = [f"churn-{rng.randrange(10**6)}" for _ in range(200)]
    for name in names:
        metadata = {"name": name, "namespace": "churn", "labels": {"a": "b" * rng.randrange(60)}}
        status = {"phase": rng.choice(("Running", "Pending", "Succeeded"))}
        world.cluster.apply("pods", {"metadata": metadata, "spec": {}, "status": status})
    yield
    for name in names:
        world.cluster.delete("pods", name, "churn")


def _any_pem(world, rng):
    good = world.clients.text
    return rng.choice(
        (
            "",
            "garbage",
            "# \u00fc\n" + good,
            good[: len(good) // 2],
            good + good.replace("A", "B", 5),
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            world.clients.key.decode(),
            "\0" * 1000,
            good * 200,
        )
    )


@contextlib.asynccontextmanager
async def configmap_of_any_content(world, rng, _nodes):
    key = ("configmaps", "extension-apiserver-authentication", "kube-system")
    before = world.cluster.get(*key)
    data = dict(before["data"])
    for name in rng.sample(sorted(data), rng.randint(1, len(data))):
        data[name] = rng.choice(
            (_any_pem(world, rng), "[", "{}", '["\\u0000"]', "3", "x" * 100_000)
        )
        if rng.random() < 0.2:
            del data[name]
    world.cluster.apply("configmaps", _fresh({**before, "data": data}))
    yield
    world.cluster.apply("configmaps", _fresh(before))


@contextlib.asynccontextmanager
async def secret_of_any_content(world, rng, _nodes):
    key = ("secrets", CA_SECRET, "kube-system")
    if (before := world.cluster.get(*key)) is not None:
        data = dict.fromkeys(before.get("data") or ("ca.crt", "ca.key"))
        for name in data:
            content = _any_pem(world, rng)
            data[name] = base64.b64encode(content.encode()).decode()
            if rng.random() < 0.3:
                data[name] = rng.choice(("=", "\u00fc", "", None, 3))
        world.cluster.apply("secrets", _fresh({**before, "data": data}))
    yield


@contextlib.asynccontextmanager
async def ca_bundle_of_any_content(world, rng, _nodes):
    item = world.cluster.get("apiservices", "v1beta1.metrics.k8s.io")
    spec = {**item["spec"], "caBundle": rng.choice(("=", "\u00fc", "", "AAAA", 3, None, []))}
    world.cluster.apply("apiservices", _fresh({**item, "spec": spec}))
    yield


def _fresh(item):
    metadata = {k: v for k, v in item["metadata"].items() if k != "resourceVersion"}
    return {**item, "metadata": metadata}


# Files.
@contextlib.asynccontextmanager
async def file_of_garbage(world, rng, _nodes, kind):
    """The last good content must stay in force."""
    world.write(kind, rng.choice((b"", b"garbage", b"\xff\xfe\x00", rng.randbytes(5000))))
    yield
    world.write(kind)


@contextlib.asynccontextmanager
async def certificate_folder_without_room(world, _rng, _nodes):
    """A file where the folder was: nothing can be written there, also by root."""
    folder, aside = world.directory / "certificates", world.directory / "aside"
    moved = folder.is_dir()
    if moved:
        folder.rename(aside)
    folder.write_text("no folder")
    yield
    folder.unlink()
    if moved:
        aside.rename(folder)


# The server's own machine.
@contextlib.asynccontextmanager
async def own_clock_jumps(world, rng, _nodes):
    """Within the certificates' validity: from a day ago to a year from now."""
    jumps = (-72_000.0, -3_600.0, -61.0, -3.7, -0.4, 0.4, 2.5, 59.0, 7_200.0, 86_400.0, 1.5e7)
    await _set_clock(world, rng.choice(jumps))
    yield
    await _set_clock(world, 0.0)


async def _set_clock(world, seconds):
    """Set the server's clock, and check by its Date header that it jumped."""
    world.clock.jump(seconds)
    async with world.client(anonymous=True, fresh=True) as client:
        date = (await client.get("/livez")).headers["Date"]
    ahead = parsedate_to_datetime(date).timestamp() - time.time()
    assert abs(ahead - seconds) < 30.0, f"the clock is {ahead:.0f} s ahead and not {seconds:g}"


# Clients.
@contextlib.asynccontextmanager
async def clients(world, rng, _nodes, kind):
    async with CLIENTS[kind](world, rng):
        yield


def _faults(scope, begin, *kinds, lies=False):
    """Return the fault that a function makes, or one for each kind of it."""
    name = begin.__name__.replace("_", "-")
    if not kinds:
        return [Fault(name, scope, begin, lies)]
    return [Fault(f"{name}:{kind}", scope, partial(begin, kind=kind), lies) for kind in kinds]


LYING = (KubeletFault.SKEW, KubeletFault.JUMP, KubeletFault.ABSURD)
_HONEST = [fault for fault in KubeletFault if fault not in (*LYING, KubeletFault.NONE)]
_OUTAGES = [outage for outage in Outage if outage is not Outage.NONE]
MUTATIONS = ("bytes", "structure", "own-bytes", "own-structure")


FAULTS = (
    *_faults(Scope.NODES, kubelet, *_HONEST),
    *_faults(Scope.NODES, kubelet, *LYING, lies=True),
    *_faults(Scope.NODES, responses_mutated, *MUTATIONS, lies=True),
    *_faults(Scope.NODES, clocks_jump, lies=True),
    *_faults(Scope.NODES, largest_responses),
    *_faults(Scope.NODES, kubelet_connections, *WIRE),
    *_faults(Scope.API_SERVER, api_connections, *WIRE),
    *_faults(Scope.API_SERVER, api_server, *_OUTAGES),
    *_faults(Scope.API_SERVER, versions_expire),
    *_faults(Scope.NODE_OBJECTS, nodes_deleted),
    *_faults(Scope.NODE_OBJECTS, addresses_of_any_content),
    *_faults(Scope.NODE_OBJECTS, annotations_of_any_content),
    *_faults(Scope.NOTHING, pods_come_and_go),
    *_faults(Scope.IDENTITY, configmap_of_any_content),
    *_faults(Scope.NOTHING, secret_of_any_content),
    *_faults(Scope.NOTHING, ca_bundle_of_any_content),
    *_faults(Scope.NOTHING, file_of_garbage, *FILES),
    *_faults(Scope.NOTHING, certificate_folder_without_room),
    *_faults(Scope.NOTHING, clients, *CLIENTS),
)

# Of plans its own part, so that the rest of a plan is what it was without it.
OWN_CLOCK = Fault(
    "own-clock-jumps",
    Scope.NOTHING,
    own_clock_jumps,
    lacking=lambda world: "" if world.clock.can_jump else "libfaketime is not installed",
)
