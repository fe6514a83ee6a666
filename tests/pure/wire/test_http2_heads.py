"""Heads of HTTP/2: read as strictly as those of HTTP/1.1, and written afresh."""

from __future__ import annotations

import pytest
from hpack import Decoder

from interceptor.verdict import Reason
from interceptor.wire.http1 import Field, Framing, RequestHead, ResponseHead
from interceptor.wire.http2 import (
    AgentHttp2,
    Answered,
    Broken,
    Code,
    Data,
    Ended,
    Event,
    Http2Error,
    Http2Limits,
    Reset,
    Started,
    UpstreamHttp2,
)
from tests.http2_bytes import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GET,
    HEADERS,
    POST,
    PREFACE,
    Pairs,
    block,
    data,
    frame,
    goaway,
    gone,
    headers,
    resets,
    settings,
    split,
    window,
)

LIMITS = Http2Limits(header_bytes=4096, header_count=20)


def fields(*pairs: tuple[bytes, bytes]) -> tuple[Field, ...]:
    return tuple((name, name.lower(), value) for name, value in pairs)


def request_head(
    method: str = "GET",
    *pairs: tuple[bytes, bytes],
    framing: Framing = Framing.NONE,
    length: int = 0,
    connection: frozenset[bytes] = frozenset(),
) -> RequestHead:
    return RequestHead(
        method=method,
        target=b"/",
        minor=1,
        fields=fields(*pairs),
        framing=framing,
        length=length,
        host=b"api.example.com",
        keep_alive=True,
        expects_continue=False,
        raw=b"",
        connection=connection,
        upgrade=None,
        codings=None,
    )


def started(pairs: Pairs, *, end: bool = True) -> Started | Broken:
    agent = AgentHttp2(LIMITS, 0.0)
    (event,) = agent.feed(PREFACE + settings() + headers(1, pairs, end=end), 0.0)
    assert isinstance(event, Started | Broken)
    told = resets(split(agent.outgoing()))
    assert told == ([(1, Code.PROTOCOL_ERROR)] if isinstance(event, Broken) else [])
    return event


def swap(name: bytes, value: bytes) -> Pairs:
    return [(n, value if n == name else v) for n, v in GET]


def test_a_request() -> None:
    pairs = [
        *POST[:3],
        (b":path", b"/a/b?c=d"),
        (b"accept", b"*/*"),
        (b"cookie", b"a=b"),
        (b"x-empty", b""),
        (b"cookie", b"c=d"),
        (b"te", b"trailers"),
        (b"content-encoding", b"gzip"),
        (b"content-length", b"5"),
        (b"content-encoding", b"br"),
        (b"expect", b"100-continue"),
        (b"host", b"API.example.com"),
    ]
    event = started(pairs, end=False)
    assert isinstance(event, Started)
    head = event.head
    assert (event.stream, event.end, event.scheme) == (1, False, "https")
    assert (head.method, head.target, head.host) == ("POST", b"/a/b?c=d", b"api.example.com")
    assert (head.framing, head.length, head.minor) == (Framing.LENGTH, 5, 1)
    assert (head.keep_alive, head.expects_continue) == (True, True)
    assert (head.connection, head.upgrade, head.codings) == (frozenset(), None, b"gzip,br")
    assert [(n, v) for n, _, v in head.fields] == [
        (b"accept", b"*/*"),
        (b"cookie", b"a=b; c=d"),
        (b"x-empty", b""),
        *pairs[8:],
    ]
    assert all(name == lower for name, lower, _ in head.fields)
    assert head.raw == (
        b"POST /a/b?c=d HTTP/2\r\nhost: api.example.com\r\naccept: */*\r\ncookie: a=b; c=d\r\n"
        b"x-empty: \r\nte: trailers\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n"
        b"content-encoding: br\r\nexpect: 100-continue\r\nhost: API.example.com\r\n"
    )


