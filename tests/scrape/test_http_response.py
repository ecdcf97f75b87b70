"""What counts as a whole response of a kubelet, without sockets."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.scrape.errors import Cause, ScrapeError
from metricsapi.scrape.http_response import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"


def read(*pieces, end=None, limit=10_000):
    """Feed pieces, then the end of the connection where `end` says whether it was clean."""
    reader = ResponseReader("n1:10250", limit, 1.0)
    for number, piece in enumerate(pieces):
        reader.feed(piece, 10.0 + number)
    if end is not None:
        reader.end(clean=end)
    return reader


def refused(*pieces, **options):
    with pytest.raises(ScrapeError) as caught:
        read(*pieces, **options)
    assert str(caught.value).startswith("n1:10250 ")
    return caught.value


def with_length(body, *headers):
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", b""]
    return b"\r\n".join(head) + body


def test_a_body_with_its_length_leaves_the_connection_usable():
    reader = read(with_length(b"abc"))
    assert (reader.response.status, reader.response.body) == (200, b"abc")
    assert reader.reusable


@pytest.mark.parametrize("first_line", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"])
def test_a_body_may_end_with_the_connection(first_line):
    reader = read(first_line + b"\r\nContent-Type: text/plain\r\n\r\nab", b"cd", end=True)
    assert (reader.response.body, reader.reusable) == (b"abcd", False)
    assert not reader.response.cut_possible


def test_an_end_that_was_not_announced_is_noted():
    assert read(OK + b"\r\nab", end=False).response.cut_possible


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2"])
def test_an_end_before_the_body_is_no_response(start):
    cause = refused(*([start] if start else []), end=True).cause
    assert cause is (Cause.TRUNCATED if start else Cause.RESET)


@pytest.mark.parametrize(
    "headers", [b"Content-Length: 5\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"]
)
def test_a_body_that_ends_before_its_announced_length_is_truncated(headers):
    assert refused(OK + headers, end=True).cause is Cause.TRUNCATED


def test_interim_responses_are_skipped_and_the_times_are_those_of_the_final_one():
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    reader = read(interim, early + with_length(b"abc"))
    assert (reader.response.status, reader.response.body) == (200, b"abc")
    assert reader.response.answered_at == 11.0
    assert reader.reusable


def test_the_first_byte_of_a_response_is_when_it_was_answered():
    response = with_length(b"abc")
    assert read(response[:1], response[1:20], response[20:]).response.answered_at == 10.0


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 4000,
        OK + b"X: " + b"x" * 70_000,
        OK + b"\r\n" + b"x" * 20_000,
        OK + b"Content-Length: 20000\r\n\r\n" + b"x" * 20_000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000,
    ],
)
def test_more_than_is_allowed_is_refused(endless):
    assert refused(endless).cause is Cause.TOO_LARGE


@pytest.mark.parametrize("length", [101, 10**30])
def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(length):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
    assert refused(head, limit=100).cause in (Cause.TOO_LARGE, Cause.NOT_HTTP)


def test_a_body_in_tiny_pieces_is_refused():
    """Each piece costs the same, whatever it carries."""
    chunks = b"1\r\nx\r\n" * 10_000
    whole = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    assert refused(whole, limit=2**20).cause is Cause.TOO_LARGE


@pytest.mark.parametrize("coding", [b"gzip", b"x-gzip", b"GZIP"])
def test_gzip_that_nobody_asked_for_is_undone(coding):
    members = gzip.compress(b"ab") + gzip.compress(b"cd")
    whole = with_length(members, b"Content-Encoding: " + coding)
    assert read(whole).response.body == b"abcd"
    assert read(*[whole[i : i + 1] for i in range(len(whole))]).response.body == b"abcd"


def test_gzip_is_bounded_by_what_it_inflates_to():
    bomb = gzip.compress(bytes(50_000_000))
    whole = with_length(bomb, b"Content-Encoding: gzip")
    assert refused(whole, limit=100_000).cause is Cause.TOO_LARGE


def test_gzip_that_is_cut_short_may_not_be_whole():
    cut = gzip.compress(b"abc" * 100)[:-9]
    assert read(with_length(cut, b"Content-Encoding: gzip")).response.cut_possible


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Encoding: identity, gzip"],
        [b"Content-Encoding: gzip", b"Content-Encoding: identity"],
        [b"Content-Encoding:", b"Content-Encoding: , gzip ,"],
    ],
)
def test_codings_that_change_nothing_are_passed_over(headers):
    assert read(with_length(gzip.compress(b"abc"), *headers)).response.body == b"abc"


def test_gzip_of_many_empty_members_is_refused():
    members = gzip.compress(b"") * 400
    headers = OK + b"Content-Encoding: gzip\r\n\r\n"
    assert read(headers, members, end=True).response.body == b""
    error = refused(headers, *[members] * 12, limit=1_000_000)
    assert error.cause is Cause.TOO_LARGE
    assert "pieces" in str(error)


def repeated(*lengths, between=b""):
    """Give a response with these Content-Lengths and the body abc."""
    lines = [b"content-Length:%s\r\n" % length + between for length in lengths]
    return OK + b"".join(lines) + b"\r\nabc"


@pytest.mark.parametrize("between", [b"", b"X: y\r\n"])
@pytest.mark.parametrize("lengths", [(b" 3", b" 3"), (b"3", b"\t3 ", b"  3")])
def test_a_length_that_is_repeated_is_taken_in_any_pieces(lengths, between):
    data = repeated(*lengths, between=between)
    for cut in range(1, len(data)):
        response = read(data[:cut], data[cut:]).response
        assert (response.status, response.body) == (200, b"abc")


@pytest.mark.parametrize("lengths", [(b" 3", b" 2"), (b" 3", b" 3", b" 4"), (b" 3", b" 03")])
def test_lengths_that_differ_are_refused(lengths):
    error = refused(repeated(*lengths))
    assert error.cause is Cause.NOT_HTTP
    assert "Content-Length" in str(error)


def test_a_body_may_have_lines_that_look_like_headers():
    body = b"\nContent-Length: 3\nContent-Length: 3\n"
    assert read(with_length(body)).response.body == body
    twice = b"Content-Length: %d\r\n" % len(body)
    assert read(OK + twice * 2 + b"\r\n" + body).response.body == body


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        OK + b"X: a\r\n b\r\n\tc\r\nContent-Length: 3\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n0 \r\n\r\n",
    ],
    ids=["lines that end with LF", "folded lines", "blanks behind the size of a chunk"],
)
def test_what_is_odd_but_not_ambiguous_is_taken(data):
    assert read(data).response.body == b"abc"


@pytest.mark.parametrize(
    "coding", [b"gzip, chunked", b"identity", b"xchunked", b"chunked, chunked"]
)
def test_a_transfer_coding_that_is_not_undone_is_named(coding):
    error = refused(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert error.cause is Cause.NOT_HTTP
    assert "Transfer-Encoding" in str(error)


def test_a_redirect_with_control_characters_in_its_target_is_no_breach():
    data = b"HTTP/1.1 302 Found\r\nLocation: /\x1b[31m\r\nContent-Length: 0\r\n\r\n"
    assert read(data).response.location == "/\x1b[31m"


def test_codings_in_two_lines_are_those_of_one():
    error = refused(with_length(b"abc", b"Content-Encoding: gzip", b"Content-Encoding: gzip"))
    assert "'gzip, gzip'" in str(error)


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip"])
def test_a_coding_that_is_not_undone_is_named(coding):
    error = refused(with_length(b"abc", b"Content-Encoding: " + coding))
    assert error.cause is Cause.DECODE
    assert repr(coding.decode()) in str(error)


def test_bytes_behind_a_response_end_the_use_of_the_connection():
    for extra in (b"x", with_length(b"def")):
        reader = read(with_length(b"abc") + extra)
        assert (reader.response.body, reader.reusable) == (b"abc", False)
        reader = read(with_length(b"abc"), extra)
        assert (reader.response.body, reader.reusable) == (b"abc", False)


def test_a_change_of_protocol_is_a_response_without_a_body():
    reader = read(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc")
    assert (reader.response.status, reader.reusable) == (101, False)


@given(st.binary(max_size=300), st.integers(0, 5), st.lists(st.integers(1, 60), max_size=20))
def test_a_response_may_come_in_any_pieces(body, chunks, cuts):
    size = max(1, -(-len(body) // chunks)) if chunks else 0
    if chunks and body:
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        whole = OK + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    else:
        whole = with_length(body)
    pieces = []
    for cut in cuts:
        pieces.append(whole[:cut])
        whole = whole[cut:]
    reader = read(*[piece for piece in [*pieces, whole] if piece])
    assert (reader.response.body, reader.reusable) == (body, True)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5), st.booleans())
def test_no_bytes_at_all_end_in_another_error(pieces, clean):
    try:
        reader = read(*pieces, end=clean)
    except ScrapeError:
        return
    assert reader.whole
