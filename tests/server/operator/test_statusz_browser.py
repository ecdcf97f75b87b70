"""The status page in a headless Chromium: its policy holds, it sorts, filters and is legible."""

import re
import subprocess
import threading
from functools import partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metricsapi.server.operator.statusz_page import CONTENT_SECURITY_POLICY, as_page
from metricsapi.telemetry.troubleshooting import REMEDIES
from tests.server.operator.rows import NOW, failing, good, mixed, status
from tests.support.needs import needed

pytestmark = pytest.mark.slow

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

LONG = "10.0.0.6:10250/stats/summary answered 403: Forbidden (user=someone, verb=get) " * 3


class Page(BaseHTTPRequestHandler):
    """Answers GETs by `answer(path)`: (status, body)."""

    def __init__(self, answer, policy, *args):
        self.answer, self.policy = answer, policy
        super().__init__(*args)

    def do_GET(self):
        status, body = self.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


def page(nodes):
    return "".join(as_page(status(nodes)))


@pytest.fixture
def dom(tmp_path):
    """Load a page as the server sends it; returns the document after its scripts ran."""
    chromium = needed("chromium", "chromium-browser")

    def load(html, *, policy=CONTENT_SECURITY_POLICY, script="", flags=(), later=None):
        """`later(path)` answers what is asked after the page itself."""

        def scripted(html):  # what a person would do; the page's own policy would forbid it
            return html.replace("</body>", f"<script>{script}</script></body>")

        first = [scripted(html) if script else html]

        def answer(path):
            if first:
                return 200, first.pop()
            return later(path) if later else (404, "")

        handler = partial(Page, answer, None if script else policy)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            where = [f"--user-data-dir={tmp_path}", f"http://127.0.0.1:{server.server_port}/"]
            command = [chromium, *FLAGS, *flags, "--dump-dom", *where]
            done = subprocess.run(command, capture_output=True, timeout=90, check=True)
            server.shutdown()
        return done.stdout.decode()

    return load


def names(document):
    return re.findall(r'<tr[^>]*><th scope="row">([^<]*)<', document)


def test_script_and_style_run_under_the_pages_own_policy(dom):
    document = dom(page(mixed(30)))
    assert 'aria-sort="ascending"' in document  # set by the script
    assert names(document)[:4] == ["worker-a", "worker-b", "worker-c", "new"]


def test_an_injected_script_does_not_run(dom):
    evil = failing("<script>document.title='owned'</script>", "status", "x")
    html = page([evil]).replace("</body>", "<script>document.title='in'</script>")
    assert "<title>metrics-server kind-dev statusz</title>" in dom(html)


def test_a_click_on_a_head_sorts_and_a_second_one_reverses_it(dom):
    html = page(mixed(1000))
    once = "document.querySelectorAll('#nodes th button')[5].click();"
    up = names(dom(html, script=once))
    down = names(dom(html, script=once + once))
    assert len(up) == len(down) == 1000
    assert up[4] in {f"node-{number}" for number in range(0, 1000, 37)}  # the least CPU of all
    assert down[3] in {f"node-{number}" for number in range(36, 1000, 37)}  # the most


def test_the_filter_hides_other_nodes(dom):
    type_in = (
        "const f = document.getElementById('filter'); f.value = 'refused';"
        "f.dispatchEvent(new Event('input', { bubbles: true }));"
    )
    document = dom(page(mixed(200)), script=type_in)
    shown = re.findall(r'<tr data-key="([^"]*)">', document)  # without `hidden`
    assert shown == ["worker-a", "worker-b"]


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_legible_in_light_and_dark(dom, dark):
    """Every text has at least WCAG's 4.5:1 against what is behind it."""
    measure = """
    const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => {
      v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (e) => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c; } };
    let least = 99;
    for (const e of document.querySelectorAll("h1, b, p, a, .soft, td, th button, .note")) {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      least = Math.min(least, (a + 0.05) / (b + 0.05)); }
    document.title = `${matchMedia("(prefers-color-scheme: dark)").matches} ${least.toFixed(2)}`;
    """
    flags = ["--blink-settings=preferredColorScheme=0"] if dark else []
    document = dom(page(mixed(12)), script=measure, flags=flags)
    seen, least = re.search(r"<title>(\w+) ([\d.]+)</title>", document).groups()
    assert seen == ("true" if dark else "false")
    assert float(least) >= 4.5


LATER = ["--virtual-time-budget=16000"]  # milliseconds, in which the page refreshes itself


