from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire import http1
from interceptor.wire.http1 import (
    Framing,
    HttpError,
    RequestHead,
    ResponseHead,
    chunk,
    read_request,
    read_response,
    write_request,
    write_response,
    write_switch,
)

LIMIT = 8192
GOOD = (
    b"POST /a/b?c=d HTTP/1.1\r\nHost: api.example.com\r\nX-One:  two \r\n"
    b"Content-Length: 5\r\nConnection: keep-alive, X-Hop\r\nX-Hop: gone\r\n\r\n"
)


def request(head: bytes) -> Reason | None:
    """Reason code of the error that `head` causes; None when it is accepted."""
    try:
        assert read_request(head, LIMIT, 50) is not None
    except HttpError as error:
        return error.reason
    return None


def response(head: bytes, method: str = "GET") -> Reason | None:
    try:
        assert read_response(head, method, LIMIT, 50) is not None
    except HttpError as error:
        return error.reason
    return None


def test_whole_byte_by_byte_and_with_trailing_bytes() -> None:
    found = read_request(GOOD, LIMIT, 50)
    assert found is not None
    head, used = found
    assert used == len(GOOD)
    assert (head.method, head.target, head.host) == ("POST", b"/a/b?c=d", b"api.example.com")
    assert (head.framing, head.length, head.keep_alive) == (Framing.LENGTH, 5, True)
    assert (b"X-One", b"x-one", b"two") in head.fields
    assert all(read_request(GOOD[:n], LIMIT, 50) is None for n in range(len(GOOD)))
    assert read_request(GOOD + b"helloGET ", LIMIT, 50) == found


def test_written_afresh() -> None:
    found = read_request(GOOD, LIMIT, 50)
    assert found is not None
    assert write_request(found[0], b"/a/b?c=d", b"api.example.com:8443") == (
        b"POST /a/b?c=d HTTP/1.1\r\nHost: api.example.com:8443\r\nX-One: two\r\n"
        b"Content-Length: 5\r\n\r\n"
    )