@pytest.mark.parametrize(
    ("pairs", "end", "framing"),
    [
        (GET, True, Framing.NONE),
        (POST, False, Framing.CHUNKED),
        ([*POST, (b"content-length", b"0")], True, Framing.LENGTH),
        ([*POST, (b"content-length", b"7")], False, Framing.LENGTH),
        ([(b":method", b"CONNECT"), (b":authority", b"a.example:443")], False, Framing.NONE),
    ],
)
def test_framing_of_requests(pairs: Pairs, end: bool, framing: Framing) -> None:
    event = started(pairs, end=end)
    assert isinstance(event, Started)
    assert event.head.framing is framing
    assert event.end is end


@pytest.mark.parametrize(
    ("pairs", "target", "scheme"),
    [
        ([(b":method", b"OPTIONS"), *GET[1:3], (b":path", b"*")], b"*", "https"),
        (swap(b":path", "/caf\u00e9?\u00fc".encode()), b"/caf%C3%A9?%C3%BC", "https"),
        (swap(b":path", b"/a//../%2e"), b"/a//../%2e", "https"),
        (swap(b":scheme", b"HTTP"), b"/", "http"),
        ([*GET[:2], GET[3], (b"host", b"api.example.com")], b"/", "https"),
        (
            [(b":method", b"CONNECT"), (b":authority", b"a.example:443")],
            b"a.example:443",
            "",
        ),
    ],
)
def test_targets(pairs: Pairs, target: bytes, scheme: str) -> None:
    event = started(pairs)
    assert isinstance(event, Started)
    assert (event.head.target, event.scheme) == (target, scheme)
    assert event.head.host == event.head.raw.split(b"host: ")[1].split(b"\r\n")[0]


def plus(name: bytes, value: bytes = b"x") -> Pairs:
    return [*POST, (name, value)]


CONNECT: Pairs = [(b":method", b"CONNECT"), (b":authority", b"a.example:443")]

