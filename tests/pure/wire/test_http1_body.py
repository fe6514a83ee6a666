from __future__ import annotations

import contextlib
import gzip
import itertools
import tracemalloc
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.http1 import Framing, HttpError, chunk, write_trailers
from interceptor.wire.http1_body import BodyReader


def unframe(data: bytes, step: int) -> None:
    body = reader(Framing.CHUNKED)
    feed_in_pieces(body, data, list(range(0, len(data), step)))
    body.eof()


CHUNKED = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n"


def reader(framing: Framing, length: int = 0) -> BodyReader:
    return BodyReader(framing, length, Reason.HTTP_MALFORMED)


def feed_in_pieces(body: BodyReader, data: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(cuts), len(data)]
    return b"".join(body.feed(data[a:b]) for a, b in itertools.pairwise(edges))


def test_chunked_whole_and_at_every_cut() -> None:
    for cut in range(len(CHUNKED) + 1):
        body = reader(Framing.CHUNKED)
        assert feed_in_pieces(body, CHUNKED + b"NEXT", [cut]) == b"hello world"
        assert body.done
        assert body.rest == b"NEXT"
        assert body.trailers == ((b"X-Sum", b"x-sum", b"1"),)


def test_chunked_byte_by_byte() -> None:
    body = reader(Framing.CHUNKED)
    out = b"".join(body.feed(CHUNKED[i : i + 1]) for i in range(len(CHUNKED)))
    assert out == b"hello world"
    assert body.done


@pytest.mark.parametrize(
    "data",
    [
        b"0x5\r\nhello\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"g\r\n",
        b"\r\n",
        b"1111111111111111\r\n",
        b"5;a\x00b\r\nhello\r\n",
        b"0\r\nBad Name: x\r\n\r\n",
        b"5;" + b"e" * 2000,
    ],
)
@pytest.mark.parametrize("pieces", [False, True])
def test_bad_chunks(data: bytes, pieces: bool) -> None:
    with pytest.raises(HttpError):
        unframe(data, 1 if pieces else len(data))


def test_trailers_have_a_limit() -> None:
    body = reader(Framing.CHUNKED)
    with pytest.raises(HttpError):
        body.feed(b"0\r\n" + b"X: y\r\n" * 3000)


def test_trailers_cannot_change_framing() -> None:
    out = write_trailers(((b"Content-Length", b"content-length", b"5"), (b"X-A", b"x-a", b"1")))
    assert out == b"0\r\nX-A: 1\r\n\r\n"


def test_length_and_close() -> None:
    body = reader(Framing.LENGTH, 5)
    assert body.feed(b"hel") == b"hel"
    assert body.feed(b"loGET") == b"lo"
    assert (body.done, body.rest) == (True, b"GET")
    body = reader(Framing.CLOSE)
    assert body.feed(b"abc") == b"abc"
    assert body.done is False
    body.eof()
    assert bool(body.done)
    assert reader(Framing.NONE).done
    assert reader(Framing.LENGTH, 0).done


def test_a_cut_body_is_never_taken_for_a_whole_one() -> None:
    for body, data in ((reader(Framing.LENGTH, 5), b"hell"), (reader(Framing.CHUNKED), b"5\r\nhe")):
        body.feed(data)
        with pytest.raises(HttpError):
            body.eof()


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 400)))
def test_chunks_round_trip_at_any_cut(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(chunk(p) for p in pieces) + write_trailers(())
    body = reader(Framing.CHUNKED)
    assert feed_in_pieces(body, data, [min(c, len(data)) for c in cuts]) == b"".join(pieces)
    assert body.done


@given(st.binary(max_size=200))
def test_only_http_errors_come_out_of_chunks(data: bytes) -> None:
    body = reader(Framing.CHUNKED)
    with contextlib.suppress(HttpError):
        body.feed(data)
        body.eof()


# -- floods, and what cannot become valid -------------------------------------------------------


def reason_of(data: bytes, side: Reason = Reason.HTTP_MALFORMED) -> Reason | None:
    body = BodyReader(Framing.CHUNKED, 0, side)
    try:
        body.feed(data)
    except HttpError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    "data",
    [
        *(b"g", b"5\n", b"5\rx", b"5 x", b";a", b" ", b"0" * 16, b"5\r\nhellox", b"5\r\nhello\rx"),
        *(b"0\r\n\n", b"0\r\nX: y\n", b"0\r\nX: y\rz"),
    ],
)
def test_a_chunk_that_is_broken_is_not_waited_for(data: bytes) -> None:
    assert reason_of(data) is Reason.HTTP_MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        b"3;" + b"e" * 2000,
        (b"1;" + b"e" * 900 + b"\r\nx\r\n") * 20,
        b"0\r\n" + b"X: y\r\n" * 33 + b"\r\n",
        b"0\r\n" + b"X: y\r\n" * 2000,
    ],
    ids=["one extension", "extensions", "many trailers", "long trailers"],
)
def test_floods_around_the_content_are_refused(data: bytes) -> None:
    assert reason_of(data) is Reason.LIMIT_EXCEEDED
    # An upstream's flood is upstream's fault, and the agent gets a bad gateway for it.
    assert reason_of(data, Reason.UPSTREAM_MALFORMED) is Reason.UPSTREAM_MALFORMED


def test_signed_chunks_are_no_flood() -> None:
    """Extensions that come with content, as long as they like, for ever."""
    body = reader(Framing.CHUNKED)
    piece = b"x" * 4096
    framed = b"1000;chunk-signature=" + b"a" * 64 + b"\r\n" + piece + b"\r\n"
    assert all(body.feed(framed) == piece for _ in range(5000))


