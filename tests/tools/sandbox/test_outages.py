"""The product's informers come through everything that can be wrong with an API server."""

import asyncio
import time

import httpx
import pytest

from metricsapi.kube.errors import ApiError, InvalidResponse, KubeError, Unreachable
from metricsapi.kube.informer import Informer
from metricsapi.kube.watch import NODES, RUNNING_PODS
from metricsapi.tools.sandbox.control import PATH as OUTAGE_PATH
from metricsapi.tools.sandbox.outages import Outage
from tests.support.conditions import until
from tests.tools.sandbox.apiservers import admin, client, node, pod, product_client, running

WITH_ERRORS = {
    Outage.DOWN: Unreachable,
    Outage.FAILING: ApiError,
    Outage.BUSY: ApiError,
    Outage.HTML: InvalidResponse,
    Outage.NONSENSE: InvalidResponse,
}


@pytest.fixture
async def api():
    async with running() as server:
        yield server


@pytest.fixture
async def follow(api):
    """Run an informer of the product until the test is over."""
    tasks, kube = [], product_client(api)

    async def start(resource=NODES, **options):
        informer = Informer(kube, resource, **options)
        tasks.append(asyncio.create_task(informer.run()))
        await until(informer.synced.is_set)
        return informer

    async with kube:
        yield start
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def half_a_second():
    """Of this process: while the machine does something else, no time passes."""
    for _ in range(50):
        await asyncio.sleep(0.01)


def same(informer, api, plural="nodes"):
    return len(informer.objects) == len(api.cluster.list(plural)) and all(
        informer.objects[key].labels == (item["metadata"].get("labels") or {})
        for item in api.cluster.list(plural)
        for key in [item["metadata"]["name"]]
    )


@pytest.mark.parametrize("outage", [each for each in Outage if each is not Outage.NONE])
async def test_an_informer_keeps_what_it_knows_and_catches_up(api, follow, outage):
    for name in ("a", "b"):
        api.cluster.apply("nodes", node(name))
    api.outages.delay = 0.2
    idle_timeout = 0.3 if outage is Outage.SILENT_WATCHES else 150.0
    informer = await follow(idle_timeout=idle_timeout)
    seen = []
    informer.subscribe(lambda old, new: seen.append((old and old.name, new and new.name)))
    await api.set_outage(outage)
    if outage in (Outage.FAILING, Outage.BUSY, Outage.HTML, Outage.NONSENSE):
        api.break_connections()  # watches that run are none of new requests
    api.cluster.delete("nodes", "a")
    api.cluster.apply("nodes", node("b", zone="z1"))
    api.cluster.apply("nodes", node("c"))
    if outage in WITH_ERRORS:
        await until(lambda: isinstance(informer.error, WITH_ERRORS[outage]))
    if outage in (*WITH_ERRORS, Outage.HANG):
        assert sorted(informer.objects) == ["a", "b"], "the last known objects stay"
    else:
        await until(lambda: same(informer, api), what="catching up while it lasts")
    await api.set_outage(Outage.NONE)
    await until(lambda: same(informer, api), what="catching up when it is over")
    api.cluster.apply("nodes", node("d"))
    await until(lambda: same(informer, api), what="following again")
    assert seen[-1] == (None, "d")
    assert {(None, "a"), (None, "b"), ("a", None), (None, "c")} <= set(seen)
    await until(lambda: informer.error is None)


async def test_watches_that_always_expire_are_not_answered_by_list_upon_list(api, follow):
    api.cluster.apply("nodes", node("a"))
    informer = await follow()
    await api.set_outage(Outage.EXPIRED_WATCHES)
    await until(lambda: informer.restarts)
    began, lists = time.monotonic(), informer.restarts
    await until(lambda: informer.restarts == lists + 2)
    assert time.monotonic() - began > 0.5, "at least half of 0.5 s, then of 1 s"


async def test_a_restart_loses_nothing_and_is_not_listed_again_without_need(api, follow):
    api.cluster.apply("nodes", node("a"))
    informer = await follow()
    await api.restart(seconds_away=0.1)
    api.cluster.apply("nodes", node("b"))
    await until(lambda: sorted(informer.objects) == ["a", "b"])


async def test_busy_says_when_to_come_back(api):
    api.outages.retry_after = 7
    await api.set_outage(Outage.BUSY)
    async with product_client(api) as kube:
        with pytest.raises(ApiError) as refused:
            await kube.request("GET", "/api/v1/nodes")
    assert (refused.value.status, refused.value.retry_after) == (429, 7.0)


async def test_a_hanging_server_answers_when_it_is_over(api):
    await api.set_outage(Outage.HANG)
    async with product_client(api) as kube:
        with pytest.raises(KubeError):
            await kube.request("GET", "/version", timeout=0.1)
        late = asyncio.create_task(kube.request("GET", "/version"))
        await asyncio.sleep(0.05)
        assert not late.done()
        await api.set_outage(Outage.NONE)
        assert b"gitVersion" in await late


async def test_an_expired_list_is_begun_again(api, follow):
    for number in range(1200):
        api.cluster.apply("pods", pod("ns", f"pod-{number}"))
    async with admin(api) as http:
        first = (await http.get("/api/v1/pods?limit=500")).json()
        await api.set_outage(Outage.EXPIRED_WATCHES)
        await api.set_outage(Outage.NONE)
        token = first["metadata"]["continue"]
        gone = await http.get(f"/api/v1/pods?limit=500&continue={token}")
    assert (gone.status_code, gone.json()["reason"]) == (410, "Expired")
    assert len((await follow(RUNNING_PODS)).objects) == 1200


async def test_it_stops_at_once_whatever_is_open(api, follow):
    api.cluster.apply("nodes", node("a"))
    await follow()
    await follow(RUNNING_PODS)
    async with admin(api) as http:
        hanging = asyncio.create_task(http.get("/api/v1/nodes?watch=true"))
        await asyncio.sleep(0.05)
        ticks = asyncio.create_task(half_a_second())
        await api.stop()
        assert not ticks.done(), "well below a second: nothing is waited for"
        ticks.cancel()
        with pytest.raises(httpx.TransportError):
            await hanging


async def test_another_process_can_switch_it_with_the_admins_credentials(api):
    async with admin(api) as http, client(api, api.add_user("somebody")) as other:
        assert (await other.post(f"{OUTAGE_PATH}?outage=failing")).status_code == 403
        unknown = await http.post(f"{OUTAGE_PATH}?outage=flood")
        assert unknown.status_code == 400
        assert "silent-watches" in unknown.json()["message"]
        assert (await http.post(f"{OUTAGE_PATH}?outage=failing")).status_code == 200
        await until(lambda: api.outage is Outage.FAILING)
        assert (await http.get("/version")).status_code == 500
        assert (await http.get(OUTAGE_PATH)).json() == {"outage": "failing"}
        await http.post(f"{OUTAGE_PATH}?outage=down&seconds=0.1")
        await until(lambda: api.outage is Outage.DOWN)
        await until(lambda: api.outage is Outage.NONE)
        assert (await http.get("/version")).status_code == 200