# One row a trick: what would be read in two ways is refused.
H = b"Host: a.example\r\n"
REFUSED = {
    "two framings": b"POST / HTTP/1.1\r\n"
    + H
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "duplicate length": b"POST / HTTP/1.1\r\n"
    + H
    + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
    "list of lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3, 3\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +3\r\n\r\n",
    "hex length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x3\r\n\r\n",
    "huge length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "coding variant": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n",
    "coding list": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "coding twice": b"POST / HTTP/1.1\r\n"
    + H
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "coding in 1.0": b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n",
    "first line folded": b"GET / HTTP/1.1\r\n X: a\r\n" + H + b"\r\n",
    "bare LF": b"GET / HTTP/1.1\r\n" + H + b"X: a\nY: b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\n" + H + b"X: a\rY: b\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\n" + H + b"X: a\0b\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + H + H + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    "tab in line": b"GET\t/ HTTP/1.1\r\n" + H + b"\r\n",
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n" + H + b": x\r\n\r\n",
    "odd expectation": b"GET / HTTP/1.1\r\n" + H + b"Expect: 200-ok\r\n\r\n",
    "not a token": b"GET / HTTP/1.1\r\n" + H + b"X(Y): z\r\n\r\n",
    "DEL in target": b"GET /\x7f HTTP/1.1\r\n" + H + b"\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_parsers_could_read_in_two_ways_is_refused(name: str) -> None:
    assert request(REFUSED[name]) is Reason.HTTP_MALFORMED


def test_the_honest_twins_pass() -> None:
    assert request(b"GET / HTTP/1.1\r\n" + H + b"\r\n") is None
    assert request(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: Chunked\r\n\r\n") is None
    assert request(b"\r\nGET /%2e%00 HTTP/1.1\r\n" + H + b"X: caf\xc3\xa9\r\n\r\n") is None
    assert request(b"OPTIONS * HTTP/1.1\r\n" + H + b"Expect: 100-Continue\r\n\r\n") is None


def test_limits() -> None:
    many = b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 60 + b"\r\n"
    assert request(many) is Reason.LIMIT_EXCEEDED
    long = b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * LIMIT + b"\r\n\r\n"
    assert request(long) is Reason.LIMIT_EXCEEDED
    with pytest.raises(HttpError):  # without waiting for an end that never comes
        read_request(b"GET /" + b"a" * LIMIT, LIMIT, 50)


def test_raw_utf8_in_the_target_is_escaped() -> None:
    found = read_request(b"GET /\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n", LIMIT, 50)
    assert found is not None
    assert found[0].target == b"/%C3%A9"


RESPONSES_REFUSED = {
    "two framings": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "status": b"HTTP/1.1 20 OK\r\n\r\n",
    "version": b"HTTP/2 200 OK\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "not HTTP": b"ICY 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", RESPONSES_REFUSED)
def test_bad_responses(name: str) -> None:
    assert response(RESPONSES_REFUSED[name]) is Reason.UPSTREAM_MALFORMED


@pytest.mark.parametrize(
    ("head", "method", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", Framing.LENGTH),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", Framing.NONE),
        (b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", "GET", Framing.NONE),
        (b"HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", "GET", Framing.NONE),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "GET", Framing.NONE),
        (b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Framing.CHUNKED),
        (b"HTTP/1.0 200\r\n\r\n", "GET", Framing.CLOSE),
    ],
)
def test_response_framing(head: bytes, method: str, framing: Framing) -> None:
    found = read_response(head, method, LIMIT, 50)
    assert found is not None
    assert found[0].framing is framing


def test_response_written_afresh_without_hop_fields_and_alt_svc() -> None:
    raw = (
        b'HTTP/1.1 200 Fine\r\nAlt-Svc: h3=":443"\r\nServer: x\r\nConnection: x-hop\r\nX-Hop: 1\r\n'
        b"Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    found = read_response(raw, "GET", LIMIT, 50)
    assert found is not None
    out = write_response(found[0], Framing.CHUNKED, close=True, method="GET")
    assert out == (
        b"HTTP/1.1 200 Fine\r\nServer: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )


def test_head_keeps_the_length_it_tells() -> None:
    found = read_response(b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", "HEAD", LIMIT, 50)
    assert found is not None
    out = write_response(found[0], Framing.NONE, close=False, method="HEAD")
    assert b"content-length: 42" in out.lower()


def test_an_empty_chunk_is_never_written() -> None:
    assert chunk(b"") == b""
    assert chunk(b"abc") == b"3\r\nabc\r\n"


@given(st.binary(max_size=300))
def test_only_http_errors_come_out(data: bytes) -> None:
    for text in (data, b"GET / HTTP/1.1\r\n" + data, GOOD[:40] + data + b"\r\n\r\n"):
        with contextlib.suppress(HttpError):
            read_request(text, 200, 10)
        with contextlib.suppress(HttpError):
            read_response(b"HTTP/1.1 200 OK\r\n" + text, "GET", 200, 10)


# -- what cannot become valid is refused at once -------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        *(b"GET / HTTP/1.1\nHost: a.example\n\n", b"GET /\r\n", b"GET / HTTP/2.0\r\n"),
        *(b"GET / HTTP/1.1\r\nX: a\rb", b"post / HTTP/1.1\r\n", b"\r\n\r\n\r\n"),
    ],
)
def test_a_request_that_is_broken_is_not_waited_for(part: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        read_request(part, LIMIT, 50)
    assert caught.value.reason is Reason.HTTP_MALFORMED


@pytest.mark.parametrize("part", [b"SSH-2.0-x\r\n", b"<html>", b"HTTP/1.1 200\n\n", b"HTTP/2"])
def test_a_response_that_is_broken_is_not_waited_for(part: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        read_response(part, "GET", LIMIT, 50)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED


def test_limits_are_exact_at_every_cut() -> None:
    data = GOOD
    size = len(data) - 4
    assert read_request(data, size, 6) is not None
    assert all(read_request(data[:n], size, 6) is None for n in range(len(data)))
    for wrong in ((size - 1, 6), (size, 4)):
        with pytest.raises(HttpError) as caught:
            read_request(data, *wrong)
        assert caught.value.reason is Reason.LIMIT_EXCEEDED


def test_floods_of_upstream_are_upstreams_fault() -> None:
    many = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60 + b"\r\n"
    assert response(many) is Reason.UPSTREAM_MALFORMED
    long = b"HTTP/1.1 200 OK\r\nX: " + b"y" * LIMIT
    assert response(long) is Reason.UPSTREAM_MALFORMED


_PIECES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"Host: a\r\n", b"X: y\r\n", b"\r\n"),
        *(
            b"POST / HTTP/1.1\r\n",
            b"Content-Length: 3\r\n",
            b"\n",
            b"\r",
            b" ",
            b":",
            b"\0",
            b"TRACE",
        ),
        *(b"Transfer-Encoding: chunked\r\n", b"Connection: host\r\n", b"Expect: x\r\n", b"abc"),
    ]
)
_HEADS = st.lists(_PIECES, max_size=9).map(b"".join)


def outcome(data: bytes, step: int, *, of_request: bool) -> tuple[object, int] | Reason | None:
    """What comes out when `data` arrives `step` bytes at a time."""
    for end in range(step, len(data) + step, step):
        try:
            if of_request:
                found: tuple[object, int] | None = read_request(data[:end], 60, 4)
            else:
                found = read_response(data[:end], "GET", 60, 4)
        except HttpError as error:
            return error.reason
        if found is not None:
            return found
    return None


@given(_HEADS, st.booleans())
@example(b"\r\n" * 4, True)
@example(GOOD[:61] + b"\r\n\r\n", True)
def test_one_outcome_at_every_cut(data: bytes, of_request: bool) -> None:
    whole = outcome(data, max(1, len(data)), of_request=of_request)
    assert outcome(data, 1, of_request=of_request) == whole
    assert outcome(data, 7, of_request=of_request) == whole


# -- remembered heads ----------------------------------------------------------------------------


_LINES = st.lists(
    st.sampled_from(
        [
            *(b"X-A:\tb \r\n", b"x-a: \xff\r\n", b"Connection: X-A, close\r\n", b"X-B:\r\n"),
            *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"TE: trailers\r\n"),
            *(b"Upgrade: h2c\r\n", b"Content-Encoding: gzip\r\n", b"Keep-Alive: 5\r\n"),
        ]
    ),
    max_size=4,
).map(b"".join)


REMEMBERED = (http1._recent_fielded, http1._recent_response)


@given(_LINES)
def test_a_remembered_head_is_what_would_be_read(lines: bytes) -> None:
    asked = b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"
    with contextlib.suppress(HttpError):
        first = read_request(asked, LIMIT, 50)
        assert first is not None
        assert first == read_request(asked + b"more", LIMIT, 50)
        for remembered in REMEMBERED:
            remembered.cache_clear()
        assert first == read_request(asked, LIMIT, 50)
    answered = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n"
    for method in ("GET", "HEAD"):
        with contextlib.suppress(HttpError):
            found = read_response(answered, method, LIMIT, 50)
            assert found == read_response(answered + b"more", method, LIMIT, 50)
            for remembered in REMEMBERED:
                remembered.cache_clear()
            assert found == read_response(answered, method, LIMIT, 50)


def test_a_remembered_head_is_held_against_the_limits_of_each_call() -> None:
    assert read_request(GOOD, LIMIT, 50) is not None
    for size, count in ((20, 50), (LIMIT, 3)):
        with pytest.raises(HttpError):
            read_request(GOOD, size, count)


def test_what_is_remembered_is_bounded() -> None:
    for cached in REMEMBERED:
        assert cached.cache_info().maxsize == 128
    before = [cached.cache_info().misses for cached in REMEMBERED]
    read_request(GOOD[:-2] + b"X: " + b"y" * 5000 + b"\r\n\r\n", LIMIT, 50)
    assert [cached.cache_info().misses for cached in REMEMBERED] == before  # long ones are not


# -- written for the next hop --------------------------------------------------------------------


def parsed(data: bytes) -> RequestHead:
    found = read_request(data, LIMIT, 50)
    assert found is not None
    return found[0]


def answer(data: bytes, method: str = "GET") -> ResponseHead:
    found = read_response(data, method, LIMIT, 50)
    assert found is not None
    return found[0]


def test_changed_fields_are_written_as_they_are_now() -> None:
    head = msgspec.structs.replace(parsed(GOOD), fields=((b"X-New", b"x-new", b"1"),))
    written = b"GET / HTTP/1.1\r\nHost: a\r\nX-New: 1\r\nContent-Length: 5\r\n\r\n"
    assert write_request(head, b"/", b"a") == written.replace(b"GET", b"POST")
    head = msgspec.structs.replace(parsed(GOOD), connection=frozenset((b"x-one",)))
    assert b"X-One" not in write_request(head, b"/", b"a")


@given(_LINES)
def test_what_is_written_is_read_again_and_holds_no_hop_fields(lines: bytes) -> None:
    with contextlib.suppress(HttpError):
        head = parsed(b"POST /x HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        again = parsed(write_request(head, b"/x", b"b"))
        assert (again.framing, again.length, again.host) == (head.framing, head.length, b"b")
        left_behind = http1.HOP_REQUEST | head.connection
        kept = tuple(field for field in head.fields if field[1] not in left_behind)
        ours = (b"host", b"content-length", b"transfer-encoding")
        assert tuple(field for field in again.fields if field[1] not in ours) == kept


def test_an_old_client_is_told_that_the_connection_stays() -> None:
    head = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    out = write_response(head, head.framing, close=False, method="GET", persist=True)
    assert out == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n"
    out = write_response(head, head.framing, close=True, method="GET", persist=True)
    assert b"keep-alive" not in out


def test_a_switch_names_the_protocol_and_nothing_of_framing() -> None:
    raw = (
        b"HTTP/1.1 101 Go\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Content-Length: 3\r\nSec-WebSocket-Accept: x\r\n\r\n"
    )
    assert write_switch(answer(raw)) == (
        b"HTTP/1.1 101 Go\r\nSec-WebSocket-Accept: x\r\n"
        b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    )