MALFORMED: dict[str, Pairs] = {
    "space in name": plus(b"x a"),
    "colon in name": plus(b"x: a"),
    "empty name": plus(b""),
    "line end in name": plus(b"x\r\na"),
    "NUL in name": plus(b"x\0"),
    "non-ASCII name": plus(b"x\xe9"),
    "upper-case name": plus(b"X-a"),
    "CR LF in value": plus(b"x", b"a\r\nb: c"),
    "CR in value": plus(b"x", b"a\rb"),
    "LF in value": plus(b"x", b"a\nb"),
    "NUL in value": plus(b"x", b"a\0b"),
    "DEL in value": plus(b"x", b"a\x7fb"),
    "space before value": plus(b"x", b" a"),
    "tab after value": plus(b"x", b"a\t"),
    "only a space": plus(b"x", b" "),
    "space after a crumb of cookie": [*POST, (b"cookie", b"a=b "), (b"cookie", b"c=d")],
    "transfer-encoding": plus(b"transfer-encoding", b"chunked"),
    "keep-alive": plus(b"keep-alive", b"5"),
    "proxy-connection": plus(b"proxy-connection", b"keep-alive"),
    "upgrade": plus(b"upgrade", b"websocket"),
    "te twice": [*POST, (b"te", b"trailers"), (b"te", b"gzip")],
    "two hosts": [*POST, (b"host", b"api.example.com"), (b"host", b"api.example.com")],
    "two lengths": [*POST, (b"content-length", b"1"), (b"content-length", b"1")],
    "signed length": plus(b"content-length", b"+1"),
    "list of lengths": plus(b"content-length", b"1, 1"),
    "huge length": plus(b"content-length", b"1" * 19),
    "arabic digits": plus(b"content-length", "\u0661".encode()),
    "other expectation": plus(b"expect", b"200-ok"),
    "lower-case method": swap(b":method", b"get"),
    "method with a space": swap(b":method", b"GET /"),
    "empty method": swap(b":method", b""),
    "long method": swap(b":method", b"G" * 33),
    "relative path": swap(b":path", b"a"),
    "absolute path": swap(b":path", b"https://a.example/"),
    "fragment": swap(b":path", b"/#a"),
    "space in path": swap(b":path", b"/a b"),
    "line end in path": swap(b":path", b"/a\r\nx: y"),
    "DEL in path": swap(b":path", b"/\x7f"),
    "asterisk with GET": swap(b":path", b"*"),
    "empty authority": swap(b":authority", b""),
    "space in authority": swap(b":authority", b"a b"),
    "slash in authority": swap(b":authority", b"a.example/b"),
    "line end in authority": swap(b":authority", b"a\r\nb"),
    "non-ASCII authority": swap(b":authority", b"\xe9.example"),
    "no authority": [*POST[:2], POST[3]],
    "empty host alone": [*POST[:2], POST[3], (b"host", b"")],
    "scheme with a colon": swap(b":scheme", b"https:"),
    "empty scheme": swap(b":scheme", b""),
    "authority twice": [*GET, GET[2]],
    "protocol": [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")],
    "CONNECT with a path": [*CONNECT, (b":path", b"/")],
    "CONNECT with a scheme": [*CONNECT, (b":scheme", b"https")],
    "CONNECT without authority": [CONNECT[0], (b"host", b"a.example:443")],
    "CONNECT with a length": [*CONNECT, (b"content-length", b"0")],
    "bare colon": [*GET, (b":", b"x")],
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_requests(case: str) -> None:
    event = started(MALFORMED[case], end=False)
    assert isinstance(event, Broken)
    assert event.reason is Reason.HTTP_MALFORMED


def test_the_other_reasons() -> None:
    names = started([*GET, (b"host", b"evil.example")])
    trace = started(swap(b":method", b"TRACE"))
    many = started([*GET, *((b"x-%d" % n, b"") for n in range(21))])
    large = started([*GET, (b"x", b"y" * 4096)])
    reasons = [event.reason for event in (names, trace, many, large) if isinstance(event, Broken)]
    assert reasons == [
        Reason.NAME_MISMATCH,
        Reason.HTTP_UNSUPPORTED,
        Reason.LIMIT_EXCEEDED,
        Reason.LIMIT_EXCEEDED,
    ]
    assert isinstance(started([*GET, *((b"x-%d" % n, b"") for n in range(20))]), Started)
    assert isinstance(started([*GET, (b"x", b"y" * 3900)]), Started)


def test_details_do_not_repeat_what_the_agent_sent() -> None:
    for pairs in MALFORMED.values():
        event = started([*pairs, (b"x-mark", b"MARKER\0")])
        assert isinstance(event, Broken)
        assert "MARKER" not in event.detail


# -- the client's role -----------------------------------------------------------------------


def upstream(
    *pairs: tuple[bytes, bytes], method: str = "GET", **more: object
) -> tuple[UpstreamHttp2, Pairs]:
    """A connection with one request sent, and its section as a client library decodes it."""
    codec = UpstreamHttp2(LIMITS, 0.0)
    assert codec.outgoing().startswith(PREFACE)
    codec.feed(settings(), 0.0)
    head = request_head(method, *pairs, **more)  # type: ignore[arg-type]
    end = head.framing is Framing.NONE
    assert codec.request(head, b"/p?q", b"api.example.com:8443", "https", end=end) == 1
    sent = [item for item in split(codec.outgoing()) if item.kind == HEADERS]
    (first,) = sent
    assert first.flags == END_HEADERS | (END_STREAM if end else 0)
    return codec, [(bytes(n), bytes(v)) for n, v in Decoder().decode(first.payload, raw=True)]


def test_a_request_is_written() -> None:
    _, sent = upstream(
        (b"Host", b"other.example"),
        (b"Accept", b"*/*"),
        (b"Cookie", b"a=b"),
        (b"TE", b"trailers, deflate;q=0.5"),
        (b"Connection", b"x-hop, te"),
        (b"X-Hop", b"gone"),
        (b"Keep-Alive", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Proxy-Authorization", b"gone"),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"X-Long", b"z" * 300),
        method="POST",
        framing=Framing.LENGTH,
        length=7,
        connection=frozenset((b"x-hop", b"te")),
    )
    assert sent == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"api.example.com:8443"),
        (b":path", b"/p?q"),
        (b"accept", b"*/*"),
        (b"cookie", b"a=b"),
        (b"te", b"trailers"),
        (b"x-long", b"z" * 300),
        (b"content-length", b"7"),
    ]


def test_secrets_are_never_indexed_and_nothing_else_is_either() -> None:
    codec = UpstreamHttp2(LIMITS, 0.0)
    head = request_head("GET", (b"Authorization", b"Bearer x"), (b"X-Api-Key", b"y"), (b"A", b"b"))
    codec.request(head, b"/", b"a.example", "https", end=True)
    sent = codec.outgoing()
    decoder = Decoder()
    (section,) = [item for item in split(sent[len(PREFACE) :]) if item.kind == HEADERS]
    found = {bytes(pair[0]): pair.indexable for pair in decoder.decode(section.payload, raw=True)}
    assert (found[b"authorization"], found[b"x-api-key"], found[b"a"]) == (False, False, True)
    assert not decoder.header_table.dynamic_entries
    assert decoder.header_table.maxsize == 0


def answered(pairs: Pairs, *, method: str = "GET", end: bool = True) -> Event:
    codec, _ = upstream(method=method)
    (event,) = codec.feed(headers(1, pairs, end=end), 0.0)
    return event


STATUS: Pairs = [(b":status", b"200")]


@pytest.mark.parametrize(
    ("pairs", "method", "end", "framing", "length"),
    [
        (STATUS, "GET", True, Framing.LENGTH, 0),
        (STATUS, "GET", False, Framing.CHUNKED, 0),
        ([*STATUS, (b"content-length", b"5")], "GET", False, Framing.LENGTH, 5),
        ([*STATUS, *2 * [(b"content-length", b"5")]], "GET", False, Framing.LENGTH, 5),
        ([*STATUS, (b"content-length", b"5")], "HEAD", True, Framing.NONE, 5),
        (STATUS, "HEAD", False, Framing.NONE, 0),
        ([(b":status", b"204")], "GET", True, Framing.NONE, 0),
        ([(b":status", b"304"), (b"content-length", b"5")], "GET", True, Framing.NONE, 5),
        ([(b":status", b"103"), (b"link", b"</a>")], "GET", False, Framing.NONE, 0),
    ],
)  # fmt: skip
def test_responses(pairs: Pairs, method: str, end: bool, framing: Framing, length: int) -> None:
    event = answered(pairs, method=method, end=end)
    assert isinstance(event, Answered)
    assert (event.head.framing, event.head.length, event.end) == (framing, length, end)
    assert (event.head.status, event.head.keep_alive) == (int(pairs[0][1]), True)
    assert [(n, v) for n, _, v in event.head.fields] == list(pairs[1:])


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(b":status", b"20")],
        [(b":status", b"2000")],
        [(b":status", b"099")],
        [(b":status", b" 200")],
        [(b":status", b"101")],
        [(b":status", b"100")],  # with END_STREAM
        [(b"x", b"y"), (b":status", b"200")],
        [*STATUS, *STATUS],
        [*STATUS, (b":path", b"/")],
        [*STATUS, (b"connection", b"close")],
        [*STATUS, (b"content-length", b"5")],  # with END_STREAM
        [*STATUS, (b"content-length", b"5, 6")],
        [*STATUS, (b"x", b"a\nb")],
    ],
)
def test_malformed_responses(pairs: Pairs) -> None:
    event = answered(pairs)
    assert isinstance(event, Broken)
    assert event.reason is Reason.UPSTREAM_MALFORMED


