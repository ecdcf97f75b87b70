"""Logs: one line per event, text or JSON, and nothing can forge another line."""

import io
import json
import logging
import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.telemetry import logs


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logs.LOG.setLevel(logging.NOTSET)


def written(logging_format, verbosity, act):
    stream = io.StringIO()
    logs.configure(logging_format, verbosity, stream)
    act()
    return stream.getvalue()


def test_text_lines_are_structured_as_klogs():
    text = written("text", 0, lambda: logs.LOG.info("up", extra={"data": {"node": "a", "n": 3}}))
    assert text.startswith("I")
    assert text.endswith('] "up" node="a" n=3\n')


@given(st.text(), st.text())
def test_whatever_is_logged_is_one_line_of_printable_ascii(message, value):
    for logging_format in ("text", "json"):
        text = written(
            logging_format, 0, lambda: logs.LOG.info(message, extra={"data": {"k": value}})
        )
        assert text.count("\n") == 1
        assert text[:-1].isascii()
        assert text[:-1].isprintable()


@given(st.dictionaries(st.text(), st.text()))
def test_json_lines_read_back(data):
    text = written("json", 0, lambda: logs.LOG.warning("x", extra={"data": data}))
    line = json.loads(text)
    for key, value in data.items():
        assert value in (line.get(key), line.get(f"data.{key}"))
    assert (line["msg"], line["level"]) == ("x", "warning")


def test_an_exception_stays_on_its_events_line():
    def act():
        try:
            int("two\nlines")
        except ValueError:
            logs.LOG.exception("broken")

    line = json.loads(written("json", 0, act))
    assert line["error"].startswith("ValueError(")
    assert "Traceback" in line["traceback"]
    assert written("text", 0, act).count("\n") == 1


@pytest.mark.parametrize(("verbosity", "seen"), [(0, 1), (2, 2), (3, 2), (4, 3)])
def test_verbosity_adds_requests_then_scrapes(verbosity, seen):
    def act():
        logs.LOG.info("state changed")
        logs.LOG.log(logs.REQUESTS, "request")
        logging.getLogger("metricsapi.scrape").log(logs.SCRAPES, "scrape")

    assert written("text", verbosity, act).count("\n") == seen


def test_a_stream_that_breaks_is_a_failing_health_check():
    class Full(io.StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    handler = logs.configure("text", 0, Full())
    assert handler.problem() is None
    logs.LOG.info("x")
    assert handler.problem() == "the last log line could not be written: No space left on device"


def test_a_stream_that_was_closed_is_a_failing_health_check():
    """Whoever logged had got the exception."""
    stream = io.StringIO()
    handler = logs.configure("text", 0, stream)
    stream.close()
    logs.LOG.info("x")
    assert "closed file" in handler.problem()


class Unprintable:
    def __str__(self):
        raise RuntimeError("no text")


CIRCLE = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize("data", [{"a": Unprintable()}, {"a": CIRCLE}, {"a": [{1, 2}]}, 7])
def test_data_that_cannot_be_shown_costs_neither_the_line_nor_whoever_logs(kind, data):
    text = written(kind, 0, lambda: logs.LOG.info("node failed", extra={"data": data}))
    assert "node failed" in text
    text = written(kind, 0, lambda: logs.LOG.info("%s and %s", "one"))
    assert "%s and %s" in text


def test_a_log_that_nothing_reads_delays_nothing_and_the_gap_is_logged(monkeypatch):
    """A full pipe had stalled the event loop until it was read."""
    monkeypatch.setattr("metricsapi.telemetry.log_stream.LARGEST_BACKLOG", 200_000)
    reader, writer = os.pipe()
    with open(writer, "w") as stream, open(reader, "rb", buffering=0) as pipe:  # noqa: PTH123
        logs.configure("json", 0, stream)
        for number in range(5000):
            logs.LOG.info("line", extra={"data": {"number": number, "text": "x" * 100}})
        os.set_blocking(reader, False)
        received = b""
        for _ in range(2000):
            while chunk := pipe.read(65536):
                received += chunk
            if b"were dropped" in received:
                break
            logs.LOG.info("line", extra={"data": {"number": 0, "text": ""}})
    lines = [json.loads(line) for line in received.splitlines() if line.endswith(b"}")]
    numbers = [line["number"] for line in lines if line["msg"] == "line" and line["text"]]
    assert numbers == list(range(len(numbers)))
    (gap,) = (line for line in lines if "were dropped" in line["msg"])
    assert gap["lines"] >= 5000 - len(numbers)
    assert gap["level"] == "warning"


@given(st.lists(st.text(max_size=2000), max_size=20))
def test_every_line_arrives_whole_and_in_order_whatever_its_text(texts):
    with tempfile.TemporaryFile("w+") as stream:
        logs.configure("json", 0, stream)
        for text in texts:
            logs.LOG.info("line", extra={"data": {"text": text}})
        stream.seek(0)
        assert [json.loads(line)["text"] for line in stream.read().splitlines()] == texts