@pytest.mark.parametrize("data", [b"5 \r\nhello\r\n0 \r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n"])
def test_padded_sizes_of_servers_are_read_and_those_of_agents_not(data: bytes) -> None:
    body = BodyReader(Framing.CHUNKED, 0, Reason.UPSTREAM_MALFORMED)
    assert body.feed(data) == b"hello"
    assert body.done
    assert reason_of(data) is Reason.HTTP_MALFORMED


def test_single_bytes_in_chunks_do_not_pile_up() -> None:
    """A chunk a byte: one piece comes out of a read, and the read costs less than 2 MB."""
    body = reader(Framing.CHUNKED)
    data = b"1\r\nx\r\n" * 10_922  # 64 KB, as much as one read brings
    tracemalloc.start()
    out = body.feed(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out == b"x" * 10_922
    assert peak < 2 << 20
    assert len(chunk(out)) < len(out) + 10


def test_a_trickled_chunk_line_holds_no_more_than_a_line() -> None:
    body = reader(Framing.CHUNKED)
    for byte in b"5;" + b"e" * 1021:
        body.feed(bytes((byte,)))
    with pytest.raises(HttpError) as caught:
        body.feed(b"e")
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


_FRAMED = st.lists(
    st.sampled_from(
        [
            *(b"3\r\nabc\r\n", b"0\r\n", b"\r\n", b"X: y\r\n", b"a;b\r\n", b"1 \r\n", b"x", b";"),
            *(b"\n", b"\r", b"0", b"f", b"3;" + b"e" * 1100, b"2;" + b"e" * 900 + b"\r\nab\r\n"),
            *(b"X: y\r\n" * 33, b"Host: a\r\nHost: b\r\n", b"\0", b"X: " + b"y" * 9000),
        ]
    ),
    max_size=8,
).map(b"".join)


def unframed(data: bytes, step: int, side: Reason) -> tuple[bytes, object]:
    """Payload, and the reason of the end or what follows the body."""
    body, out = BodyReader(Framing.CHUNKED, 0, side), b""
    for at in range(0, len(data), step):
        try:
            out += body.feed(data[at : at + step])
        except HttpError as error:
            return b"", error.reason
    return out, (body.done, body.rest, body.trailers)


@given(_FRAMED, st.sampled_from([Reason.HTTP_MALFORMED, Reason.UPSTREAM_MALFORMED]))
@example(b"2;" + b"e" * 1022, Reason.HTTP_MALFORMED)
@example(b"0\r\nX: " + b"y" * 8186 + b"\r\n\r\n", Reason.HTTP_MALFORMED)
def test_one_outcome_at_every_cut(data: bytes, side: Reason) -> None:
    whole = unframed(data, max(1, len(data)), side)
    assert unframed(data, 1, side) == whole
    assert unframed(data, 5, side) == whole


# -- content codings ------------------------------------------------------------------------


def decoded(codings: tuple[bytes, ...], data: bytes, step: int = 7, budget: int = 1 << 20) -> bytes:
    content = ContentReader(codings, budget)
    out = [piece for i in range(0, len(data), step) for piece in content.feed(data[i : i + step])]
    content.finish()
    return b"".join(out)


RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = RAW.compress(b"hello " * 50) + RAW.flush()


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_codings(step: int) -> None:
    text = b"hello " * 50
    assert decoded((b"gzip",), gzip.compress(text), step) == text
    assert decoded((b"x-gzip",), gzip.compress(text) * 2, step) == text * 2
    assert decoded((b"deflate",), zlib.compress(text), step) == text
    assert decoded((b"deflate",), RAW_DEFLATE, step) == text
    assert decoded((b"gzip", b"deflate"), zlib.compress(gzip.compress(text)), step) == text


@pytest.mark.parametrize(
    ("codings", "data"),
    [
        ((b"gzip",), b"plain text"),
        ((b"gzip",), gzip.compress(b"x" * 500)[:-4]),
        ((b"gzip",), gzip.compress(b"x" * 500)[:1]),
        ((b"gzip",), gzip.compress(b"x" * 500) + b"trailing"),
        ((b"deflate",), zlib.compress(b"x") + b"trailing"),
        ((b"made-up",), b"x"),
        ((b"gzip",) * 5, b"x"),
    ],
)
def test_what_cannot_be_read_is_incomplete(codings: tuple[bytes, ...], data: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        decoded(codings, data)
    assert caught.value.reason is Reason.INCOMPLETE


def test_a_bomb_meets_the_budget_in_constant_memory() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    content = ContentReader((b"gzip",), 1 << 20)
    biggest = 0
    try:
        for piece in content.feed(bomb):
            biggest = max(biggest, len(piece))
    except HttpError as error:
        assert error.reason is Reason.INCOMPLETE  # noqa: PT017
        assert 0 < biggest <= 65_536
    else:
        pytest.fail("the bomb was decoded to its end")


def test_codings_are_listed_in_order() -> None:
    assert content_codings(b"GZip, identity,br") == (b"gzip", b"br")
    assert content_codings(None) == ()


@given(st.binary(max_size=200), st.sampled_from([b"gzip", b"deflate"]))
def test_only_http_errors_come_out_of_codings(data: bytes, coding: bytes) -> None:
    with contextlib.suppress(HttpError):
        decoded((coding,), data)
