"""An informer keeps its objects through everything an API server does to it."""

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from metricsapi.kube.errors import InvalidResponse, Unreachable
from metricsapi.kube.informer import Informer
from metricsapi.kube.slices import SLICE
from metricsapi.kube.watch import NODES, RUNNING_PODS
from tests.support.apiserver import ScriptedApiServer
from tests.support.conditions import until


def node(name, version="1", **labels):
    return {"metadata": {"name": name, "labels": labels, "resourceVersion": version}}


def page(*items, version="10", token=""):
    return {"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)}


async def hang():
    await asyncio.Event().wait()
    yield b""


async def lines(*events, then_hang=True):
    for event in events:
        yield event
    if then_hang:
        await asyncio.Event().wait()


@pytest.fixture
async def start():
    """Run an informer until the test is over."""
    tasks = []

    def run(server, resource=NODES, **options):
        informer = Informer(server.client, resource, **options)
        tasks.append(asyncio.create_task(informer.run()))
        return informer

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_it_lists_in_pages_then_follows_the_watch(start):
    def answer(request):
        if request.watching:
            assert request.params["resourceVersion"] == "10"
            assert request.params["allowWatchBookmarks"] == "true"
            return 200, lines(
                {"type": "ADDED", "object": node("c", "11")},
                {"type": "MODIFIED", "object": node("a", "12", zone="z9")},
                {"type": "DELETED", "object": node("b", "13")},
            )
        assert request.params["limit"] == "500"
        if "continue" not in request.params:
            return 200, page(node("a", zone="z1"), token="more")
        return 200, page(node("b"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: "c" in informer.objects and "b" not in informer.objects)
        assert informer.synced.is_set()
        assert informer.objects["a"].labels == {"zone": "z9"}


async def test_callbacks_see_old_and_new_and_what_was_there_before(start):
    def answer(request):
        if request.watching:
            return 200, lines(
                {"type": "MODIFIED", "object": node("a", "11", x="1")},
                {"type": "MODIFIED", "object": node("a", "12", x="1")},
                {"type": "DELETED", "object": node("a", "13")},
            )
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        seen = []
        informer.subscribe(lambda old, new: seen.append((old and old.labels, new and new.labels)))
        await until(lambda: len(seen) == 3)
        assert seen == [(None, {}), ({}, {"x": "1"}), ({"x": "1"}, None)], "heartbeats are silent"


async def test_a_watch_that_ends_goes_on_from_the_last_version_bookmarks_included(start):
    versions = []

    def answer(request):
        if not request.watching:
            return 200, page(node("a"))
        versions.append(request.params["resourceVersion"])
        if len(versions) == 1:
            bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "42"}}}
            return 200, lines(bookmark, then_hang=False)
        return 200, hang()

    async with ScriptedApiServer(answer) as server:
        start(server)
        await until(lambda: len(versions) == 2)
        assert versions == ["10", "42"]


GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}


@pytest.mark.parametrize("where", ["second page", "watch", "watch event", "list hangs"])
async def test_lists_and_watches_that_never_work_are_a_failure_whatever_the_reason(
    start, monkeypatch, caplog, where
):
    """Each had been taken for a version that expires now and then, and reported to nobody."""
    monkeypatch.setattr("metricsapi.kube.listing.LIST_TIMEOUT", 0.05)

    def answer(request):
        if request.watching:
            event = {"type": "ERROR", "object": GONE}
            return (410, GONE) if where == "watch" else (200, lines(event))
        if where == "list hangs":
            return 200, hang()
        if where == "second page":
            return (410, GONE) if "continue" in request.params else (200, page(token="more"))
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: informer.restarts >= 2)
        assert ("nothing came" if where == "list hangs" else "too old") in informer.failing()[1]
        assert caplog.text.count("cannot watch") == 1


