"""/statusz and /flagz: three formats, every node, nothing unescaped."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.config.read import flag_texts
from metricsapi.config.settings import Settings
from metricsapi.server.operator.flagz import flagz_routes
from metricsapi.server.operator.statusz import statusz_routes
from metricsapi.server.operator.statusz_json import as_json
from metricsapi.server.operator.statusz_page import as_page
from metricsapi.server.operator.statusz_text import as_text
from metricsapi.server.task import TaskHealth
from metricsapi.telemetry.troubleshooting import REMEDIES
from tests.server.operator.rows import NOW, failing, good, mixed, status
from tests.server.operator.serving import serving


def client(nodes=(), **more):
    async def now():
        return status(nodes, **more)

    return serving(statusz_routes(now), flagz_routes(flag_texts(Settings())))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/plain; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("application/json;q=0.1, text/*", "text/plain; charset=utf-8"),
        ("application/*", "application/json"),
        ("text/html;q=0, */*;q=0.5", "text/plain; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("path", ["/statusz", "/flagz"])
async def test_the_format_is_the_callers_choice(path, accept, kind):
    async with client() as http:
        got = await http.get(path, headers={"Accept": accept})
        assert (got.status_code, got.headers["Content-Type"]) == (200, kind)
        assert (await http.get(path, headers={"Accept": "image/png"})).status_code == 406
        named = await http.get(f"{path}?format=json", headers={"Accept": "text/html"})
        assert named.json()["component"] == "metrics-server"


async def test_text_has_the_head_of_kubernetes_components_and_a_line_per_node():
    async with client(mixed(9)) as http:
        lines = (await http.get("/statusz")).text.splitlines()
    assert lines[0] == "metrics-server statusz"
    assert "Up: 1 hr 06 min 40 sec" in lines
    assert "Nodes: 5 ok, 3 failing, 1 pending" in lines
    assert lines[-9].split()[:2] == ["worker-a", "failing:refused"]
    assert "2 failing, nothing listens on the kubelet's port: worker-a, worker-b" in lines


async def test_trouble_has_its_age_and_how_long_usage_is_still_served():
    nodes = [
        failing("new", "refused", "no", since=NOW - 30, served_until=NOW + 31, sample_age=29.0),
        failing("old", "refused", "no", since=NOW - 7300),
        good("fine", 4, cpu_allocatable=10**9, memory_allocatable=2**32, since=NOW - 5000),
    ]
    async with client(nodes) as http:
        text = (await http.get("/statusz")).text
        page = (await http.get("/statusz?format=html")).text
        rows = (await http.get("/statusz?format=json")).json()["nodes"]
    assert "\nCluster: kind-dev\n" in text
    assert "  For 2 h; earlier usage of 1 is still served\n" in text
    cells = {line.split()[0]: re.split("  +", line) for line in text.splitlines() if line}
    assert cells["new"][2:6] == ["30 s", "2026-11-23T09:03:25Z", "29.0s", "31 s"]
    assert cells["old"][2] == "2 h"
    assert "50%" in cells["fine"]
    assert rows[0]["served_until"] == "2026-11-23T09:05:31Z"
    assert ">31 s</time>" in page
    assert "none is served" in page
    assert "<span>50%</span>" in page


async def test_json_gives_each_node_with_what_to_do():
    nodes = [failing("bad", "forbidden", "403 for /stats/summary"), good("fine", 4)]
    async with client(nodes, unready={"metric-storage-ready": "1 not tried"}) as http:
        got = (await http.get("/statusz?format=json")).json()
    assert got["ready"] is False
    assert got["counts"] == {"ok": 1, "failing": 1, "pending": 0}
    bad, fine = got["nodes"]
    assert bad["what_to_do"] == REMEDIES["forbidden"].fix
    assert bad["last_good"] == "2026-11-23T09:03:25Z"
    assert (fine["cpu"], fine["containers"], fine["duration"]) == (500_000_000, 60, 0.06)


async def test_names_and_messages_cannot_write_into_page_or_terminal():
    evil = failing("<img src=x>", "status", 'x"><script>alert(1)</script>\x1b[31m\x07\u202e')
    async with client([evil], remarks=["<b>remark</b>"]) as http:
        html = (await http.get("/statusz?format=html")).text
        text = (await http.get("/statusz?format=text")).text
    assert "<img" not in html
    assert "<script>alert" not in html
    assert "<b>remark" not in html
    for shown in (text, html):
        assert not any(char < " " or char == "\u202e" for char in shown.replace("\n", ""))


async def test_the_page_loads_nothing_and_its_policy_would_not_let_it():
    async with client(mixed(9)) as http:
        got = await http.get("/statusz?format=html")
    assert "://" not in got.text
    assert " src=" not in got.text
    assert "<link" not in got.text
    assert got.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha2")


async def test_flagz_shows_every_flag_with_its_value():
    async with client() as http:
        text = (await http.get("/flagz")).text
        flags = json.loads((await http.get("/flagz?format=json")).text)["flags"]
    assert "\nmetric-resolution=15s\n" in text
    assert len(flags) == len(flag_texts(Settings()))
    assert flags["kubelet-preferred-address-types"].startswith("Hostname,InternalDNS,")


async def test_a_clock_that_was_set_back_makes_no_negative_time():
    future = [good("a", last_good=NOW + 3600, since=NOW + 3600), failing("b", "refused", "no")]

    async def now():
        return dataclasses.replace(status(future), now=NOW - 90_000)

    async with serving(statusz_routes(now)) as http:
        for kind in ("text", "json", "html"):
            got = await http.get(f"/statusz?format={kind}")
            assert got.status_code == 200
            assert not re.search(
                r"[ >]-[0-9]", re.sub("<script>.*</script>", "", got.text, flags=re.DOTALL)
            )


class Elements(HTMLParser):
    """The elements of a page outside its style and script, and the keys of its rows."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.keys, self.handlers = set(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag == "tr" and "data-key" in dict(attributes):
            self.keys.append(dict(attributes)["data-key"])


KNOWN_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "script", "div", "header", "h1", "span"),
    *("a", "b", "br", "time", "input", "label", "details", "summary", "strong", "meter"),
    *("table", "thead", "tbody", "tr", "th", "td", "button"),
}
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=40)


@given(name=texts, message=texts, reason=texts, cluster=texts, remark=texts)
def test_no_text_from_elsewhere_makes_an_element_a_line_or_a_command(
    name, message, reason, cluster, remark
):
    nodes = [
        good(name, 1, endpoint_reason=reason),
        failing(name + "2", "refused", message, since=NOW - 9),
    ]
    tasks = [TaskHealth("scraper", 1, 2.0, message)]
    now = status(nodes, cluster=cluster, remarks=[remark], unready={"check": remark}, tasks=tasks)
    page = Elements("".join(as_page(now)))
    assert page.tags <= KNOWN_TAGS
    assert page.handlers == []
    assert sorted(page.keys) == sorted([name, name + "2"])
    assert json.loads("".join(as_json(now)))["cluster"] == cluster
    text = "".join(as_text(now))
    assert all(char.isprintable() or char == "\n" for char in text)
    lines = len("".join(as_text(status([good("a"), failing("b", "x", "m")]))).splitlines())
    assert len(text.split("\n")) - 1 <= lines + 3
