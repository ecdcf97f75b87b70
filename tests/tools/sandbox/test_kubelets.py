"""Stand-in kubelets answer, and misbehave, as real ones do."""

import asyncio
import itertools
import json
import re
import ssl
import time
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.fleet import Fleet, Plan, by_tokens
from metricsapi.tools.sandbox.kubelets import Kubelets, loopback
from metricsapi.tools.sandbox.loads import HIGH, is_high, read_at
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SWAP_USED, SyntheticSource

CPU_AND_MEMORY = "/stats/summary?only_cpu_and_memory=true"


def trusting(authority):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture
async def authority():
    return Authority("test-ca")


@pytest.fixture
async def kubelets(authority):
    running = Kubelets(Certificates(authority), by_tokens({"good": ["stats"]}))
    yield running
    await running.stop()


async def get(authority, kubelet, path=CPU_AND_MEMORY, token="good", timeout=5.0):
    url = f"https://{kubelet.address}:{kubelet.port}{path}"
    async with httpx.AsyncClient(
        verify=trusting(authority), trust_env=False, timeout=timeout
    ) as client:
        return await client.get(url, headers={"Authorization": f"Bearer {token}"})


async def start(kubelets, number=3, **options):
    source = SyntheticSource(synthetic_node(number, 2, 2), time.time() - 3600, **options)
    return await kubelets.start(source, loopback(number))


async def test_the_summary_has_the_form_of_the_real_one(authority, kubelets):
    answer = await get(authority, await start(kubelets))
    assert answer.text.startswith('{\n "node": {\n  "nodeName": "node-3"')
    assert abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()) < 60
    container = answer.json()["pods"][0]["containers"][0]
    assert container.keys() == {"name", "startTime", "cpu", "memory", "swap"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", container["cpu"]["time"])


async def test_the_full_form_has_the_file_systems_too(authority, kubelets):
    answer = (await get(authority, await start(kubelets), "/stats/summary")).json()
    pod = answer["pods"][0]
    used = [c["rootfs"]["usedBytes"] + c["logs"]["usedBytes"] for c in pod["containers"]]
    assert pod["ephemeral-storage"]["usedBytes"] == sum(used) > 0
    assert answer["node"]["fs"]["capacityBytes"] > 0


async def test_counters_are_the_integral_of_the_usage():
    node = synthetic_node(1, 1, 1)
    for changing in (False, True):
        source = SyntheticSource(node, 1000.0, changing=changing)
        counters = [source.counter(10**8, 1000.0 + second) for second in range(200)]
        rates = [b - a for a, b in itertools.pairwise(counters)]
        assert 0.69 * 10**8 <= min(rates) <= max(rates) <= 1.31 * 10**8
        assert (len(set(rates)) > 50) is changing


async def test_a_response_has_the_usage_of_its_moment():
    node = synthetic_node(1, 3, 2)
    source = SyntheticSource(node, 1000.0, changing=True)
    reported = {
        (pod["podRef"]["name"], each["name"]): each["cpu"]
        for pod in json.loads(source.summary(2000.25))["pods"]
        for each in pod["containers"]
    }
    assert len(reported) == 6
    for pod in node.pods:
        for name, mean, _ in pod.containers:
            counter, earlier = source.counter(mean, 2000.25), source.counter(mean, 1990.25)
            assert reported[pod.name, name]["usageCoreNanoSeconds"] == counter
            assert reported[pod.name, name]["usageNanoCores"] == (counter - earlier) // 10


async def test_changing_memory_grows_and_is_the_same_at_both_endpoints():
    source = SyntheticSource(synthetic_node(1, 1, 1), 1000.0, changing=True)
    reported = []
    for now in (2000.25, 2003.25):
        (pod,) = json.loads(source.summary(now))["pods"]
        reported.append(pod["containers"][0]["memory"]["workingSetBytes"])
        line = rb"container_memory_working_set_bytes{.*} (\d+) "
        assert re.findall(line, source.exposition(now)) == [b"%d" % reported[-1]]
    assert reported[1] - reported[0] == 3 * 4096


async def test_stepping_usage_doubles_and_halves_and_its_memory_shows_when_it_was_read():
    node = synthetic_node(1, 1, 1)
    source = SyntheticSource(node, 1.8e9 - 3600, step=50.0)
    ((_, mean, size),) = node.pods[0].containers
    assert not is_high(1.8e9 + 49.0, 50.0)
    assert is_high(1.8e9 + 51.0, 50.0)
    for second in (10.5, 60.5, 110.25):  # some loads step 0.2 s later
        now = 1.8e9 + second
        grown = source.counter(mean, now) - source.counter(mean, now - 10.0)
        factor = HIGH if is_high(now, 50.0) else 1.0
        assert grown / 10 == pytest.approx(mean * factor, rel=1e-6)
        (pod,) = json.loads(source.summary(now))["pods"]
        (container,) = pod["containers"]
        assert container["cpu"]["usageNanoCores"] == pytest.approx(mean * factor, rel=1e-6)
        working_set = container["memory"]["workingSetBytes"]
        assert abs(working_set - size) < 2**20
        assert read_at(working_set, now + 500.25) == pytest.approx(now, abs=0.0011)
    both = source.counter(mean, 1.8e9 + 100.0) - source.counter(mean, 1.8e9)
    assert both == pytest.approx(50 * mean * (1 + HIGH), rel=1e-6)


async def test_containers_start_at_times_of_their_own_before_their_counters():
    began = 1.8e9
    source = SyntheticSource(synthetic_node(1, 30, 2), began)
    reported = json.loads(source.summary(began + 900.0))["pods"]
    starts = [each["startTime"] for pod in reported for each in pod["containers"]]
    assert len(set(starts)) > 0.9 * len(starts)
    assert max(datetime.fromisoformat(start).timestamp() for start in starts) <= began + 1
    lines = re.findall(rb"container_start_time_seconds{.*} (.+)", source.exposition(began + 900.0))
    assert sorted(datetime.fromisoformat(start).timestamp() for start in starts) == sorted(
        float(line) for line in lines
    )


async def test_swap_is_listed_where_there_is_some(authority, kubelets):
    with_swap = await get(authority, await start(kubelets, 1, swap=True))
    without = await get(authority, await start(kubelets, 2))
    assert with_swap.json()["node"]["swap"]["swapUsageBytes"] == SWAP_USED
    assert without.json()["node"]["swap"]["swapUsageBytes"] == 0


async def test_who_asks_is_checked_first(authority, kubelets):
    kubelet = await start(kubelets)
    assert (await get(authority, kubelet, token="bad")).status_code == 401
    denied = await get(authority, kubelet, "/metrics/resource")
    assert (denied.status_code, "subresource(s)=[metrics]" in denied.text) == (403, True)
    assert (await get(authority, kubelet, "/elsewhere", token="bad")).status_code == 401


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (Fault.REFUSE, httpx.ConnectError),
        (Fault.RESET, httpx.TransportError),
        (Fault.TRUNCATE, httpx.RemoteProtocolError),
        (Fault.HANG, httpx.ReadTimeout),
        (Fault.HANG_BODY, httpx.ReadTimeout),
        (Fault.OVERSIZE, httpx.ReadTimeout),
        (Fault.NOT_HTTP, httpx.RemoteProtocolError),
        (Fault.CERT_EXPIRED, httpx.ConnectError),
        (Fault.CERT_UNKNOWN_CA, httpx.ConnectError),
        (Fault.CERT_SELF_SIGNED, httpx.ConnectError),
        (Fault.CERT_NO_ADDRESS, httpx.ConnectError),
    ],
    ids=str,
)
async def test_a_fault_is_seen_and_ends(authority, kubelets, fault, seen):
    kubelet = await start(kubelets)
    await kubelets.set_fault("node-3", fault)
    with pytest.raises(seen):
        await get(authority, kubelet, timeout=httpx.Timeout(5.0, read=0.3))
    await kubelets.set_fault("node-3", Fault.NONE)
    assert (await get(authority, kubelet)).status_code == 200