async def test_a_version_that_expires_when_a_watch_is_resumed_is_no_failure(start, caplog):
    watches = []

    def answer(request):
        if not request.watching:
            return 200, page(node("a"))
        watches.append(request.params["resourceVersion"])
        if watches[-1] == "11":
            return 410, GONE
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "11"}}}
        return 200, lines(bookmark, then_hang=len(watches) > 1)

    async with ScriptedApiServer(answer) as server:
        start(server)
        await until(lambda: len(watches) == 3)
        assert watches == ["10", "11", "10"]
        assert not caplog.records


@pytest.mark.parametrize("as_event", [True, False])
async def test_an_expired_version_is_listed_again_and_differences_are_delivered(start, as_event):
    lists = []
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}

    def answer(request):
        if not request.watching:
            lists.append(1)
            return 200, page(node("a"), node("b")) if len(lists) == 1 else page(node("b"))
        if len(lists) > 1:
            return 200, hang()
        return (200, lines({"type": "ERROR", "object": gone})) if as_event else (410, gone)

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: len(lists) == 2 and set(informer.objects) == {"b"})
        assert informer.restarts == 1


async def test_a_silent_watch_is_listed_again_without_alarm(start, caplog):
    """A half-open connection is silent, but so is a quiet resource: etcd's default for progress
    notices, from which kube-apiserver makes bookmarks, is ten minutes."""
    watches = []

    def answer(request):
        if request.watching:
            watches.append(1)
            return 200, hang()
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server, idle_timeout=0.1)
        await until(lambda: len(watches) >= 2)
        assert set(informer.objects) == {"a"}
        assert informer.error is None
        assert informer.restarts >= 1
        assert not caplog.records


async def test_a_failure_without_words_is_named():
    """httpx gives its timeouts no text."""

    async with ScriptedApiServer(lambda _: (200, hang())) as server:
        with pytest.raises(Unreachable, match="ReadTimeout"):
            await server.client.request("GET", "/", timeout=0.5)


async def test_while_the_api_server_fails_what_is_known_stays(start):
    state = {"down": False, "watches": 0}

    def answer(request):
        if state["down"]:
            return 500, {"kind": "Status", "message": "etcd is away", "code": 500}
        if request.watching:
            state["watches"] += 1
            state["down"] = state["watches"] == 1
            event = {"type": "MODIFIED", "object": node("a")}
            return 200, lines(event, then_hang=not state["down"])
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: informer.error is not None)
        assert set(informer.objects) == {"a"}
        state["down"] = False
        await until(lambda: informer.error is None)


async def test_a_watch_that_ends_before_its_first_line_is_not_asked_again_at_once(start):
    def answer(request):
        return (200, lines(then_hang=False)) if request.watching else (200, page(node("a")))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: informer.error is not None)
        assert sum(request.watching for request in server.requests) == 1


async def test_garbage_on_the_watch_costs_a_new_list_not_the_objects(start):
    lists = []

    def answer(request):
        if not request.watching:
            lists.append(1)
            return 200, page(node("a"))
        return 200, lines(b"}{ not json\n") if len(lists) == 1 else hang()

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: len(lists) == 2)
        assert set(informer.objects) == {"a"}


async def test_pods_are_asked_for_as_metadata_of_running_ones(start):
    def answer(request):
        if request.watching:
            return 200, hang()
        return 200, page({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "a"}}})

    async with ScriptedApiServer(answer) as server:
        informer = start(server, RUNNING_PODS)
        await until(informer.synced.is_set)
        assert informer.objects["n", "p"].labels == {"app": "a"}
        await until(lambda: len(server.requests) > 1)
        request, watch = server.requests[:2]
        assert request.params["fieldSelector"] == "status.phase=Running"
        assert "as=PartialObjectMetadataList;" in request.headers["accept"]
        assert "as=PartialObjectMetadata;" in watch.headers["accept"]
        assert watch.headers["accept"].startswith("application/json;as=Table;")
        assert request.headers["authorization"] == "Bearer token"


