"""A connection of the DNS shim fed cruelly: byte by byte, cut anywhere, with trailing bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow.dns_flow import Fetch
from interceptor.serve.dns_stream import Stream
from interceptor.wire import dns

RESOLVER = ("198.18.0.1", 53)


class Server:
    """Echoes what it gets; silence for `!`, and later for what begins with `?`."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.owed: list[tuple[bytes, Callable[[bytes], None]]] = []
        self.streams = 0

    def reply(
        self, data: bytes, over: dns.Transport, resolver: tuple[str, int]
    ) -> bytes | Fetch | None:
        assert (over, resolver) == ("tcp", RESOLVER)
        self.asked.append(data)
        if data[:1] == b"?":
            query = dns.Query(0, data.decode("latin-1"), 1, b"", 0)
            return Fetch(query, "tcp", query.name, 1)
        return None if data == b"!" else b"=" + data

    def later(
        self, fetch: Fetch, resolver: tuple[str, int], deliver: Callable[[bytes], None]
    ) -> None:
        assert resolver == RESOLVER
        self.owed.append((b"=" + fetch.name.encode("latin-1"), deliver))

    def opened(self, stream: Stream) -> None:
        assert stream
        self.streams += 1

    def ended(self, stream: Stream) -> None:
        assert stream
        self.streams -= 1


class Transport:
    def __init__(self) -> None:
        self.written = b""
        self.closed = ""
        self.reading = True

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Loop:
    """Time stands still; what is to be called soon is called when the test says so."""

    def __init__(self) -> None:
        self.soon: list[tuple[Any, ...]] = []

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, *call: Any) -> Any:
        assert delay > 0
        return Timer(call)

    def call_soon(self, *call: Any) -> None:
        self.soon.append(call)

    def run(self) -> None:
        while self.soon:
            callback, *arguments = self.soon.pop(0)
            callback(*arguments)


class Timer:
    def __init__(self, call: tuple[Any, ...]) -> None:
        self.call = call

    def cancel(self) -> None:
        self.call = ()


class Connection:
    def __init__(self) -> None:
        self.server, self.transport, self.loop = Server(), Transport(), Loop()
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.stream = Stream(self.server, RESOLVER, loop)
        self.stream.connection_made(cast("asyncio.BaseTransport", self.transport))

    def feed(self, data: bytes) -> None:
        self.stream.data_received(data)
        self.loop.run()

    def replies(self) -> list[bytes]:
        found, rest = [], self.transport.written
        while rest:
            size = int.from_bytes(rest[:2])
            found.append(rest[2 : 2 + size])
            assert len(found[-1]) == size
            rest = rest[2 + size :]
        return found


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


MESSAGE = st.binary(max_size=300).filter(lambda data: data[:1] not in (b"?", b"!"))


@given(
    messages=st.lists(MESSAGE, max_size=100),
    cuts=st.lists(st.integers(0, 40_000), max_size=30),
    rest=st.binary(max_size=50),
)
def test_cut_anywhere(messages: list[bytes], cuts: list[int], rest: bytes) -> None:
    """And the beginning of a message that never ends changes nothing for those before it."""
    tail = b"\xff" * bool(rest) + rest
    data = b"".join(map(framed, messages)) + tail
    connection = Connection()
    begin = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        if cut > begin or not data:
            connection.feed(data[begin:cut])
        begin = cut
    assert connection.server.asked == messages
    assert connection.replies() == [b"=" + message for message in messages]
    assert not connection.transport.closed
    assert connection.transport.reading


@pytest.mark.parametrize("message", [b"", b"x", b"abc" * 100])
def test_byte_by_byte(message: bytes) -> None:
    connection = Connection()
    data = framed(message)
    for i in range(len(data)):
        assert connection.server.asked == []
        connection.feed(data[i : i + 1])
    assert connection.replies() == [b"=" + message]


def test_what_is_no_query_ends_the_connection() -> None:
    connection = Connection()
    connection.feed(framed(b"a") + framed(b"!") + framed(b"b"))
    assert connection.server.asked == [b"a", b"!"]
    assert connection.transport.closed == "aborted"


def test_half_closed_connections_end_when_all_is_answered() -> None:
    connection = Connection()
    connection.feed(framed(b"?a") + framed(b"b"))
    assert connection.stream.eof_received()
    connection.loop.run()
    assert (connection.replies(), connection.transport.closed) == ([b"=b"], "")
    for reply, deliver in connection.server.owed:
        deliver(reply)
    connection.loop.run()
    assert connection.replies() == [b"=b", b"=?a"]
    assert connection.transport.closed == "closed"


def test_an_answer_for_a_connection_that_has_gone() -> None:
    connection = Connection()
    connection.feed(framed(b"?a"))
    connection.stream.connection_lost(None)
    assert connection.server.streams == 0
    ((reply, deliver),) = connection.server.owed
    deliver(reply)
    connection.loop.run()
    assert connection.transport.written == b""


def test_an_agent_that_does_not_read_is_not_answered_until_it_does() -> None:
    connection = Connection()
    connection.stream.pause_writing()
    assert not connection.transport.reading
    connection.feed(framed(b"a"))
    assert connection.server.asked == []
    connection.stream.resume_writing()
    connection.loop.run()
    assert connection.replies() == [b"=a"]
    assert connection.transport.reading