@pytest.mark.parametrize("fault", [Fault.FORBIDDEN, Fault.NOT_FOUND, Fault.ERROR], ids=str)
async def test_a_fault_can_be_an_answer(authority, kubelets, fault):
    kubelet = await start(kubelets)
    await kubelets.set_fault("node-3", fault)
    assert (await get(authority, kubelet)).status_code >= 400


async def test_an_answer_in_odd_chunks_is_the_same_answer(authority, kubelets):
    kubelet = await start(kubelets)
    await kubelets.set_fault("node-3", Fault.CHUNKED)
    assert (await get(authority, kubelet)).json()["node"]["nodeName"] == "node-3"


@pytest.mark.parametrize("fault", [Fault.TRICKLE, Fault.ENDLESS], ids=str)
async def test_a_body_that_does_not_end_comes_on_and_on(authority, kubelets, fault):
    kubelet = await start(kubelets)
    await kubelets.set_fault("node-3", fault)
    _, writer = streams = await asyncio.open_connection(
        kubelet.address, kubelet.port, ssl=trusting(authority)
    )
    writer.write(b"GET /stats/summary HTTP/1.1\r\nAuthorization: Bearer good\r\n\r\n")
    got = [await streams[0].readexactly(1 if fault is Fault.TRICKLE else 2**20) for _ in range(3)]
    assert b"".join(got).startswith(b"HTT")
    writer.close()


async def test_a_fleet_serves_from_a_process_of_its_own(authority):
    fleet = Fleet(Plan(3, 2, 1, 10, tokens={"good": ["stats"]}, first=7), authority)
    addresses = await fleet.start()
    try:
        assert addresses.keys() == {"node-7", "node-8", "node-9"}
        address, port = addresses["node-8"]
        async with httpx.AsyncClient(verify=trusting(authority), trust_env=False) as client:
            url = f"https://{address}:{port}{CPU_AND_MEMORY}"
            headers = {"Authorization": "Bearer good"}
            summary = json.loads((await client.get(url, headers=headers)).content)
            assert summary["node"]["nodeName"] == "node-8"
            await fleet.set_fault("node-8", Fault.ERROR)
            assert (await client.get(url, headers=headers)).status_code == 500
    finally:
        await asyncio.wait_for(fleet.stop(), 10)


async def test_a_fleet_chooses_the_cipher_that_gos_server_does(authority):
    """metrics-server 0.8.1, asked by OpenSSL, which offers AES-256 first, chose AES-128 too."""
    fleet = Fleet(Plan(1, 1, 1, 1, tokens={}), authority)
    ((address, port),) = (await fleet.start()).values()
    try:
        _, writer = await asyncio.open_connection(address, port, ssl=trusting(authority))
        assert writer.get_extra_info("cipher")[:2] == ("TLS_AES_128_GCM_SHA256", "TLSv1.3")
        writer.close()
    finally:
        await asyncio.wait_for(fleet.stop(), 10)