def test_informational_responses_then_the_final_one() -> None:
    codec, _ = upstream()
    events = codec.feed(
        headers(1, [(b":status", b"100")], end=False)
        + headers(1, [(b":status", b"103")], end=False)
        + headers(1, STATUS, end=False)
        + data(1, b"abc")
        + headers(1, [(b"grpc-status", b"0")]),
        0.0,
    )
    assert [type(event) for event in events] == [Answered, Answered, Answered, Data, Ended]
    assert isinstance(events[-1], Ended)
    assert events[-1].trailers == ((b"grpc-status", b"grpc-status", b"0"),)
    assert codec.open_streams == 0


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("HEAD", headers(1, STATUS, end=False) + data(1, b"x")),
        ("GET", headers(1, [(b":status", b"204")], end=False) + data(1, b"x")),
        ("GET", headers(1, [(b":status", b"304")], end=False) + data(1, b"x")),
        ("GET", headers(1, [*STATUS, (b"content-length", b"2")], end=False) + data(1, b"xyz")),
        ("GET", headers(1, [(b":status", b"101")], end=False)),
    ],
)
def test_bodies_that_may_not_be(method: str, sent: bytes) -> None:
    codec, _ = upstream(method=method)
    events = codec.feed(sent, 0.0)
    assert isinstance(events[-1], Broken)
    assert not any(isinstance(event, Data) for event in events)
    assert resets(split(codec.outgoing())) == [(1, Code.PROTOCOL_ERROR)]
    assert codec.room


