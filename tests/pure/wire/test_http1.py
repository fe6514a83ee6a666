from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.http1 import (
    Framing,
    HttpError,
    chunk,
    read_request,
    read_response,
    write_request,
    write_response,
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
