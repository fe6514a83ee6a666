"""Limits and time-outs of HTTP/1.1: what does not go on is refused, and nothing piles up.

Time is an argument: no test waits. `tests/system/jail/test_slow_and_hostile.py` has the same end
to end.
"""

from __future__ import annotations

import tracemalloc

import pytest

from interceptor.flow.steps import Close, EndUpstream, ToClient
from interceptor.policy.schema import Limits
from interceptor.wire.http1 import chunk
from tests.conversation import OK, Conversation, get, post

SHORT = Limits(header_seconds=10, idle_seconds=60, body_seconds=100, connect_seconds=5)
CHUNKED = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


def expire(talk: Conversation) -> Conversation:
    """Let time pass to the deadline."""
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    return talk


def trickle(talk: Conversation, data: bytes, seconds: float, *, upstream: bool = False) -> float:
    """One byte every `seconds`, until a deadline passes; how long that took."""
    start = talk.now
    for byte in data:
        if talk.flow.deadline <= talk.now + seconds:
            expire(talk)
            break
        talk.now += seconds
        talk.reply(bytes((byte,))) if upstream else talk.say(bytes((byte,)))
    return talk.now - start


# -- slow agents -------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 3, 9.9])
@pytest.mark.parametrize("first", [True, False])
def test_a_trickled_head_gets_header_seconds_and_no_more(seconds: float, first: bool) -> None:
    talk = Conversation(limits=SHORT, answer=lambda _: OK)
    if not first:
        talk.say(get())
        talk.now += 50  # idle is not counted
    talk.say(b"GET ")  # enough to be known for HTTP
    assert trickle(talk, get("/" + "a" * 1000)[4:], seconds) <= 10.01
    assert talk.blocks == ["timeout"]
    assert talk.statuses[-1] == 504
    assert talk.closed is not None
    assert talk.upstreams == ([] if first else [get()])


def test_the_same_head_in_time_is_served() -> None:
    talk = Conversation(limits=SHORT, answer=lambda _: OK)
    assert trickle(talk, get(), 0.1) < 10
    assert talk.statuses == [200]


def test_a_connection_that_says_nothing_is_closed() -> None:
    talk = expire(Conversation(limits=SHORT))
    assert talk.now == 1010
    assert talk.closed is not None


def test_an_idle_connection_is_closed_and_is_no_event() -> None:
    talk = expire(Conversation(limits=SHORT, answer=lambda _: OK).say(get()))
    assert talk.now == 1060
    assert talk.closed == Close()
    assert talk.blocks == []


def test_an_empty_line_after_a_body_is_not_the_beginning_of_a_head() -> None:
    """Old clients send one (RFC 9112 section 2.2); the connection is idle all the same."""
    talk = Conversation(limits=SHORT, answer=lambda _: OK).say(post(b"abc"), b"\r\n")
    expire(talk)
    assert talk.blocks == []
    assert talk.statuses == [200]


def test_a_body_that_stops_is_refused_after_idle_seconds() -> None:
    talk = Conversation(limits=SHORT).say(post(b"x" * 50)[:-10])
    expire(talk)
    assert talk.now == 1060
    assert talk.blocks == ["timeout"]
    assert talk.statuses == [504]
    assert talk.closed is not None
    assert talk.upstreams == []


@pytest.mark.parametrize("framed", [post(b"x" * 5000), CHUNKED + chunk(b"x" * 5000)])
def test_a_held_body_that_trickles_gets_body_seconds_in_all(framed: bytes) -> None:
    talk = Conversation(limits=Limits(body_seconds=100, idle_seconds=60))
    head = framed.index(b"\r\n\r\n") + 4
    talk.say(framed[:head])
    assert trickle(talk, framed[head:], 0.9) <= 101
    assert talk.blocks == ["timeout"]
    assert talk.statuses == [504]
    assert talk.upstreams == []


def test_a_streaming_body_that_stops_takes_its_upstream_with_it() -> None:
    talk = Conversation(limits=Limits(body_hold=16, idle_seconds=60))
    talk.say(post(b"x" * 5000)[:200])
    for _ in range(3):  # what the window holds goes on, then nothing comes
        expire(talk)
        if talk.flow.closed:
            break
    assert talk.now <= 1061
    assert talk.statuses == [504]
    assert talk.finished[-1].reason == "timeout"
    assert EndUpstream(reusable=False) in talk.steps
    assert not talk.sent.endswith(b"x" * 5000)


def test_a_refused_body_is_not_waited_for_without_end() -> None:
    talk = Conversation(limits=SHORT)
    talk.say(post(b"x" * 5000, b"X-A: SECRET\r\n")[:-4000])
    waited = trickle(talk, b"x" * 5000, 50)
    assert talk.flow.closed
    assert waited <= 100
    assert talk.upstreams == []


# -- slow upstreams ----------------------------------------------------------------------------


def test_an_upstream_that_says_nothing_is_a_gateway_timeout() -> None:
    talk = expire(Conversation(limits=SHORT).say(get()))
    assert talk.now == 1060
    assert talk.statuses == [504]
    assert talk.explanation["retry"] is True