def pod(name, version, uid="u", **labels):
    return {"metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version,
                         "labels": labels}}  # fmt: skip


def row(kind, item, node="n1", ready="1/1", columns=("Ready", "Node")):
    definitions = columns and [{"name": column} for column in columns]
    table = {"rows": [{"cells": [ready, node], "object": item}], "columnDefinitions": definitions}
    version = {"resourceVersion": item["metadata"]["resourceVersion"]}
    return {"type": kind, "object": {"kind": "Table", "metadata": version, **table}}


async def test_a_watch_of_tables_has_node_and_readiness_of_pods(start):
    watches = []

    def answer(request):
        if not request.watching:
            return 200, page(pod("a", "5"), pod("b", "6"))
        watches.append(request.params["resourceVersion"])
        if len(watches) > 1:
            return 200, lines(row("MODIFIED", pod("a", "14"), "n3"))
        return 200, lines(
            row("ADDED", pod("c", "11"), "n2", "0/1"),
            row("MODIFIED", pod("c", "12"), "n2", columns=None),
            row("DELETED", pod("b", "13"), columns=None),
            then_hang=False,
        )

    async with ScriptedApiServer(answer) as server:
        informer = Informer(server.client, RUNNING_PODS)
        seen = []
        informer.subscribe(lambda _, new: seen.append(new and (new.name, new.node, new.ready)))
        task = asyncio.create_task(informer.run())
        await until(lambda: len(seen) == 6)
        task.cancel()
    assert seen[:2] == [("a", "", False), ("b", "", False)]
    assert seen[2:] == [("c", "n2", False), ("c", "n2", True), None, ("a", "n3", True)]
    assert watches[:2] == ["10", "13"]


async def test_what_a_table_had_of_a_pod_outlasts_a_list_without_it(start):
    lists = []
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}

    def answer(request):
        if not request.watching:
            lists.append(1)
            again = len(lists) > 1
            return 200, page(pod("a", "12"), pod("b", "13", "other" if again else "u"))
        if len(lists) > 1:
            return 200, hang()
        return 200, lines(row("MODIFIED", pod("a", "11")), row("MODIFIED", pod("b", "12")), gone)

    async with ScriptedApiServer(answer) as server:
        informer = start(server, RUNNING_PODS)
        changed = []
        informer.subscribe(lambda old, new: changed.append(new.name) if old else None)
        await until(lambda: informer.restarts and len(changed) == 3)
        a, b = (informer.objects["ns", name] for name in "ab")
        assert (a.node, a.ready) == ("n1", True)
        assert (b.node, b.ready, b.uid) == ("", False, "other"), "another pod of this name"
        assert changed == ["a", "b", "b"], "a list that changes nothing is silent"


async def test_a_list_of_many_objects_lets_others_run_meanwhile(start):
    many = [node(f"n{number}") for number in range(50)]
    sizes = set()

    async def look(informer):
        while not informer.synced.is_set():
            sizes.add(len(informer.objects))
            await asyncio.sleep(0)

    async with ScriptedApiServer(lambda r: (200, hang() if r.watching else page(*many))) as server:
        informer = start(server)
        informer.subscribe(lambda *_: time.sleep(SLICE / 4))
        await asyncio.wait_for(look(informer), 10)
        assert len(informer.objects) == len(many)
        assert len(sizes) > 10


async def test_a_page_that_is_larger_than_was_asked_for_holds_up_nobody(start, monkeypatch):
    """Of a server that ignores `limit`: 150,000 pods had taken a second of the event loop."""
    monkeypatch.setattr("metricsapi.kube.listing.LARGE", 10_000)
    threads = set()

    def read(wire):
        threads.add(threading.get_ident())
        return NODES.read(wire)

    many = [node(f"n{number}") for number in range(1500)]
    async with ScriptedApiServer(lambda r: (200, hang() if r.watching else page(*many))) as server:
        informer = start(server, replace(NODES, read=read))
        await until(informer.synced.is_set)
        assert len(informer.objects) == len(many)
        assert threading.get_ident() not in threads


