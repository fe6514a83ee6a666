"""Our strict reading of HTTP/1.1 against an independent parser's: h11.

What we accept, h11 must accept and read the same way; we may refuse more than it does.
"""

from __future__ import annotations

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.http1 import Framing, HttpError, read_request, read_response
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