def test_a_response_head_that_trickles_gets_idle_seconds_in_all() -> None:
    talk = Conversation(limits=SHORT).say(get())
    head = b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1000
    assert trickle(talk, head, 5, upstream=True) <= 65
    assert talk.statuses == [504]
    assert talk.finished[-1].reason == "timeout"


def test_interim_responses_gain_no_time_and_have_an_end() -> None:
    talk = Conversation(limits=SHORT).say(get())
    for _ in range(100):
        if talk.flow.closed:
            break
        talk.now += 1
        talk.reply(b"HTTP/1.1 102 Processing\r\n\r\n")
    assert talk.now <= 1020
    assert talk.statuses == [502]


def test_a_response_that_stops_is_seen_to_be_cut() -> None:
    talk = Conversation(limits=SHORT).say(get())
    talk.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    expire(talk)
    assert talk.now == 1060
    assert talk.closed == Close(reset=True)


def test_a_slow_stream_lives_as_long_as_it_says_something() -> None:
    """Tokens and events come when they come: there is no limit on a whole response."""
    talk = Conversation(limits=SHORT).say(get())
    talk.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(200):
        talk.now += 50
        assert talk.flow.deadline > talk.now
        talk.reply(chunk(b"data: %d\n\n" % number))
    talk.reply(b"0\r\n\r\n")
    assert talk.received.endswith(b"data: 199\n\n\r\n0\r\n\r\n")


# -- floods: nothing piles up ------------------------------------------------------------------


def test_what_is_pipelined_behind_a_request_is_bounded() -> None:
    talk = Conversation().say(get())
    more = get("/more", extra=b"X-A: " + b"a" * 10_000 + b"\r\n")
    said = 0
    while talk.flow.wants_client and said < 1000:
        talk.say(more)
        said += 1
    assert said * len(more) <= 65_536 + len(more)
    talk.answer = lambda _: OK
    talk.reply(OK)
    assert talk.flow.wants_client  # and it goes on once that is answered
    assert len(talk.statuses) == 1 + said


def test_what_follows_a_body_is_bounded_too() -> None:
    talk = Conversation().say(post(b"abc"))
    read = 0
    while talk.flow.wants_client and read < 10_000_000:
        talk.say(b"x" * 1000)
        read += 1000
    assert read <= 66_536


def test_a_head_is_never_kept_beyond_its_limit() -> None:
    limits = Limits(header_bytes=4096)
    talk = Conversation(limits=limits)
    start = get()[:-2] + b"X-A: "
    talk.say(start)
    said = len(start)
    while not talk.flow.closed:
        talk.say(b"a" * 100)
        said += 100
    assert said <= 4096 + 100 + 4
    assert talk.blocks == ["limit_exceeded"]


def peak(talk: Conversation, reads: int, size: int, *, upstream: bool) -> int:
    """Most memory (bytes) that the flow took at once for so many reads, beyond what it had."""
    event = talk.flow.upstream_bytes if upstream else talk.flow.client_bytes
    tracemalloc.start()
    for _ in range(reads):
        for step in event(bytes(size), talk.now):
            assert not isinstance(step, Close)
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return top


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_held_body_in_tiny_reads_takes_little_more_memory_than_its_bytes(size: int) -> None:
    talk = Conversation(limits=Limits(body_hold=1 << 20))
    talk.say(b"POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 900000\r\n\r\n")
    assert peak(talk, 100_000 // size, size, upstream=False) < 4 * 100_000


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_tiny_chunks_of_an_upload_are_joined(size: int) -> None:
    talk = Conversation(answer=lambda _: OK)
    body = b"x" * size
    talk.say(CHUNKED, chunk(body) * 50, b"0\r\n\r\n")
    assert talk.sent.endswith(b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (50 * size, body * 50))


def test_tiny_chunks_of_a_response_are_joined_a_read() -> None:
    talk = Conversation().say(get())
    talk.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    before = len(talk.received)
    talk.reply(b"1\r\nx\r\n" * 10_000)
    assert talk.received[before:] == chunk(b"x" * 10_000)


def test_a_long_response_takes_constant_memory() -> None:
    talk = Conversation().say(get())
    talk.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    assert peak(talk, 1000, 10_000, upstream=True) < 100_000


def test_a_flood_of_extensions_ends_a_response() -> None:
    talk = Conversation().say(get())
    talk.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        if not talk.flow.closed:
            talk.reply(b"1;" + b"e" * 900 + b"\r\nx\r\n")
    assert talk.closed == Close(reset=True)
    assert talk.finished[-1].reason == "upstream_malformed"
    given = b"".join(step.data for step in talk.steps if isinstance(step, ToClient))
    assert len(given) < 1000


def test_a_body_over_body_bytes_is_refused_before_or_as_soon_as_that_is_known() -> None:
    limits = Limits(body_bytes=100)
    talk = Conversation(limits=limits).say(post(b"x" * 101)[:-101])
    assert talk.blocks == ["limit_exceeded"]
    talk = Conversation(limits=limits).say(CHUNKED, chunk(b"x" * 60), chunk(b"x" * 41))
    assert talk.blocks == ["limit_exceeded"]
    assert talk.upstreams == []