async def test_a_callback_that_raises_ends_no_watch_and_gets_its_change_again(start):
    """One that raised ended the watch, and with it the process."""

    def answer(request):
        if request.watching:
            return 200, lines({"type": "ADDED", "object": node("b", "11")})
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        first, second = [], []

        def raises(_, new):
            first.append(new.name)
            if len(first) < 3:
                raise RuntimeError("boom")

        informer.subscribe(raises)
        informer.subscribe(lambda _, new: second.append(new.name))
        await until(lambda: second == ["a", "b"])
        assert "boom" in informer.failing()[1]
        await until(lambda: set(first[2:]) == {"a", "b"})
        await until(lambda: informer.failing() is None)


async def test_after_an_unforeseen_failure_it_can_be_run_again_with_what_it_had(start):
    lists = []

    def answer(request):
        if request.watching:
            return 200, hang()
        lists.append(1)
        return 200, page(node("a"), *([node("b")] if len(lists) > 1 else []))

    async with ScriptedApiServer(answer) as server:
        informer = Informer(server.client, NODES)
        seen = []
        informer.subscribe(lambda _, new: seen.append(new.name))
        task = asyncio.create_task(informer.run())
        await until(lambda: seen == ["a"])
        task.cancel()
        task = asyncio.create_task(informer.run())
        await until(lambda: seen == ["a", "b"])
        task.cancel()


async def test_objects_that_cannot_be_used_are_skipped_and_logged_once(start, caplog):
    odd = {"metadata": {"labels": {"a": 1}}}

    def answer(request):
        if request.watching:
            return 200, lines(
                {"type": "ADDED", "object": odd},
                {"type": "MODIFIED", "object": {}},
                {"type": "ADDED", "object": node("b", "11")},
            )
        return 200, page(odd, node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: set(informer.objects) == {"a", "b"})
        assert informer.error is None
        assert informer.restarts == 0
    (record,) = [r for r in caplog.records if "are left out" in r.message]
    assert record.data == {"resource": "nodes", "count": 1}


@pytest.mark.parametrize(
    "broken",
    [
        b"<html>log in</html>\n",
        b'{"type":"ADDED","obj',
        b'{"type":"NEWS","object":{}}\n',
        b"\xff\n",
    ],
    ids=["HTML", "cut", "another type", "no UTF-8"],
)
async def test_whatever_a_watch_says_the_objects_stay_and_it_goes_on(start, broken):
    lists = []

    def answer(request):
        if not request.watching:
            lists.append(1)
            return 200, page(node("a"))
        if len(lists) == 1:
            return 200, lines(broken, then_hang=False)
        return 200, lines({"type": "ADDED", "object": node("b", "11")})

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: set(informer.objects) == {"a", "b"})
        assert informer.error is None


async def test_a_captive_proxy_is_an_error_and_no_end(start):
    state = {"captive": True}

    def answer(request):
        if state["captive"]:
            return 200, ["<html>", "please log in"]
        return (200, hang()) if request.watching else (200, page(node("a")))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: isinstance(informer.error, InvalidResponse))
        state["captive"] = False
        await until(lambda: set(informer.objects) == {"a"})
        await until(lambda: informer.error is None)


@pytest.mark.parametrize(
    "other",
    [
        {"metadata": {}},
        {"kind": "Status", "metadata": {}, "status": "Failure", "code": 500},
        {"metadata": {"resourceVersion": ""}, "items": [], "message": "welcome"},
    ],
)
async def test_json_that_is_no_list_takes_away_no_object(start, other):
    """A gateway responds 200 with JSON of its own."""
    state = {"other": False}

    def answer(request):
        if request.watching:
            return 200, lines(then_hang=not state["other"])
        return 200, other if state["other"] else page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: informer.objects)
        state["other"] = True
        server.hang_up()
        await until(lambda: isinstance(informer.error, InvalidResponse))
        assert "no resourceVersion" in str(informer.error)
        assert set(informer.objects) == {"a"}


