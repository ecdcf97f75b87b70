"""Health endpoints: the recorded texts, and what may and may not make them fail."""

import pytest

from metricsapi.server.operator.health import Liveness, health_routes
from tests.server.operator.serving import serving

LIVENESS = ("log", "loop", "summary", "scraping", "watches")
READINESS = {
    "tried": "metric-storage-ready",
    "nodes_synced": "metric-informer-sync",
    "pods_synced": "metadata-informer-sync",
    "shutdown": "shutdown",
}


def client(remarks=(), **failing):
    def answering(text):
        return lambda: text

    liveness = Liveness(**{name: answering(failing.get(name)) for name in LIVENESS})
    readiness = {name: answering(failing.get(key)) for key, name in READINESS.items()}
    return serving(health_routes(liveness, readiness, lambda: remarks))


@pytest.mark.parametrize(
    "name", ["healthz", "healthz-verbose", "livez", "livez-verbose", "readyz", "readyz-verbose"]
)
async def test_texts_are_the_recorded_ones(recorded, name):
    want = recorded[name]
    async with client() as http:
        got = await http.get(want["path"])
    assert (got.status_code, got.text) == (want["status"], want["body"])
    for header in ("Cache-Control", "Content-Type", "X-Content-Type-Options"):
        assert got.headers[header] == want["response_headers"][header]


@pytest.mark.parametrize("verbose", ["", "?verbose"])
async def test_a_failing_check_is_named_and_its_reason_withheld(verbose):
    async with client(tried="3 of 4 nodes not tried yet") as http:
        got = await http.get(f"/readyz{verbose}")
        assert got.status_code == 500
        assert "[-]metric-storage-ready failed: reason withheld\n" in got.text
        assert "[+]metric-informer-sync ok\n" in got.text
        assert got.text.endswith("readyz check failed\n")
        assert "not tried" not in got.text


async def test_exclude_leaves_a_check_out_and_warns_of_unknown_names():
    async with client(tried="no") as http:
        got = await http.get("/readyz?verbose&exclude=metric-storage-ready&exclude=nope,%0A")
    assert got.status_code == 200
    assert "[+]metric-storage-ready excluded: ok\n" in got.text
    assert 'cannot be excluded: no matches for "\\n", "nope"\n' in got.text


async def test_single_checks_by_path():
    async with client(tried="2 nodes not tried yet") as http:
        assert (await http.get("/readyz/ping")).text == "ok"
        assert (await http.get("/livez/poststarthook/max-in-flight-filter")).text == "ok"
        got = await http.get("/readyz/metric-storage-ready")
        assert (got.status_code, got.text) == (
            500,
            "internal server error: 2 nodes not tried yet\n",
        )
        assert (await http.get("/livez/metric-storage-ready")).status_code == 404


@pytest.mark.parametrize("name", ["tried", "nodes_synced", "pods_synced", "shutdown"])
async def test_liveness_ignores_kubelets_the_api_server_and_leaving(name):
    async with client(**{name: "bad"}) as http:
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 500


@pytest.mark.parametrize("name", ["loop", "summary", "scraping", "watches"])
async def test_liveness_fails_when_a_loop_stands_still(name):
    async with client(**{name: "no cycle for 120 s"}) as http:
        assert (await http.get("/livez")).status_code == 500


async def test_remarks_are_shown_by_verbose_alone():
    async with client(remarks=["none of 3 nodes could be read"]) as http:
        assert (await http.get("/readyz")).text == "ok"
        assert (
            "\nwarn: none of 3 nodes could be read\nreadyz check passed\n"
            in (await http.get("/readyz?verbose")).text
        )


async def test_a_check_that_breaks_is_a_check_that_fails():
    def broken():
        raise RuntimeError("boom")

    async with serving(health_routes(Liveness(**dict.fromkeys(LIVENESS, broken)), {})) as http:
        got = await http.get("/livez/log")
    assert got.text == "internal server error: RuntimeError: boom\n"