@pytest.mark.parametrize(
    "sent",
    [
        headers(2, STATUS),  # a stream that nobody promised
        headers(3, STATUS),  # a stream that we have not opened
        data(2, b"x"),
        frame(5, 4, 1, b"\0\0\0\2" + block(GET)),
        settings((2, 1)),
        headers(1, STATUS, end=False) + headers(1, [(b":status", b"100")], end=False),
        window(3, 1),
        data(1, b"x"),  # before the head
        headers(1, [(b":status", b"100")], end=False) + data(1, b"x", end=True),
    ],
)
def test_connection_errors_of_upstream(sent: bytes) -> None:
    codec, _ = upstream()
    with pytest.raises(Http2Error) as caught:
        codec.feed(sent, 0.0)
    assert caught.value.reason is Reason.UPSTREAM_MALFORMED
    assert gone(split(codec.outgoing())) == Code.PROTOCOL_ERROR
    assert not codec.room


def test_upstream_says_settings_first() -> None:
    codec = UpstreamHttp2(LIMITS, 0.0)
    with pytest.raises(Http2Error):
        codec.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(20), 0.0)


def test_room_follows_the_peers_limit() -> None:
    codec = UpstreamHttp2(LIMITS, 0.0)

    def room_after(sent: bytes) -> bool:
        codec.feed(sent, 0.0)
        return codec.room

    assert room_after(settings((3, 2)))
    assert codec.request(request_head(), b"/", b"a.example", "https", end=True) == 1
    assert room_after(b"")
    assert codec.request(request_head(), b"/", b"a.example", "https", end=True) == 3
    assert not room_after(b"")
    assert room_after(headers(1, STATUS))
    assert not room_after(settings((3, 0)))
    assert room_after(settings((3, 9)))
    assert not room_after(goaway(1))


@pytest.mark.parametrize(("told", "streams", "allowed"), [(b"", 300, 100), (settings(), 3, 3)])
def test_room_without_a_limit_of_the_peers(told: bytes, streams: int, allowed: int) -> None:
    codec = UpstreamHttp2(Http2Limits(streams=streams), 0.0)
    codec.feed(told, 0.0)
    count = 0
    while codec.room:
        codec.request(request_head(), b"/", b"a.example", "https", end=True)
        count += 1
    assert count == allowed