async def test_a_version_that_expires_after_each_bookmark_is_not_listed_without_end(start):
    """It makes progress each time, and still has to wait longer and longer."""
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}

    def answer(request):
        if request.watching:
            return 200, lines(
                {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "11"}}},
                {"type": "ERROR", "object": gone},
            )
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: informer.restarts == 2)
        lists = sum(not request.watching for request in server.requests)
        assert lists <= 3


async def test_a_list_that_trickles_in_is_given_up(start, monkeypatch):
    """Each byte had restarted the time-out, so that nothing was current, without an error."""
    monkeypatch.setattr("metricsapi.kube.listing.LIST_TIMEOUT", 0.15)

    async def trickle():
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    async with ScriptedApiServer(lambda _: (200, trickle())) as server:
        informer = start(server)
        await until(lambda: informer.error)
        assert "no whole response to /api/v1/nodes in 0.3 s" in informer.failing()[1]


async def test_a_watch_that_trickles_without_end_is_ended_and_resumed(start, monkeypatch):
    monkeypatch.setattr("metricsapi.kube.informer.LONGEST_WATCH", 0.2)
    monkeypatch.setattr("metricsapi.kube.informer.SHORT_WATCH", 0.0)
    watches = []

    async def trickle():
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    def answer(request):
        if not request.watching:
            return 200, page(node("a"))
        watches.append(request.params["resourceVersion"])
        return 200, trickle()

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        before = informer.last_progress
        await until(lambda: len(watches) >= 3)
        assert set(watches) == {"10"}
        assert informer.last_progress > before


async def test_a_watch_that_is_forbidden_is_logged_once_and_reported_with_its_time(start, caplog):
    """Each list had counted as a recovery: two lines each time, and never five minutes of it."""
    lists = []

    def answer(request):
        if request.watching:
            return 403, {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}
        lists.append(1)
        return 200, page(node("a"))

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(informer.failing)
        since, _ = informer.failing()
        await until(lambda: len(lists) >= 3)
        assert informer.failing()[0] == since
        assert caplog.text.count("cannot watch") == 1
        assert "watching again" not in caplog.text


async def test_a_server_may_not_ask_for_a_pause_of_a_day(start, monkeypatch):
    monkeypatch.setattr("metricsapi.kube.errors.LONGEST_RETRY_AFTER", 0.2)
    lists = []

    class Busy(ScriptedApiServer):
        async def respond(self, request, writer):
            lists.append(request.path)
            writer.write(b"HTTP/1.1 429 X\r\nRetry-After: 86400\r\nContent-Length: 0\r\n\r\n")
            return True

    async with Busy() as server:
        start(server)
        await until(lambda: len(lists) >= 2)


@pytest.mark.parametrize("tokens", [["a"], ["a", "b", "c"], None], ids=["one", "three", "ever new"])
async def test_a_list_that_does_not_end_is_a_failure_and_what_is_known_stays(
    start, monkeypatch, tokens
):
    monkeypatch.setattr("metricsapi.kube.listing.MOST_PAGES", 50)
    endless, asked = [], []

    def answer(request):
        if request.watching:
            return 200, lines({"type": "ERROR", "object": {"code": 410}}, then_hang=False)
        if not endless:
            endless.append(1)
            return 200, page(node("a"))
        asked.append(1)
        token = tokens[len(asked) % len(tokens)] if tokens else str(len(asked))
        return 200, page(node("b"), token=token)

    async with ScriptedApiServer(answer) as server:
        informer = start(server)
        await until(lambda: "the list of nodes does not end" in str(informer.error))
        assert set(informer.objects) == {"a"}
        assert len(asked) <= 51
