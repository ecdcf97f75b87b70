"""The status page in a headless Chromium: its policy holds, it sorts, filters and is legible."""

import re
import subprocess
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from metricsapi.server.operator.statusz_page import CONTENT_SECURITY_POLICY, as_page
from tests.server.operator.rows import failing, mixed, status
from tests.support.needs import needed

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
    def __init__(self, body, policy, *args):
        self.body, self.policy = body, policy
        super().__init__(*args)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.policy:
            self.send_header("Content-Security-Policy", self.policy)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args):
        pass


def page(nodes):
    return "".join(as_page(status(nodes)))


@pytest.fixture
def dom(tmp_path):
    """Load a page as the server sends it; returns the document after its scripts ran."""
    chromium = needed("chromium", "chromium-browser")

    def load(html, *, policy=CONTENT_SECURITY_POLICY, script="", flags=()):
        if script:  # what a person would do; the page's own policy would forbid it
            html, policy = html.replace("</body>", f"<script>{script}</script></body>"), None
        with HTTPServer(("127.0.0.1", 0), partial(Page, html.encode(), policy)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            where = [f"--user-data-dir={tmp_path}", f"http://127.0.0.1:{server.server_port}/"]
            command = [chromium, *FLAGS, *flags, "--dump-dom", *where]
            done = subprocess.run(command, capture_output=True, timeout=90, check=True)
            server.shutdown()
        return done.stdout.decode()

    return load


def names(document):
    return re.findall(r"<tr[^>]*><td>([^<]*)</td>", document.split("<tbody>")[1])


def test_script_and_style_run_under_the_pages_own_policy(dom):
    document = dom(page(mixed(30)))
    assert 'aria-sort="ascending"' in document  # set by the script
    assert names(document)[:4] == ["worker-a", "worker-b", "worker-c", "new"]


def test_an_injected_script_does_not_run(dom):
    evil = failing("<script>document.title='owned'</script>", "status", "x")
    html = page([evil]).replace("</body>", "<script>document.title='in'</script>")
    assert "<title>metrics-server statusz</title>" in dom(html)


def test_a_click_on_a_head_sorts_and_a_second_one_turns_it_round(dom):
    html = page(mixed(1000))
    once = "document.querySelectorAll('th button')[5].click();"
    up = names(dom(html, script=once))
    down = names(dom(html, script=once + once))
    assert len(up) == len(down) == 1000
    assert up[4] in {f"node-{number}" for number in range(0, 1000, 37)}  # the least CPU of all
    assert down[0] in {f"node-{number}" for number in range(36, 1000, 37)}  # the most


def test_the_filter_hides_other_nodes(dom):
    type_in = (
        "const f = document.getElementById('filter'); f.value = 'refused';"
        "f.dispatchEvent(new Event('input', { bubbles: true }));"
    )
    document = dom(page(mixed(200)), script=type_in)
    shown = re.findall(r"<tr><td>([^<]*)</td>", document)
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


@pytest.mark.parametrize("width", [1280, 1920])
def test_the_table_fits_a_usual_window(dom, width):
    """The last column, what to do, was cut off by the edge."""
    measure = """
    const box = document.getElementById("body");
    document.title = `${innerWidth} ${box.scrollWidth - box.clientWidth}`;
    """
    rows = [*mixed(30), failing("worker-with-a-longer-name.example", "forbidden", LONG)]
    flags = [f"--window-size={width},900", "--hide-scrollbars=false"]
    document = dom(page(rows), script=measure, flags=flags)
    seen, over = re.search(r"<title>(\d+) (-?\d+)</title>", document).groups()
    assert abs(int(seen) - width) < 50
    assert int(over) <= 0
