"""Kubelets that speak HTTP differently from most, over real sockets and TLS."""

import asyncio
import gzip

import pytest

from metricsapi.scrape.errors import Cause
from metricsapi.scrape.targets import Target
from tests.support.kubelet import CLUSTER, Kubelet, Reader, http, is_sample, summary
from tests.support.pki import SERVER

BODY = summary("n1", pods=40)
GZIP = gzip.compress(BODY)


def until_close(body, *, announce="", chunks=3):
    async def answer(_, writer):
        writer.write(f"HTTP/1.1 200 OK\r\n{announce}\r\n".encode())
        size = len(body) // chunks + 1
        for begin in range(0, len(body), size):
            writer.write(body[begin : begin + size])
            await writer.drain()
        writer.close()

    return answer


def abrupt(body):
    """End TCP without ending TLS before, as some servers do."""

    async def answer(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").shutdown(1)

    return answer


@pytest.mark.parametrize("certificate", ["127.0.0.1", None])
@pytest.mark.parametrize("announce", ["", "Connection: close\r\n"])
async def test_an_answer_may_end_with_the_connection(certificate, announce):
    kubelet = Kubelet(until_close(BODY, announce=announce), certificate=certificate)
    async with kubelet, Reader(kubelet, plain_http=certificate is None) as read:
        for _ in range(2):
            assert len((await read()).pods) == 40


async def test_a_summary_that_ends_without_the_end_of_tls_is_taken_if_it_is_whole():
    async with Kubelet(abrupt(BODY)) as kubelet, Reader(kubelet, endpoint="summary") as read:
        assert len((await read()).pods) == 40
        kubelet.answer = abrupt(BODY[:-20])
        failure = await read()
        assert failure.cause is Cause.TRUNCATED


async def test_an_exposition_that_ends_without_the_end_of_tls_may_lack_lines():
    exposition = b"node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 2\n"
    async with (
        Kubelet(abrupt(exposition)) as kubelet,
        Reader(kubelet, endpoint="resource") as read,
    ):
        assert (await read()).cause is Cause.TRUNCATED
        kubelet.answer = until_close(exposition)
        assert is_sample(await read())


async def test_interim_answers_are_skipped():
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with Kubelet(lambda _: interim + http(BODY)) as kubelet, Reader(kubelet) as read:
        for _ in range(2):
            assert is_sample(await read())
        assert kubelet.connections == 1


@pytest.mark.parametrize("chunks", [0, 9])
async def test_gzip_that_nobody_asked_for_is_undone(chunks):
    def answer(_):
        return http(GZIP, headers=["Content-Encoding: gzip"], chunks=chunks)

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        assert len((await read()).pods) == 40


async def test_gzip_that_inflates_without_end_is_too_large():
    bomb = gzip.compress(bytes(64 * 2**20))

    def answer(_):
        return http(bomb, headers=["Content-Encoding: gzip"])

    async with Kubelet(answer) as kubelet, Reader(kubelet, max_response_bytes=2**20) as read:
        failure = await read()
        assert failure.cause is Cause.TOO_LARGE
        assert "1048576 bytes" in failure.message


async def test_another_coding_is_named():
    def answer(_):
        return http(b"x", headers=["Content-Encoding: br"])

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.DECODE
        assert "Content-Encoding 'br'" in failure.message


async def test_a_redirect_is_not_followed_and_its_target_is_named():
    def answer(_):
        return http(b"moved", 302, headers=["Location: https://elsewhere.example/stats"])

    async with Kubelet(answer) as kubelet, Reader(kubelet) as read:
        failure = await read()
        assert failure.cause is Cause.STATUS
        assert "'https://elsewhere.example/stats'" in failure.message


@pytest.mark.parametrize(
    "host", ["a..b", "x" * 64 + ".example", "nul\0l", ".", "ü" * 70, "-", "a b", "host:port/path"]
)
async def test_what_is_no_host_name_costs_that_address_only(host):
    certificate = CLUSTER.issue("n1", usages=(SERVER,), names=["127.0.0.1"])
    async with Kubelet(certificate=certificate) as kubelet:
        both = Target("n1", (host, "127.0.0.1"), kubelet.port)
        async with Reader(kubelet, target=both) as read:
            assert is_sample(await read())
        async with Reader(kubelet, target=Target("n1", (host,), kubelet.port)) as read:
            failure = await read()
            assert failure.cause in (Cause.NAME_NOT_FOUND, Cause.UNREACHABLE)
            assert host[:5] in failure.message or repr(host)[1:5] in failure.message


@pytest.mark.parametrize("port", [0, 65536, 10**9])
async def test_a_port_that_is_none_is_a_failure_of_the_node(port):
    async with Reader(Kubelet(), target=Target("n1", ("127.0.0.1",), port), port=1) as read:
        assert (await read()).cause in (
            Cause.NAME_NOT_FOUND,
            Cause.UNREACHABLE,
            Cause.REFUSED,
        )


def chunked(extension=b"", trailer=b""):
    """Return BODY in three chunks, each with an extension (RFC 9112, 7.1.1)."""
    size = len(BODY) // 3 + 1
    pieces = [BODY[i : i + size] for i in range(0, len(BODY), size)]
    coded = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces]
    return b"".join([*coded, b"0", extension, b"\r\n", trailer, b"\r\n"])


