"""Our strict reading of HTTP/1.1 against an independent parser's: h11.

What we accept, h11 must accept and read the same way, to the last byte of the body and to the first
byte of the next message; we may refuse more than it does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import h11
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.http1 import (
    Framing,
    HttpError,
    RequestHead,
    ResponseHead,
    chunk,
    read_request,
    read_response,
    write_request,
    write_trailers,
)
from interceptor.wire.http1_body import BodyReader

_NAMES = [b"Host", b"X-A", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"TE"]
_VALUES = [b"a.example", b"3", b"0", b"chunked", b"close", b"keep-alive, x-a", b"100-continue", b""]
_LINES = [b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1", b"PUT /x HTTP/1.0", b"HEAD * HTTP/1.1", b"X y"]
_BODIES = [
    b"",
    b"abc",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"3\r\nabcX",
]
_FIELD = st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES) | st.binary(max_size=6))
# Mostly what a client would send, so that there is something to compare; the rest is noise.
_SOUND = st.sampled_from(
    [
        *([(b"Content-Length", b"3")], [(b"Transfer-Encoding", b"chunked")], [(b"X-A", b"b  c")]),
        *([(b"Content-Length", b"0")], [(b"Connection", b"close")], [(b"Expect", b"100-continue")]),
    ]
)
_HOST = (b"Host", b"a.example")
_ASKED = st.tuples(_SOUND, st.lists(_FIELD, max_size=2)).map(lambda f: [_HOST, *f[0], *f[1]])
_ANSWERED = st.tuples(_SOUND, st.lists(_FIELD, max_size=2)).map(lambda f: [*f[0], *f[1]])


def _head(line: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    return line + b"\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"


def _body_by_h11(connection: h11.Connection) -> tuple[bytes, bool]:
    """Payload, and whether the message is complete."""
    out = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            out += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return out, True
        else:
            return out, False


def _body_by_us(framing: Framing, length: int, data: bytes) -> tuple[bytes, bool]:
    reader = BodyReader(framing, length, Reason.HTTP_MALFORMED)
    return reader.feed(data), reader.done


@settings(max_examples=1500)
@given(st.sampled_from(_LINES), _ASKED | st.lists(_FIELD, max_size=5), st.sampled_from(_BODIES))
def test_requests(line: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    data = _head(line, fields)
    try:
        found = read_request(data + body, 8192, 50)
        if found is None:
            return
        head, used = found
        ours = _body_by_us(head.framing, head.length, (data + body)[used:])
    except HttpError:
        return
    peer = h11.Connection(h11.SERVER)
    peer.receive_data(data + body)
    event = peer.next_event()
    assert isinstance(event, h11.Request), (data, event)
    assert (event.method.decode(), event.target) == (head.method, head.target)
    assert [(bytes(n), bytes(v)) for n, v in event.headers] == [(n, v) for _, n, v in head.fields]
    assert _body_by_h11(peer) == ours


@settings(max_examples=400)
@given(
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 204 N", b"HTTP/1.0 404 ", b"HTTP/1.1 304 x"]),
    _ANSWERED,
    st.sampled_from(_BODIES),
    st.sampled_from([b"GET", b"HEAD"]),
)
def test_responses(
    line: bytes, fields: list[tuple[bytes, bytes]], body: bytes, method: bytes
) -> None:
    data = _head(line, fields)
    try:
        found = read_response(data + body, method.decode(), 8192, 50)
        if found is None:
            return
        head, used = found
        if head.framing is Framing.CLOSE:
            return  # ended by the connection, so there is nothing to compare
        ours = _body_by_us(head.framing, head.length, (data + body)[used:])
    except HttpError:
        return
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a.example")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data + body)
    event = peer.next_event()
    assert isinstance(event, h11.Response), (data, event)
    assert event.status_code == head.status
    assert _body_by_h11(peer) == ours


# -- valid messages, bent a little ---------------------------------------------------------------


class Read(NamedTuple):
    """A complete message, and what follows it."""

    start: tuple[object, ...]
    fields: list[tuple[bytes, bytes]]
    keep: bool
    payload: bytes
    trailers: list[tuple[bytes, bytes]]
    rest: bytes


_ODD = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\r\n",
            b" ",
            b"\t",
            b"\0",
            b":",
            b",",
            b";",
            b"0",
            b"f",
            b"-",
            b"+",
            b"_",
        ),
        *(b"\x0b", b"\x7f", b"\xa0", b"\r\n ", b"\r\n\r\n", b"0\r\n\r\n", b"x:y\r\n", b"chunked"),
        *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"HTTP/1.1"),
        *(
            b"Connection: close\r\n",
            b"3;a=b\r\n",
            b'3;a="b\r\n',
            b"0000000000000003",
            b"GET / HTTP/1.1",
        ),
    ]
)
_BENDS = st.lists(
    st.tuples(st.sampled_from(["in", "out", "over", "twice"]), st.integers(0, 400), _ODD),
    max_size=3,
)


def _bent(data: bytes, bends: list[tuple[str, int, bytes]]) -> bytes:
    for how, where, odd in bends:
        at = where % (len(data) + 1)
        if how == "in":
            data = data[:at] + odd + data[at:]
        elif how == "out":
            data = data[:at] + data[at + 1 :]
        elif how == "over":
            data = data[:at] + odd + data[at + len(odd) :]
        else:  # the rest of the line stands twice
            end = data.find(b"\r\n", at) + 2
            data = data[:end] + data[at:] if end > 1 else data
    return data


_CONTENT = st.lists(st.binary(max_size=20), max_size=4)
_EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b'; a="b c"'])
_TRAILING = st.sampled_from([b"", b"X-T: v\r\n", b"X-T: v\r\nx-u:w \r\n"])


def _framed(pieces: list[bytes], extension: bytes, trailers: bytes, *, chunked: bool) -> bytes:
    if not chunked:
        body = b"".join(pieces)
        return b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunks = [b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces if p]
    last = b"0" + extension + b"\r\n" + trailers + b"\r\n"
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + last


_MESSAGE = st.builds(_framed, _CONTENT, _EXTENSIONS, _TRAILING, chunked=st.booleans())
_START = st.lists(
    st.sampled_from([b"X-A: b\r\n", b"x-b:\tc \r\n", b"Connection: close\r\n", b"Accept: */*\r\n"]),
    max_size=3,
).map(b"".join)


def _head_by_us(buffer: bytes, method: str) -> tuple[Read, BodyReader, int] | None:
    """The head of a response to `method`, or of a request when there is none."""
    if method:
        answer = read_response(buffer, method, 8192, 50)
        if answer is None:
            return None
        head: RequestHead | ResponseHead = answer[0]
        start: tuple[object, ...] = (answer[0].status, head.minor)
        used, side = answer[1], Reason.UPSTREAM_MALFORMED
    else:
        asked = read_request(buffer, 8192, 50)
        if asked is None:
            return None
        head = asked[0]
        start = (asked[0].method, asked[0].target, head.minor)
        used, side = asked[1], Reason.HTTP_MALFORMED
    # Where Content-Length stands twice with one value, h11 keeps one of them.
    fields = list(dict.fromkeys((n, v) for _, n, v in head.fields if n == b"content-length"))
    fields += [(n, v) for _, n, v in head.fields if n != b"content-length"]
    read = Read(start, fields, head.keep_alive, b"", [], b"")
    return read, BodyReader(head.framing, head.length, side), used


def _read_by_us(data: bytes, step: int, method: str = "") -> Read | None:
    """A message read `step` bytes at a time; None when it is refused or not complete."""
    buffer, payload = b"", b""
    found: tuple[Read, BodyReader, int] | None = None
    try:
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            if found is None:
                buffer += piece
                found = _head_by_us(buffer, method)
                piece = b"" if found is None else buffer[found[2] :]
            if found is not None:
                payload += found[1].feed(piece)
    except HttpError:
        return None
    if found is None or not found[1].done:
        return None
    read, body, _ = found
    trailers = [(name, value) for _, name, value in body.trailers]
    return read._replace(payload=payload, trailers=trailers, rest=body.rest)


def _peculiar(data: bytes) -> bool:
    """What we read on purpose and h11 does not; docs/http1.md has the reasons."""
    return (
        re.search(rb"[0-9a-f][ \t]+;", data) is not None  # RFC 9112 section 7.1.1: BWS
        or data.startswith(b"\r\n")  # RFC 9112 section 2.2
        or not data.partition(b"\r\n")[0].isascii()  # raw UTF-8 in a target
    )


def _read_by_h11(peer: h11.Connection, data: bytes) -> Read | h11.RemoteProtocolError | None:
    start: tuple[object, ...] = ()
    fields: list[tuple[bytes, bytes]] = []
    payload = b""
    peer.receive_data(data)
    try:
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Request):
                minor = int(event.http_version[2:])
                start = (event.method.decode(), bytes(event.target), minor)
                fields = [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, h11.Response):
                start = (event.status_code, int(event.http_version[2:]))
                fields = [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, h11.Data):
                payload += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
                keep = peer.their_state is not h11.MUST_CLOSE
                fields.sort(key=lambda field: field[0] != b"content-length")
                return Read(start, fields, keep, payload, trailers, peer.trailing_data[0])
            else:
                return None
    except h11.RemoteProtocolError as error:
        return error


@settings(max_examples=1500)
@given(
    st.sampled_from([b"POST /a?b HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nhost:a\r\n"]),
    _START,
    _MESSAGE,
    _BENDS,
    st.sampled_from([1, 7, 10_000]),
)
def test_bent_requests(
    start: bytes, fields: bytes, message: bytes, bends: list[tuple[str, int, bytes]], step: int
) -> None:
    data = _bent(start + fields + message, bends) + b"GET /next HTTP/1.1\r\n"
    ours = _read_by_us(data, step)
    if not bends:
        assert ours is not None  # what is valid is read
    assume(not _peculiar(data))
    if ours is not None:
        assert _read_by_h11(h11.Connection(h11.SERVER), data) == ours


@settings(max_examples=1500)
@given(
    st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 404 \r\n", b"HTTP/1.1 500\r\n"]),
    _START,
    _MESSAGE,
    _BENDS,
    st.sampled_from([1, 7, 10_000]),
)
def test_bent_responses(
    start: bytes, fields: bytes, message: bytes, bends: list[tuple[str, int, bytes]], step: int
) -> None:
    data = _bent(start + fields + message, bends)
    ours = _read_by_us(data, step, "GET")
    if not bends:
        assert ours is not None
    assume(not _peculiar(data))
    if ours is not None:
        peer = h11.Connection(h11.CLIENT)
        peer.send(h11.Request(method=b"GET", target=b"/", headers=[(b"Host", b"a.example")]))
        peer.send(h11.EndOfMessage())
        assert _read_by_h11(peer, data) == ours


@settings(max_examples=500)
@given(_START, _MESSAGE)
def test_what_we_write_is_read_by_others_as_we_read_it(fields: bytes, message: bytes) -> None:
    data = b"POST /a HTTP/1.1\r\nHost: a\r\n" + fields + message
    found = read_request(data, 8192, 50)
    assert found is not None
    head, used = found
    reader = BodyReader(head.framing, head.length, Reason.HTTP_MALFORMED)
    payload = reader.feed(data[used:])
    out = write_request(head, b"/a", b"a")
    if head.framing is Framing.CHUNKED:
        out += chunk(payload) + write_trailers(reader.trailers)
    else:
        out += payload
    theirs = _read_by_h11(h11.Connection(h11.SERVER), out)
    assert isinstance(theirs, Read)
    assert theirs.payload == payload
    assert theirs.trailers == [(name, value) for _, name, value in reader.trailers]
    assert theirs.rest == b""
    assert theirs == _read_by_us(out, 10_000)
