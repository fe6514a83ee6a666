"""HTTP/2 with the agent where it hurts: owed windows, resets, GOAWAY, waiting, early ends."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable

import pytest

from interceptor.flow.steps import Close, Dial, EndUpstream, Record, Resolve, ToUpstream
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.http1 import Framing, ResponseHead
from interceptor.wire.http2 import Code, Ended, Event, Http2Limits, Reset, Started
from tests import http2_bytes as raw
from tests.conversation import ScriptedJudge
from tests.flow_world import memory
from tests.http2_talk import Http2Talk, Site, answers, ask, field, respond, silent

GRPC = (field("content-type", "application/grpc"), field("te", "trailers"))
OLD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def message(data: bytes) -> bytes:
    return struct.pack(">BL", 0, len(data)) + data


def windows(talk: Http2Talk) -> int:
    """What the agent may still send on its whole connection."""
    return int(talk.agent._h2.outbound_flow_control_window)


def room(site: Site) -> int:
    """What an upstream may still send on its whole connection."""
    return int(site.codec._h2.outbound_flow_control_window)


def names(talk: Http2Talk) -> list[str]:
    return [type(step).__name__ for step in talk.steps]


# -- debts: every byte of window that was taken is given back ------------------------------------


def _reset(talk: Http2Talk, stream: int) -> None:
    talk.agent.reset(stream, Code.CANCEL)
    talk.send()


def _break(talk: Http2Talk, stream: int) -> None:
    """Less content than Content-Length says: the stream is malformed."""
    talk.act(talk.flow.client_bytes(raw.data(stream, b"", end=True), talk.now))


@pytest.mark.parametrize("end", [_reset, _break])
@pytest.mark.parametrize("connected", [False, True])
def test_window_of_content_that_nobody_took_is_given_back(
    end: Callable[[Http2Talk, int], None], *, connected: bool
) -> None:
    # Connected, upstream takes nothing and the window is owed; else the content waits for the dial.
    talk = Http2Talk(
        serve=silent,
        patient=True,
        limits=Limits(body_hold=1000),
        upstream_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    talk.send()
    for _ in range(8):  # all that there is, twice
        stream = talk.ask(ask("/", "POST", length=300_000), b"y" * 4000, end=False)
        if connected:
            talk.go_on()
            for site in talk.sites.values():
                site.reads = False
        before = windows(talk)
        talk.agent.data(stream, b"y" * 295_999)
        for _ in range(9):
            talk.send()
        assert before - windows(talk) > 50_000
        end(talk, stream)
        assert windows(talk) > 400_000  # hyper-h2 gives back when half of it is due


def test_window_of_a_response_that_was_cut_is_given_back() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.respond(event.stream, respond(), end=False)
            site.codec.data(event.stream, b"z" * 1_000_000)

    talk = Http2Talk(serve=serve, agent_limits=Http2Limits(window=65_535, connection_window=65_535))
    talk.ask(ask("/"))
    talk.reads = False
    site = talk.sites[0]
    for _ in range(8):
        before = room(site)
        stream = talk.ask(ask("/"))
        for _ in range(30):
            talk.reply(site)
        assert room(site) < before
        _reset(talk, stream)
        assert room(site) > 400_000


def test_content_in_tiny_frames_takes_no_more_memory_than_its_bytes() -> None:
    talk = Http2Talk(serve=silent, patient=True, tls=True)
    kind = (b"content-type", b"application/grpc")
    talk.ask_with((*raw.POST, kind), end=False)
    frames = raw.data(1, b"y") * 20_000
    tracemalloc.start()
    try:
        talk.flow.client_bytes(frames, talk.now)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 200_000
    assert memory(talk.flow) > 20_000  # it is there


def test_window_of_a_response_that_is_cut_while_it_is_held_is_given_back() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            kind = field("content-type", "text/plain")
            site.codec.respond(event.stream, respond(fields=(kind,)), end=False)
            site.codec.data(event.stream, b"z" * 196_608 + b"INJECT" + b"z" * 16_000)

    talk = Http2Talk(
        serve=serve,
        judge=BadWords(),
        limits=Limits(inbound_bytes=1000),
        agent_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    talk.reads = False
    for _ in range(70):
        talk.ask(ask("/"))
    assert talk.blocks == ["injection"] * 70
    assert room(talk.sites[0]) > 400_000


class BadWords(ScriptedJudge):
    """Blocks what comes back with INJECT in it."""

    def inbound_window(self, where: str, target: Target, *, apart: bool = True) -> BadWords:
        return self

    blocks = True

    def judge(self, piece: bytes) -> Verdict | None:
        found = b"INJECT" in piece
        return Verdict(Action.BLOCK, Reason.INJECTION, "scripted") if found else None


# -- early ends: a response that comes before the request is complete arrives whole ---------------


def test_a_refusal_before_the_end_of_the_request_is_readable() -> None:
    talk = Http2Talk(limits=Limits(body_hold=1000))
    stream = talk.ask(ask("/SECRET", "POST", length=5000), end=False)
    answer = talk.answers[stream]
    assert answer.status == 403
    assert json.loads(answer.content)["reason"] == "secret"
    assert answer.reset == Code.NO_ERROR
    assert answer.ended


def test_a_refused_head_is_answered_readably_and_not_reset() -> None:
    talk = Http2Talk()
    stream = talk.ask(ask("/../x"))
    answer = talk.answers[stream]
    assert answer.status == 400
    assert json.loads(answer.content)["reason"] == "http_malformed"
    assert (answer.ended, answer.reset) == (True, None)


@pytest.mark.parametrize("size", [2, 100_000])
def test_an_early_response_arrives_whole_before_the_stream_is_reset(size: int) -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.respond(event.stream, respond(413), end=False)
            site.codec.data(event.stream, b"n" * size)
            site.codec.end(event.stream, ())

    talk = Http2Talk(
        serve=serve,
        limits=Limits(body_hold=1000),
        agent_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    stream = talk.ask(ask("/", "POST", length=500_000), b"y" * 5000, end=False)
    for _ in range(9):
        for site in talk.sites.values():
            talk.reply(site)
        talk.send()
    answer = talk.answers[stream]
    assert (answer.status, len(answer.content), answer.ended) == (413, size, True)
    assert answer.reset == Code.NO_ERROR
    assert any(isinstance(event, Reset) for event in talk.sites[0].events)  # nor half-open there
    assert talk.answers[talk.ask(ask("/"))].status == 413


# -- waiting: whoever waits goes on when there is room --------------------------------------------


def _one_at_a_time() -> Http2Limits:
    return Http2Limits(streams=1)


def test_a_stream_that_the_agent_resets_makes_room_for_one_that_waits() -> None:
    talk = Http2Talk(serve=silent, upstream_limits=_one_at_a_time())
    first = talk.ask(ask("/a"))
    second = talk.ask(ask("/b"))
    _reset(talk, first)
    talk.wait(0.5)
    paths = [e.head.target for s in talk.sites.values() for e in s.events if isinstance(e, Started)]
    assert paths == [b"/a", b"/b"]
    assert talk.answers[second].reset is None


def test_content_of_a_call_that_waited_is_sent_when_it_gets_its_stream() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Ended):
            site.codec.respond(event.stream, respond(fields=GRPC[:1]), end=False)
            site.codec.data(event.stream, site.received[event.stream])
            site.codec.end(event.stream, (field("grpc-status", "0"),))

    talk = Http2Talk(serve=serve, upstream_limits=_one_at_a_time())
    first = talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), message(b"one"), end=False)
    second = talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), message(b"two"))
    talk.agent.end(first, ())
    talk.send()
    for stream, said in ((first, b"one"), (second, b"two")):
        assert talk.answers[stream].content == message(said)
        assert talk.answers[stream].ended


def test_more_streams_than_upstream_takes_do_not_wait_for_its_long_ones() -> None:
    talk = Http2Talk(serve=silent, upstream_limits=_one_at_a_time())
    talk.ask(ask("/long"))
    for number in range(3):
        talk.ask(ask(f"/{number}"))
    started = [e for s in talk.sites.values() for e in s.events if isinstance(e, Started)]
    assert len(started) == 4
    talk.wait(60.0)
    assert not talk.blocks


def test_another_connection_that_fails_costs_those_who_wait_nothing() -> None:
    talk = Http2Talk(serve=silent, upstream_limits=_one_at_a_time(), patient=True)
    streams = [talk.ask(ask("/long"))]
    talk.go_on()
    streams += [talk.ask(ask(f"/{number}")) for number in range(3)]
    reason = Reason.CONNECT_FAILED
    talk.waiting.clear()
    talk.act(talk.flow.upstream_failed(reason, "scripted", talk.now, 1))
    assert [talk.answers[stream].status for stream in streams] == [0, 502, 0, 0]
    talk.go_on()
    started = [e for s in talk.sites.values() for e in s.events if isinstance(e, Started)]
    assert len(started) == 3


def test_what_upstream_wants_in_http1_is_asked_in_http1() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.reset(event.stream, Code.HTTP_1_1_REQUIRED)
            talk.answer_in_http1(lambda _: OLD)

    talk = Http2Talk(serve=serve, tls=True)
    stream = talk.ask(ask("/", "POST", length=2), b"hi")
    assert (talk.answers[stream].status, talk.answers[stream].content) == (200, b"ok")
    offers = [step.alpn for step in talk.steps if isinstance(step, Dial)]
    assert offers == [("h2", "http/1.1"), ("http/1.1",)]
    talk.ask(ask("/next"))
    assert [step.alpn for step in talk.steps if isinstance(step, Dial)][2:] == [("http/1.1",)]


def test_the_next_one_asks_when_the_first_gives_up_during_its_dial() -> None:
    talk = Http2Talk(patient=True)
    first, second, third = (talk.ask(ask(f"/{i}")) for i in range(3))
    _reset(talk, first)
    assert EndUpstream(reusable=False, lane=0) in talk.steps
    talk.go_on()
    assert [talk.answers[s].status for s in (second, third)] == [200, 200]
    assert len(talk.dialled) == 1
    assert len(talk.finished) == 3


def test_all_who_wait_may_give_up() -> None:
    talk = Http2Talk(patient=True)
    streams = [talk.ask(ask(f"/{i}")) for i in range(4)]
    for stream in reversed(streams):
        _reset(talk, stream)
    assert not talk.waiting
    assert sorted(step.exchange for step in talk.finished) == [1, 2, 3, 4]
    asked = {step.lane for step in talk.steps if isinstance(step, Resolve)}
    ended = [step.lane for step in talk.steps if isinstance(step, EndUpstream)]
    assert sorted(ended) == sorted(asked)


def test_an_agent_that_is_lost_asks_for_nothing_more() -> None:
    talk = Http2Talk(patient=True)
    for number in range(3):
        talk.ask(ask(f"/{number}"))
    before = len(talk.steps)
    talk.act(talk.flow.client_lost(talk.now))
    assert not any(isinstance(step, Resolve) for step in talk.steps[before:])


def test_a_dial_that_fails_answers_all_who_wait_in_their_own_terms() -> None:
    talk = Http2Talk(hosts={})
    streams = [talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), send=False) for _ in range(2)]
    talk.send()
    assert [talk.answers[s].value("grpc-status") for s in streams] == ["14", "14"]


# -- GOAWAY ----------------------------------------------------------------------------------------


def test_streams_go_on_after_goaway_while_new_ones_get_another_connection() -> None:
    talk = Http2Talk(serve=silent)
    first = talk.ask(ask("/a"))
    old = talk.sites[0]
    old.codec.close(Code.NO_ERROR)
    talk.reply(old)
    second = talk.ask(ask("/b"))
    assert set(talk.sites) == {0, 1}
    new = talk.sites[1]
    for site, text in ((old, b"one"), (new, b"two")):
        site.codec.respond(1, respond(), end=False)
        site.codec.data(1, text)
        site.codec.end(1, ())
        talk.reply(site)
    assert (talk.answers[first].content, talk.answers[second].content) == (b"one", b"two")
    assert 0 not in talk.open  # it was ended after its last stream
    assert 1 in talk.open


def test_a_stream_given_up_after_goaway_is_reset_upstream() -> None:
    talk = Http2Talk(serve=silent)
    first, _ = talk.ask(ask("/a")), talk.ask(ask("/b"))
    site = talk.sites[0]
    site.codec.close(Code.NO_ERROR)
    talk.reply(site)
    _reset(talk, first)
    assert [event.stream for event in site.events if isinstance(event, Reset)] == [1]


def goaway(talk: Http2Talk, lane: int, last: int) -> None:
    talk.act(talk.flow.upstream_bytes(raw.goaway(last), talk.now, lane))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_upstream_says_it_has_not_begun_is_made_again(method: str) -> None:
    talk = Http2Talk(serve=silent)
    length = 4 if method == "POST" else None
    pieces = (b"body",) if length else ()
    stream = talk.ask(ask("/a", method, length=length), *pieces)
    goaway(talk, 0, 0)
    again = talk.sites[1]
    assert [e.head.method for e in again.events if isinstance(e, Started)] == [method]
    assert again.received.get(1, b"") == b"".join(pieces)
    again.codec.respond(1, respond(body=False), end=True)
    talk.reply(again)
    assert talk.answers[stream].status == 200
    assert [step.reason for step in talk.finished] == [""]


def test_a_refused_stream_is_opened_again_and_not_for_ever() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.reset(event.stream, Code.REFUSED_STREAM)

    talk = Http2Talk(serve=serve)
    stream = talk.ask(ask("/a", "POST", length=2), b"hi")
    assert talk.answers[stream].status == 502
    started = [e for s in talk.sites.values() for e in s.events if isinstance(e, Started)]
    assert 2 <= len(started) <= 5


@pytest.mark.parametrize("code", [Code.INTERNAL_ERROR, Code.CANCEL, Code.NO_ERROR])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_may_have_been_processed_is_not_made_again(code: Code, method: str) -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            if event.head.target == b"/warm":
                site.codec.respond(event.stream, respond(body=False), end=True)
            else:
                site.codec.reset(event.stream, code)

    talk = Http2Talk(serve=serve)
    talk.ask(ask("/warm"))
    length = 2 if method == "POST" else None
    stream = talk.ask(ask("/a", method, length=length), *([b"hi"] if length else []))
    assert talk.answers[stream].status == 502
    started = [e for s in talk.sites.values() for e in s.events if isinstance(e, Started)]
    assert [e.head.target for e in started] == [b"/warm", b"/a"]


def test_an_agent_that_says_goodbye_gets_its_answers() -> None:
    talk = Http2Talk(serve=silent)
    stream = talk.ask(ask("/"))
    talk.act(talk.flow.client_bytes(raw.goaway(), talk.now))
    site = talk.sites[0]
    site.codec.respond(1, respond(), end=False)
    site.codec.data(1, b"late")
    site.codec.end(1, ())
    talk.reply(site)
    assert talk.answers[stream].content == b"late"
    assert talk.closed  # nothing more can come


# -- upstream breaks -------------------------------------------------------------------------------


def test_a_response_that_is_whole_counts_though_the_connection_breaks_behind_it() -> None:
    talk = Http2Talk(serve=silent)
    first, second = talk.ask(ask("/a")), talk.ask(ask("/b"))
    site = talk.sites[0]
    site.codec.respond(1, respond(), end=False)
    site.codec.data(1, b"whole")
    site.codec.end(1, ())
    data = site.codec.outgoing() + raw.data(0, b"on no stream")
    talk.act(talk.flow.upstream_bytes(data, talk.now, 0))
    assert talk.answers[first].content == b"whole"
    assert talk.answers[second].status == 502


@pytest.mark.parametrize("both", [False, True])
def test_content_before_a_head_is_never_passed_on(*, both: bool) -> None:
    talk = Http2Talk(serve=silent)
    stream = talk.ask(ask("/"))
    data = raw.data(1, b"HTTP/1.1 200 OK\r\n\r\n", end=both)
    talk.act(talk.flow.upstream_bytes(data, talk.now, 0))
    answer = talk.answers[stream]
    assert answer.status == 502 or answer.reset is not None
    assert b"200 OK" not in answer.content


def test_content_and_then_a_fault_of_the_agent_in_one_read() -> None:
    talk = Http2Talk(serve=silent, limits=Limits(body_hold=1000))
    talk.send()
    talk.act(
        talk.flow.client_bytes(
            raw.headers(1, (*raw.POST[:1], (b":scheme", b"http"), *raw.POST[2:]), end=False)
            + raw.data(1, b"y" * 5000)
            + raw.data(0, b"on no stream"),
            talk.now,
        )
    )
    assert talk.closed
    assert "http_malformed" in talk.blocks
    assert len(talk.finished) == len([s for s in talk.steps if isinstance(s, Resolve)])


def test_late_events_of_a_lane_that_is_gone_reach_nobody() -> None:
    talk = Http2Talk(serve=silent, patient=True)
    _reset(talk, talk.ask(ask("/a")))
    talk.ask(ask("/b"))
    before = len(talk.steps)
    flow, now = talk.flow, talk.now
    for lane in (0, 7):
        talk.act(flow.resolved(("192.0.2.9",), now, lane))
        talk.act(flow.upstream_bytes(OLD, now, lane))
        talk.act(flow.upstream_full(now, lane, full=True))
        talk.act(flow.upstream_eof(now, lane))
    assert talk.steps[before:] == []
    talk.act(flow.connected("192.0.2.9", now, 0, reused=False))
    assert talk.steps[before:] == [EndUpstream(reusable=False, lane=0)]


# -- gRPC ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_a_response_of_trailers_only_stays_one(*, old: bool) -> None:
    # gRPC takes grpc-status from the head only where the head ends the stream.
    status = (*GRPC[:1], field("grpc-status", "5"), field("grpc-message", "no such thing"))

    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Ended):
            site.codec.respond(event.stream, respond(200, status, body=False), end=True)

    plain = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 5\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    talk = Http2Talk(
        serve=serve,
        old=(lambda sent: plain if sent.endswith(b"0\r\n\r\n") else b"") if old else None,
        tls=True,
    )
    frames: list[raw.Frame] = []
    seen = talk.agent.feed

    def feed(data: bytes, now: float) -> list[Event]:
        frames.extend(raw.split(data))
        return seen(data, now)

    talk.agent = _Watched(talk.agent, feed)  # type: ignore[assignment]
    stream = talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), message(b"x"))
    assert talk.answers[stream].value("grpc-status") == "5"
    of_stream = [item for item in frames if item.stream == stream and item.kind in (0, 1)]
    assert [(item.kind, bool(item.flags & raw.END_STREAM)) for item in of_stream] == [(1, True)]


class _Watched:
    def __init__(self, codec: object, feed: Callable[[bytes, float], list[Event]]) -> None:
        self._codec = codec
        self.feed = feed

    def __getattr__(self, name: str) -> object:
        return getattr(self._codec, name)


def test_an_empty_response_with_a_length_and_trailers_keeps_them() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            head = ResponseHead(
                status=200,
                phrase=b"",
                minor=1,
                fields=(),
                framing=Framing.LENGTH,
                length=0,
                keep_alive=True,
                connection=frozenset(),
            )
            site.codec.respond(event.stream, head, end=False)
            site.codec.end(event.stream, (field("x-sum", "0"),))

    talk = Http2Talk(serve=serve)
    stream = talk.ask(ask("/"))
    assert talk.answers[stream].trailers == (field("x-sum", "0"),)


def test_a_call_that_asks_before_it_sends_is_told_to_go_on() -> None:
    talk = Http2Talk(serve=silent, tls=True)
    kind = (b"content-type", b"application/grpc")
    stream = talk.ask_with((*raw.POST, kind, (b"expect", b"100-continue")), end=False)
    assert talk.answers[stream].status == 100
    stream = talk.ask_with(
        (*raw.POST, kind, (b"expect", b"100-continue"), (b"x", b"SECRET")), end=False
    )
    assert [head.status for head in talk.answers[stream].heads] == [200]
    assert talk.answers[stream].value("grpc-status") == "7"


@pytest.mark.parametrize(
    ("kind", "status"), [("application/grpc", 200), ("application/grpc-web+proto", 403)]
)
def test_a_refused_call_is_answered_in_its_own_terms(kind: str, status: int) -> None:
    # gRPC reads its status from the head; gRPC-Web takes that of HTTP, and no other content type.
    talk = Http2Talk()
    fields = (field("content-type", kind), field("x", "SECRET"))
    answer = talk.answers[talk.ask(ask("/s/M", "POST", fields=fields, body=True), message(b"a"))]
    assert answer.status == status
    assert (answer.value("grpc-status") == "7") is (status == 200)
    assert (b"secret" in answer.content) is (status == 403)


# -- bodies that stream both ways ------------------------------------------------------------------


def test_what_upstream_says_does_not_keep_back_what_the_agent_has_said() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.respond(event.stream, respond(), end=False)

    talk = Http2Talk(serve=serve, limits=Limits(body_hold=1000))
    stream = talk.ask(ask("/", "POST", body=True), b"x" * 5000, end=False)
    talk.agent.data(stream, b"and this")
    talk.send()
    site = talk.sites[0]
    for _ in range(5):
        site.codec.data(1, b"tick")
        talk.reply(site)
        talk.wait(0.05)
    assert talk.content.endswith(b"and this")


# -- time and ends ---------------------------------------------------------------------------------


def test_the_time_of_an_idle_connection_runs_from_its_last_stream() -> None:
    talk = Http2Talk(serve=silent, limits=Limits(header_seconds=5.0, idle_seconds=50.0))
    stream = talk.ask(ask("/"))
    talk.wait(20.0)
    _reset(talk, stream)
    talk.wait(10.0)
    assert not talk.closed
    talk.wait(60.0)
    assert talk.closed


def test_a_connection_on_which_upstream_is_silent_is_not_used_again() -> None:
    talk = Http2Talk(serve=silent, limits=Limits(idle_seconds=5.0))
    first = talk.ask(ask("/a"))
    talk.wait(6.0)
    assert talk.answers[first].status == 504
    talk.ask(ask("/b"))
    assert len(talk.dialled) == 2
    assert 0 not in talk.open


def test_streams_that_wait_for_long_are_not_looked_at_all_the_time() -> None:
    talk = Http2Talk(serve=silent)
    talk.ask(ask("/a"))
    looked = 0
    end = talk.now + 60.0
    while talk.flow.deadline <= end:
        talk.now = talk.flow.deadline
        talk.act(talk.flow.timer(talk.now))
        looked += 1
    assert looked < 20


def test_evidence_that_fails_with_the_last_record_still_closes() -> None:
    talk = Http2Talk(serve=silent)
    talk.send()
    steps = talk.flow.client_bytes(raw.data(0, b"on no stream"), talk.now)
    assert any(isinstance(step, Record) for step in steps)
    assert isinstance(talk.flow.unwritable()[-1], Close)


def test_evidence_that_fails_leaves_the_first_frame_first() -> None:
    talk = Http2Talk(serve=silent)
    stream = talk.ask(ask("/"), send=False)
    steps = talk.flow.client_bytes(talk.agent.outgoing(), talk.now)
    first = next(at for at, step in enumerate(steps) if isinstance(step, Record))
    talk.act(steps[:first])
    talk.act(talk.flow.unwritable())
    assert talk.answers[stream].status == 503


def test_what_came_before_a_cut_reaches_the_agent() -> None:
    talk = Http2Talk(serve=silent)
    stream = talk.ask(ask("/"))
    said = (
        raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.block(((b":status", b"200"),)))
        + raw.data(1, b"data: one\n\n")
        + raw.reset(1, Code.INTERNAL_ERROR)
    )
    talk.act(talk.flow.upstream_bytes(said, talk.now, 0))
    answer = talk.answers[stream]
    assert (answer.content, answer.ended) == (b"data: one\n\n", False)
    assert answer.reset == Code.INTERNAL_ERROR


def test_nothing_is_sent_upstream_after_the_lane_has_ended() -> None:
    talk = Http2Talk(serve=silent)
    talk.ask(ask("/a"))
    talk.act(talk.flow.upstream_bytes(raw.ping() + raw.goaway(0) + raw.ping(), talk.now, 0))
    ended = talk.steps.index(EndUpstream(reusable=False, lane=0))
    assert not any(isinstance(s, ToUpstream) and s.lane == 0 for s in talk.steps[ended:])


def test_idle_streams_cost_a_new_one_nothing() -> None:
    talk = Http2Talk(serve=silent)
    for number in range(100):
        talk.ask(ask(f"/{number}"))
    site = talk.sites[0]
    site.codec.respond(1, respond(), end=False)
    site.codec.data(1, b"tick")
    talk.reply(site)
    assert talk.answers[1].content == b"tick"


# -- what is asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["api.example.com", "API.Example.com", "api.example.com.", "api.example.com:443"]
)
def test_ways_to_write_the_same_authority(host: str) -> None:
    talk = Http2Talk(old=lambda _: OLD, tls=True)
    assert talk.answers[talk.ask(ask("/", host=host))].status == 200
    assert b"Host: api.example.com\r\n" in talk.sent


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("user@api.example.com", 400),
        ("api.example.com:80", 421),
        ("api.example.com:0", 400),
        ("other.test", 421),
        ("api.example.com,other.test", 400),
        ("[::1]", 421),
    ],
)
def test_authorities_that_are_another_one_or_none(host: str, status: int) -> None:
    talk = Http2Talk(tls=True)
    answer = talk.answers[talk.ask(ask("/", host=host))]
    assert answer.status == status or (status == 400 and answer.reset is not None)
    assert not talk.dialled


def test_options_of_the_server_itself() -> None:
    talk = Http2Talk(old=lambda _: OLD, tls=True)
    assert talk.answers[talk.ask(ask("*", "OPTIONS"))].status == 200
    assert talk.sent.startswith(b"OPTIONS * HTTP/1.1\r\n")


@pytest.mark.parametrize("status", [204, 304, 200])
def test_responses_without_content_from_http1(status: int) -> None:
    # What follows such a head belongs to nobody, and the connection is not used again.
    said = b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\nSMUGGLED" % status
    talk = Http2Talk(old=lambda _: said, tls=True)
    method = "HEAD" if status == 200 else "GET"
    answer = talk.answers[talk.ask(ask("/", method))]
    assert (answer.status, answer.content, answer.ended) == (status, b"", True)
    assert EndUpstream(reusable=False, lane=0) in talk.steps


def test_a_chunked_response_with_trailers_from_http1() -> None:
    said = (
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        b"Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n"
    )
    talk = Http2Talk(old=lambda _: said, tls=True)
    answer = talk.answers[talk.ask(ask("/"))]
    assert (answer.status, answer.content) == (200, b"abc")
    assert answer.trailers == (field("x-sum", "7"),)
    assert EndUpstream(reusable=True, lane=0) in talk.steps


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64",
    ],
)
def test_an_answer_of_http1_that_cannot_be_read(said: bytes) -> None:
    talk = Http2Talk(old=lambda _: said, tls=True)
    answer = talk.answers[talk.ask(ask("/"))]
    assert answer.status == 502
    assert json.loads(answer.content)["reason"] == "upstream_malformed"
    assert EndUpstream(reusable=False, lane=0) in talk.steps


def test_a_body_that_is_not_as_long_as_it_says_never_becomes_whole_upstream() -> None:
    for sent, end in ((b"y" * 4000, True), (b"y" * 6000, False)):
        talk = Http2Talk(old=lambda _: b"", tls=True, limits=Limits(body_hold=1000))
        pairs = (*raw.POST, (b"content-length", b"5000"))
        stream = talk.ask_with(pairs, sent[:3000], end=False)
        talk.agent.data(stream, sent[3000:])
        if end:
            talk.agent.end(stream, ())
        talk.send()
        assert b"Content-Length: 5000\r\n" in talk.sent
        assert len(talk.sent.partition(b"\r\n\r\n")[2]) < 5000
        assert EndUpstream(reusable=False, lane=0) in talk.steps
        assert [step.reason for step in talk.finished] == ["http_malformed"]


def test_content_reaches_http1_by_the_length_or_in_chunks() -> None:
    talk = Http2Talk(old=lambda _: OLD, tls=True)
    talk.ask(ask("/a", "POST", length=3), b"abc")
    talk.ask(ask("/b", "POST", body=True), b"abc")
    assert b"Content-Length: 3\r\n\r\nabc" in talk.sent
    assert b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" in talk.sent


def test_fields_that_end_here_do_not_reach_http1() -> None:
    pairs = (
        (b"te", b"trailers"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"trailer", b"x"),
        (b"expect", b"100-continue"),
        (b"priority", b"u=1"),
    )
    talk = Http2Talk(old=lambda _: OLD, tls=True)
    stream = talk.ask_with((*raw.POST, *pairs), b"ok", end=True)
    assert talk.answers[stream].status == 200
    head = talk.sent.partition(b"\r\n\r\n")[0].lower()
    assert b"cookie: a=1; b=2" in head
    for name in (b"te:", b"trailer:", b"expect:", b"connection:"):
        assert b"\r\n" + name not in head


def test_a_response_held_for_a_slow_agent_gives_its_connection_back() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"z" * 500_000
    talk = Http2Talk(
        old=lambda _: b"",
        tls=True,
        agent_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    talk.reads = False
    stream = talk.ask(ask("/"))
    talk.act(talk.flow.upstream_bytes(said[:300_000], talk.now, 0))
    assert talk.held == {0}
    _reset(talk, stream)
    assert 0 not in talk.open
    stream = talk.ask(ask("/"))
    talk.act(talk.flow.upstream_bytes(said, talk.now, 1))
    assert talk.finished[-1].reason == ""
    assert EndUpstream(reusable=True, lane=1) in talk.steps  # complete, though the agent is behind


def test_an_event_of_the_agents_own_window_lets_a_held_response_go_on() -> None:
    talk = Http2Talk(
        old=lambda _: b"",
        tls=True,
        agent_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    talk.reads = False
    stream = talk.ask(ask("/"))
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"z" * 300_000
    talk.act(talk.flow.upstream_bytes(said, talk.now, 0))
    assert talk.held == {0}
    talk.agent.acknowledge(stream, len(talk.answers[stream].content))
    talk.reads = True
    for _ in range(9):
        talk.send()
    assert talk.held == set()
    talk.act(talk.flow.upstream_bytes(b"z" * 200_000, talk.now, 0))
    for _ in range(9):
        talk.send()
    assert len(talk.answers[stream].content) == 500_000


def test_answers_stay_with_their_streams() -> None:
    talk = Http2Talk(serve=silent)
    streams = [talk.ask(ask(f"/{i}")) for i in range(6)]
    site = talk.sites[0]
    for stream in (3, 11, 1, 7, 5, 9):
        site.codec.respond(stream, respond(), end=False)
    for round_ in range(3):
        for stream in (9, 5, 7, 1, 11, 3):
            site.codec.data(stream, b"%d:%d;" % (stream, round_))
        talk.reply(site)
    for stream in (1, 3, 5, 7, 9, 11):
        site.codec.end(stream, ())
    talk.reply(site)
    for mine, theirs in zip(streams, (1, 3, 5, 7, 9, 11), strict=True):
        wanted = b"".join(b"%d:%d;" % (theirs, round_) for round_ in range(3))
        assert talk.answers[mine].content == wanted


def test_no_window_is_lost_over_many_exchanges() -> None:
    talk = Http2Talk(serve=answers(b"z" * 3000), limits=Limits(body_hold=1000))
    talk.send()
    for _ in range(300):
        stream = talk.ask(ask("/", "POST", length=3000), b"y" * 3000)
        assert talk.answers[stream].ended
    assert windows(talk) > 400_000
    assert room(talk.sites[0]) > 400_000