OK, LENGTH = b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ODD_BUT_GOOD = {
    "1.0, kept alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH + b"\r\n" + BODY,
    "1.0, chunked": CHUNKED.replace(b"1.1", b"1.0", 1) + chunked(),
    "chunk extensions": CHUNKED + chunked(b';a=b;c="d"'),
    "long chunk extensions": CHUNKED + chunked(b";a=" + b"x" * 50_000),
    "trailers": CHUNKED + chunked(trailer=b"Content-Encoding: br\r\nLocation: /\r\n"),
    "a long header name": OK + b"X" * 60_000 + b": y\r\n" + LENGTH + b"\r\n" + BODY,
    "no reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "empty lines before": b"\r\n\r\n" + OK + LENGTH + b"\r\n" + BODY,
    "a length beside chunks": CHUNKED[:-2] + b"Content-Length: 7\r\n\r\n" + chunked(),
    "two answers": (OK + LENGTH + b"\r\n" + BODY) * 2,
}
REFUSED = {
    "two lengths": (OK + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY, Cause.NOT_HTTP),
    "a length that is none": (OK + b"Content-Length: \xb2\r\n\r\n" + BODY, Cause.NOT_HTTP),
    "a chunk of 2^72 bytes": (CHUNKED + b"f" * 18 + b"\r\nabc", Cause.NOT_HTTP),
    "a chunk of less than none": (CHUNKED + b"-5\r\nabc\r\n0\r\n\r\n", Cause.NOT_HTTP),
    "trailers without an end": (CHUNKED + chunked(trailer=b"X: " + b"y" * 2**21), Cause.TOO_LARGE),
    "headers without an end": (OK + b"X: y\r\n" * 50_000, Cause.TOO_LARGE),
    "interim answers without an end": (b"HTTP/1.1 100 \r\n\r\n" * 50_000, Cause.TOO_LARGE),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Cause.NOT_HTTP),
    "another protocol": (b"HTTP/1.1 101 \r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
                         Cause.STATUS),
    "gzip of gzip": (http(gzip.compress(GZIP), headers=["Content-Encoding: gzip"]), Cause.DECODE),
    "gzip of nothing": (http(b"", headers=["Content-Encoding: gzip"]), Cause.TRUNCATED),
    "nothing": (http(b""), Cause.DECODE),
    "no object": (http(b"null"), Cause.DECODE),
    "two documents": (http(BODY * 2), Cause.DECODE),
    "a part": (OK.replace(b"200", b"206") + LENGTH + b"\r\n" + BODY, Cause.STATUS),
    "status 0": (OK.replace(b"200", b"000") + LENGTH + b"\r\n" + BODY, Cause.STATUS),
}  # fmt: skip


def sent_and_closed(data):
    async def answer(_, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


async def answer_to(data, certificate):
    kubelet = Kubelet(sent_and_closed(data), certificate=certificate)
    plain = {"plain_http": certificate is None}
    async with kubelet, Reader(kubelet, max_response_bytes=2**20, **plain) as read:
        return await read()


@pytest.mark.parametrize("certificate", ["127.0.0.1", None])
@pytest.mark.parametrize("data", ODD_BUT_GOOD.values(), ids=ODD_BUT_GOOD)
async def test_an_odd_answer_that_is_whole_is_taken(data, certificate):
    assert len((await answer_to(data, certificate)).pods) == 40


@pytest.mark.parametrize(("data", "cause"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_whole_answer_has_a_cause(data, cause):
    failure = await answer_to(data, None)
    assert failure.cause is cause
    assert failure.message.isprintable()