def test_a_block_that_is_repeated_follows_the_table() -> None:
    agent = AgentHttp2(LIMITS, 0.0)
    agent.feed(PREFACE + settings(), 0.0)
    again = block(GET) + b"\xbe"  # the newest entry of the dynamic table
    found = []
    for number, value in enumerate((b"one", b"two")):
        added = block(GET) + b"\x40\x01x\x03" + value
        sent = frame(HEADERS, 5, 6 * number + 1, added)
        sent += frame(HEADERS, 5, 6 * number + 3, again) + frame(HEADERS, 5, 6 * number + 5, again)
        events = agent.feed(sent, 0.0)
        found += [event.head.fields for event in events if isinstance(event, Started)]
    one, two = (((b"x", b"x", value),) for value in (b"one", b"two"))
    assert found == [one, one, one, two, two, two]


def test_goaway_refuses_the_streams_after_the_last() -> None:
    codec, _ = upstream()
    for n in (3, 5):
        assert codec.request(request_head(), b"/", b"a.example", "https", end=True) == n
    events = codec.feed(goaway(3), 0.0)
    assert [event for event in events if isinstance(event, Reset)] == [
        Reset(5, Code.REFUSED_STREAM)
    ]
    assert codec.open_streams == 2
    events = codec.feed(headers(1, STATUS) + headers(3, STATUS, end=False) + data(3, b"x"), 0.0)
    assert [type(event) for event in events] == [Answered, Answered, Data]
    codec.acknowledge(3, 1)
    assert [type(event) for event in codec.feed(data(3, b"", end=True), 0.0)] == [Ended]


def test_a_response_is_written() -> None:
    agent = AgentHttp2(LIMITS, 0.0)
    agent.feed(PREFACE + settings() + headers(1) + headers(3, swap(b":method", b"HEAD")), 0.0)
    agent.outgoing()
    head = ResponseHead(
        status=200,
        phrase=b"OK",
        minor=1,
        fields=fields(
            (b"Content-Type", b"text/plain"),
            (b"Content-Length", b"5"),
            (b"Alt-Svc", b'h3=":443"'),
            (b"Connection", b"x-hop"),
            (b"X-Hop", b"gone"),
            (b"Set-Cookie", b"a=b"),
            (b"Set-Cookie", b"c=d"),
        ),
        framing=Framing.LENGTH,
        length=5,
        keep_alive=True,
        connection=frozenset((b"x-hop",)),
    )
    early = ResponseHead(103, b"", 1, fields((b"Link", b"x")), Framing.NONE, 0, True, frozenset())
    none = ResponseHead(200, b"", 1, head.fields, Framing.NONE, 5, True, frozenset())
    agent.respond(1, early, end=False)
    agent.respond(1, head, end=False)
    agent.data(1, b"hello")
    agent.end(1, fields((b"X-Sum", b"1"), (b"Content-Length", b"5"), (b"Host", b"x")))
    agent.respond(3, none, end=True)
    decoder = Decoder()
    sections = [
        (item.stream, item.flags & END_STREAM, list(decoder.decode(item.payload, raw=True)))
        for item in split(agent.outgoing())
        if item.kind == HEADERS
    ]
    kept = [
        (b":status", b"200"),
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a=b"),
        (b"set-cookie", b"c=d"),
    ]
    assert sorted(sections) == [
        (1, 0, [(b":status", b"103"), (b"link", b"x")]),
        (1, 0, [*kept, (b"content-length", b"5")]),
        (1, 1, [(b"x-sum", b"1")]),
        (3, 1, [*kept[:2], (b"x-hop", b"gone"), *kept[2:], (b"content-length", b"5")]),
    ]
    assert agent.open_streams == 0


def test_a_head_larger_than_a_frame() -> None:
    agent = AgentHttp2(LIMITS, 0.0)
    agent.feed(PREFACE + settings() + headers(1), 0.0)
    agent.outgoing()
    long = fields((b"x-long", b"y" * 40_000))
    agent.respond(1, ResponseHead(200, b"", 1, long, Framing.NONE, 0, True, frozenset()), end=True)
    sent = [item for item in split(agent.outgoing()) if item.kind in (HEADERS, CONTINUATION)]
    assert [(item.kind, item.flags) for item in sent] == [
        (HEADERS, END_STREAM),
        (CONTINUATION, 0),
        (CONTINUATION, END_HEADERS),
    ]