def test_a_server_that_has_died_is_shown_at_once_and_ages_count_on(dom):
    script = """
    setTimeout(() => { document.title = [document.documentElement.className,
      document.getElementById("lost").textContent].join("|"); }, 2500);
    """

    def dead(_):
        return 502, "the server does not answer: Connection refused"

    flags = [*LATER, "--window-size=1280,2000"]
    document = dom(page(mixed(10)), script=script, flags=flags, later=dead)
    (title,) = re.findall("<title>(.*?)</title>", document)
    assert re.match(
        r"lost\|Lost at \d\d:\d\d:\d\d: the server does not answer: Connection refused", title
    )
    before = re.findall("<time[^>]*>(\\d+) s<", page(mixed(10)))
    after = re.findall("<time[^>]*>(\\d+) s<", document)
    assert int(after[-1]) - int(before[-1]) in range(10, 20)


def test_a_server_that_is_back_is_shown_as_that(dom):
    asked = []

    def restarted(path):
        asked.append(path)
        return (502, "gone") if len(asked) < 3 else (200, page([good("came-back")]))

    document = dom(page(mixed(10)), script=" ", flags=LATER, later=restarted)
    assert names(document) == ["came-back"]
    assert re.search('<div id="lost" role="alert" hidden="">', document)
    assert 'class="lost"' not in document


def test_a_refresh_keeps_scroll_position_selection_and_folds(dom):
    """All of it had been replaced, every five seconds."""
    nodes = [good(f"node-{number:03}", number) for number in range(1000)]
    bad = [failing(f"bad-{number}", "refused", "no") for number in range(9)]
    fresh = [good("node-000", 7), *nodes[1:60], *nodes[61:], good("node-new", 5)]
    script = """
    const box = document.getElementById("nodes");
    box.style.maxHeight = "300px";
    box.scrollTop = 500;
    document.querySelector("details").open = true;
    const row = document.querySelector('[data-key="node-030"]');
    getSelection().setBaseAndExtent(row.cells[0].firstChild, 0, row.cells[0].firstChild, 8);
    setTimeout(() => { document.title = [box.scrollTop, getSelection().toString(),
      document.querySelector("details").open, document.querySelectorAll("#nodes tbody tr").length,
      document.querySelector('[data-key="node-000"]').cells[5].textContent].join("|"); }, 8000);
    """
    document = dom(
        page([*nodes, *bad]),
        script=script,
        flags=LATER,
        later=lambda _: (200, page([*fresh, *bad])),
    )
    assert "<title>500|node-030|true|1000|800m</title>" in document


def test_a_large_group_of_failing_nodes_is_folded_to_its_cause(dom):
    nodes = [failing(f"bad-{number}", "refused", "no", since=NOW - 600) for number in range(202)]
    script = "document.title = document.getElementById('groups').offsetHeight;"
    document = dom(page([*nodes, failing("worse", "forbidden", "403")]), script=script)
    (height,) = re.findall("<title>(.*?)</title>", document)
    assert int(height) < 400
    assert document.count(REMEDIES["refused"].fix) == 1
    assert "202 nodes failing: nothing listens on the kubelet's port" in document


def test_on_a_phone_the_cause_is_read_without_scrolling_sideways(dom):
    long = failing("ip-10-0-0-6.eu-central-1.compute.internal", "forbidden", LONG)
    script = """
    const group = document.querySelector("details .wrap");
    const message = document.querySelector(".below").getBoundingClientRect();
    const head = document.querySelector("#nodes tbody th");
    document.getElementById("nodes").scrollLeft = 200;
    parent.document.title = [innerWidth, group.scrollWidth - group.clientWidth,
      message.right <= innerWidth, document.documentElement.scrollWidth <= innerWidth,
      head.getBoundingClientRect().left >= 0, head.offsetWidth < innerWidth / 2].join("|");
    """
    nodes = [good(f"node-{number}", number) for number in range(30)]
    # A window of a desktop is not narrower than 500 pixels, so the phone is a frame in it.
    inner = escape(page([*nodes, long]).replace("</body>", f"<script>{script}</script></body>"))
    frame = f'<title></title><iframe width="390" height="844" srcdoc="{inner}"></iframe>'
    document = dom(frame, policy=None, flags=["--virtual-time-budget=2000"])
    assert "<title>390|0|true|true|true|true</title>" in document


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_table_fits_a_usual_window(dom, width):
    """The last column, what to do, was cut off by the edge."""
    measure = """
    const over = [...document.querySelectorAll(".wrap")].map((b) => b.scrollWidth - b.clientWidth);
    document.title = `${innerWidth} ${Math.max(...over)}`;
    """
    rows = [*mixed(30), failing("worker-with-a-longer-name.example", "forbidden", LONG)]
    flags = [f"--window-size={width},900", "--hide-scrollbars=false"]
    document = dom(page(rows), script=measure, flags=flags)
    seen, over = re.search(r"<title>(\d+) (-?\d+)</title>", document).groups()
    assert abs(int(seen) - width) < 50
    assert int(over) <= 0
