"""HTTP/2 with the agent: streams, translation to HTTP/1.1, refusals, gRPC, flow control."""

from __future__ import annotations

import json
import struct

import pytest

from interceptor.flow.steps import Record
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.http2 import Data, Ended, Event, Http2Limits, Reset, Started
from tests.conversation import ScriptedJudge
from tests.http2_talk import Http2Talk, Site, answers, ask, field, respond, silent

OLD = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: x\r\nAlt-Svc: h3=":443"\r\n\r\nok'
GRPC = (field("content-type", "application/grpc"), field("te", "trailers"))


def message(data: bytes, flag: int = 0) -> bytes:
    return struct.pack(">BL", flag, len(data)) + data


class MessageJudge(ScriptedJudge):
    """Judges messages as well: a secret is found over the end of one and the start of the next."""

    def message_window(self, target: Target, where: str) -> MessageJudge:  # type: ignore[override]
        self.tail = b""
        return self

    def judge(self, data: bytes) -> Verdict | None:
        text = self.tail + data
        self.tail = text[-64:]
        return Verdict(Action.BLOCK, Reason.SECRET, "scripted") if self.bad in text else None


# -- requests and responses ----------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_streams_share_one_connection_to_upstream(cut: int) -> None:
    talk = Http2Talk(cut=cut)
    streams = [talk.ask(ask(f"/{i}")) for i in range(5)]
    assert [talk.answers[s].status for s in streams] == [200] * 5
    assert [talk.answers[s].content for s in streams] == [b"ok"] * 5
    assert len(talk.dialled) == 1
    assert [step.status for step in talk.finished] == [200] * 5
    assert len([step for step in talk.steps if isinstance(step, Record)]) == 5


def test_many_streams_at_once_wait_for_the_first_dial() -> None:
    talk = Http2Talk()
    streams = [talk.ask(ask(f"/{i}"), send=False) for i in range(50)]
    talk.send()
    assert {talk.answers[s].status for s in streams} == {200}
    assert len(talk.dialled) == 1


def test_upstream_of_http1_gets_a_connection_for_each_stream() -> None:
    talk = Http2Talk(old=lambda _: OLD, tls=True)
    first = talk.ask(ask("/a"), send=False)
    second = talk.ask(ask("/b"), send=False)
    talk.send()
    for stream in (first, second):
        answer = talk.answers[stream]
        assert (answer.status, answer.content, answer.ended) == (200, b"ok", True)
        assert answer.value("alt-svc") == ""
        assert answer.value("keep-alive") == ""
    assert len(talk.dialled) == 2
    assert b"GET /a HTTP/1.1\r\nHost: api.example.com\r\n" in talk.sent


def test_content_goes_both_ways_with_trailers() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Ended):
            site.codec.respond(event.stream, respond(), end=False)
            site.codec.data(event.stream, site.received[event.stream][::-1])
            site.codec.end(event.stream, (field("x-sum", "7"),))

    talk = Http2Talk(serve=serve)
    stream = talk.ask(ask("/", "POST", body=True), b"abc", b"def")
    assert talk.answers[stream].content == b"fedcba"
    assert talk.answers[stream].trailers == (field("x-sum", "7"),)
    assert talk.finished[0].sent == 6
    assert talk.finished[0].received == 6


@pytest.mark.parametrize("size", [3 << 20, (1 << 20) - 1])
def test_long_bodies_arrive_whole_in_both_directions(size: int) -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Ended):
            site.codec.respond(event.stream, respond(), end=False)
            site.codec.data(event.stream, site.received[event.stream])
            site.codec.end(event.stream, ())

    talk = Http2Talk(serve=serve)
    body = bytes(range(256)) * (size // 256)
    stream = talk.ask(ask("/", "POST", length=len(body)), body)
    for _ in range(200):
        talk.send()
        for site in talk.sites.values():
            talk.reply(site)
    assert talk.answers[stream].content == body
    assert talk.answers[stream].ended


def test_head_and_empty_responses() -> None:
    def serve(site: Site, event: Event) -> None:
        assert isinstance(event, Started)
        status = 304 if event.head.target == b"/304" else 204
        site.codec.respond(event.stream, respond(status, body=False), end=True)

    talk = Http2Talk(serve=serve)
    assert talk.answers[talk.ask(ask("/304"))].status == 304
    assert talk.answers[talk.ask(ask("/204"))].ended
    talk = Http2Talk(serve=answers(b""))
    assert talk.answers[talk.ask(ask("/", "HEAD"))].ended


# -- refusals --------------------------------------------------------------------------------------


def test_a_secret_is_refused_on_its_stream_alone() -> None:
    talk = Http2Talk()
    bad = talk.ask(ask("/?k=SECRET"))
    good = talk.ask(ask("/"))
    answer = talk.answers[bad]
    assert answer.status == 403
    assert json.loads(answer.content)["reason"] == "secret"
    assert answer.value("x-egressguard-reason") == "secret"
    assert talk.answers[good].status == 200
    assert talk.blocks == ["secret"]
    assert b"SECRET" not in talk.sent


@pytest.mark.parametrize("cut", [0, 1])
def test_a_secret_in_the_body_never_leaves(cut: int) -> None:
    talk = Http2Talk(cut=cut)
    stream = talk.ask(ask("/", "POST", body=True), b"a SEC", b"RET b")
    assert talk.answers[stream].status == 403
    assert not talk.dialled
    control = Http2Talk(cut=cut)
    control.ask(ask("/", "POST", body=True), b"a SEC", b"ret b")
    assert control.content == b"a SECret b"


def test_a_late_secret_resets_the_stream_upstream() -> None:
    talk = Http2Talk(serve=silent, limits=Limits(body_hold=1000))
    stream = talk.ask(ask("/", "POST", body=True), b"x" * 5000, end=False)
    assert talk.content  # it streams
    talk.agent.data(stream, b"SECRET")
    talk.send()
    assert talk.answers[stream].status == 403
    assert b"SECRET" not in talk.content
    site = talk.sites[0]
    assert any(isinstance(event, Reset) for event in site.events)
    assert not any(isinstance(event, Ended) for event in site.events)


def test_another_name_is_misdirected() -> None:
    talk = Http2Talk()
    stream = talk.ask(ask("/", host="other.example.com"))
    assert talk.answers[stream].status == 421
    assert talk.blocks == ["name_mismatch"]
    assert not talk.dialled
    assert talk.answers[talk.ask(ask("/"))].status == 200


def test_connect_is_not_relayed() -> None:
    talk = Http2Talk()
    head = ask("other.example.com:443", "CONNECT", host="other.example.com:443")
    stream = talk.ask(head)
    answer = talk.answers[stream]
    assert answer.status == 403 or answer.reset is not None
    assert not talk.dialled
    assert talk.blocks


def test_addresses_are_judged_for_every_connection() -> None:
    talk = Http2Talk(hosts={"api.example.com": ("10.0.0.1",)})
    streams = [talk.ask(ask(f"/{i}"), send=False) for i in range(3)]
    talk.send()
    assert [talk.answers[s].status for s in streams] == [403] * 3
    assert not talk.dialled


def test_a_name_without_address_fails_all_who_wait() -> None:
    talk = Http2Talk(hosts={})
    streams = [talk.ask(ask(f"/{i}"), send=False) for i in range(3)]
    talk.send()
    assert [talk.answers[s].status for s in streams] == [502] * 3


# -- resets, ends ----------------------------------------------------------------------------------


def test_an_agent_that_gives_up_takes_its_stream_with_it() -> None:
    talk = Http2Talk(serve=silent)
    first, second = talk.ask(ask("/a")), talk.ask(ask("/b"))
    talk.agent.reset(first, 8)
    talk.send()
    site = talk.sites[0]
    assert [event.stream for event in site.events if isinstance(event, Reset)] == [1]
    assert [step.reason for step in talk.finished] == ["client_closed"]
    site.codec.respond(3, respond(body=False), end=True)
    talk.reply(site)
    assert talk.answers[second].status == 200


def test_upstream_resets_one_stream() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.reset(event.stream, 2)

    talk = Http2Talk(serve=serve)
    assert talk.answers[talk.ask(ask("/", "POST", length=2), b"hi")].status == 502


def test_upstream_that_breaks_within_a_response_is_seen_to_be_cut() -> None:
    talk = Http2Talk(serve=silent)
    stream = talk.ask(ask("/"))
    site = talk.sites[0]
    site.codec.respond(1, respond(), end=False)
    site.codec.data(1, b"part")
    talk.reply(site)
    talk.act(talk.flow.upstream_eof(talk.now, 0))
    answer = talk.answers[stream]
    assert (answer.content, answer.ended) == (b"part", False)
    assert answer.reset is not None
    assert talk.answers[talk.ask(ask("/next"))].status == 0
    assert len(talk.dialled) == 2  # the next one opens another connection


def test_silence_of_upstream_times_out_one_stream() -> None:
    talk = Http2Talk(serve=silent, limits=Limits(idle_seconds=5.0))
    stream = talk.ask(ask("/"))
    talk.wait(6.0)
    assert talk.answers[stream].status == 504


def test_an_idle_connection_says_goodbye() -> None:
    talk = Http2Talk(limits=Limits(idle_seconds=5.0))
    talk.ask(ask("/"))
    talk.wait(6.0)
    assert talk.closed
    assert talk.gone_away is not None


def test_evidence_that_cannot_be_written_stops_everything() -> None:
    talk = Http2Talk(serve=silent)
    first = talk.ask(ask("/a"))
    talk.act(talk.flow.unwritable())
    assert talk.answers[first].status == 503
    assert talk.closed


def test_rapid_resets_end_the_connection() -> None:
    talk = Http2Talk(serve=silent)
    for _ in range(2000):
        if talk.flow.closed:
            break
        stream = talk.ask(ask("/"), send=False)
        talk.agent.reset(stream, 8)
        talk.send()
    assert talk.closed
    assert "limit_exceeded" in talk.blocks


# -- gRPC ------------------------------------------------------------------------------------------


def test_messages_of_a_call_flow_both_ways() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.respond(event.stream, respond(fields=GRPC[:1]), end=False)
        elif isinstance(event, Data):
            site.codec.data(event.stream, event.data)
        elif isinstance(event, Ended):
            site.codec.end(event.stream, (field("grpc-status", "0"),))

    talk = Http2Talk(serve=serve, judge=MessageJudge())
    stream = talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), message(b"one"), end=False)
    assert talk.answers[stream].content == message(b"one")  # before the call has ended
    talk.agent.data(stream, message(b"two")[:4])
    talk.send()
    assert talk.answers[stream].content == message(b"one")
    talk.agent.data(stream, message(b"two")[4:] + message(b"three"))
    talk.agent.end(stream, ())
    talk.send()
    assert talk.answers[stream].content == message(b"one") + message(b"two") + message(b"three")
    assert talk.answers[stream].trailers == (field("grpc-status", "0"),)
    assert talk.finished[0].sent == 5 * 3 + 11


@pytest.mark.parametrize("split", range(1, 6))
def test_a_secret_in_a_message_is_answered_in_grpcs_terms(split: int) -> None:
    talk = Http2Talk(serve=silent, judge=MessageJudge())
    stream = talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), message(b"fine"), end=False)
    assert talk.content == message(b"fine")
    secret = b"SECRET"
    talk.agent.data(stream, message(secret[:split]))
    talk.agent.data(stream, message(secret[split:]))
    talk.agent.end(stream, ())
    talk.send()
    answer = talk.answers[stream]
    assert answer.status == 200
    assert answer.value("grpc-status") == "7"
    assert "secret" in answer.value("grpc-message")
    assert secret[split:] not in talk.content.removeprefix(message(b"fine"))
    kinds = [step.kind for step in talk.steps if isinstance(step, Record)]
    assert kinds[-1] == "grpc_message"


def test_a_call_that_is_cut_after_its_head_ends_with_a_status() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.respond(event.stream, respond(fields=GRPC[:1]), end=False)

    talk = Http2Talk(serve=serve, judge=MessageJudge())
    stream = talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), message(b"SECRET"))
    trailers = {lower: value for _, lower, value in talk.answers[stream].trailers}
    assert trailers.get(b"grpc-status") == b"7" or talk.answers[stream].value("grpc-status") == "7"
    assert b"SECRET" not in talk.content


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message(b"x", 1), "incomplete"),  # compressed, and nothing says how
        (message(b"x", 9), "http_malformed"),
        (b"\x00\xff\xff\xff\xff", "limit_exceeded"),
        (b"\x00\x00\x00\x00\x05ab", "http_malformed"),  # cut
    ],
)
def test_messages_that_cannot_be_read(data: bytes, reason: str) -> None:
    talk = Http2Talk(serve=silent, judge=MessageJudge())
    talk.ask(ask("/s/M", "POST", fields=GRPC, body=True), data)
    assert talk.blocks == [reason]
    assert talk.content == b""


# -- flow control ----------------------------------------------------------------------------------


def test_a_slow_agent_holds_an_upstream_of_http2() -> None:
    def serve(site: Site, event: Event) -> None:
        if isinstance(event, Started):
            site.codec.respond(event.stream, respond(), end=False)
            site.codec.data(event.stream, b"z" * 10_000_000)

    talk = Http2Talk(serve=serve, agent_limits=Http2Limits(window=65_535, connection_window=65_535))
    talk.reads = False
    stream = talk.ask(ask("/"))
    site = talk.sites[0]
    for _ in range(100):
        talk.reply(site)
    got = len(talk.answers[stream].content)
    assert got <= 65_535
    assert site.codec.backlog(1) > 9_000_000  # it was not read into our memory


def test_a_slow_upstream_holds_the_agent() -> None:
    talk = Http2Talk(
        serve=silent,
        limits=Limits(body_hold=1000),
        upstream_limits=Http2Limits(window=65_535, connection_window=65_535),
    )
    stream = talk.ask(ask("/", "POST", body=True), b"", end=False)
    talk.agent.data(stream, b"y" * 4000)
    talk.send()
    site = talk.sites[0]
    site.reads = False
    talk.agent.data(stream, b"y" * 10_000_000)
    for _ in range(100):
        talk.send()
    assert len(talk.content) < 200_000
    assert talk.agent.backlog(stream) > 9_000_000


# -- idle bodies --------------------------------------------------------------------------------


def test_a_body_that_pauses_goes_on_without_its_end() -> None:
    talk = Http2Talk(serve=silent, judge=ScriptedJudgeWithFlush())
    stream = talk.ask(ask("/", "POST", body=True), b"hello", end=False)
    assert talk.content == b""
    talk.wait(2.0)
    assert talk.content == b"hello"
    talk.agent.data(stream, b" SECRET")
    talk.agent.end(stream, ())
    talk.send()
    assert b"SECRET" not in talk.content
    assert talk.answers[stream].status == 403


class ScriptedJudgeWithFlush(ScriptedJudge):
    def upload_window(  # type: ignore[override]
        self, target: Target, fields: object, codings: tuple[bytes, ...] = ()
    ) -> FlushingWindow:
        return FlushingWindow(self.bad)


class FlushingWindow:
    """Holds everything until it is flushed, and remembers what it has released."""

    def __init__(self, bad: bytes) -> None:
        self.bad = bad
        self.gone = b""
        self.held = b""
        self.findings = ()
        self.verdict: Verdict | None = None

    @property
    def waiting(self) -> bool:
        return bool(self.held)

    def feed(self, data: bytes) -> bytes:
        self.held += data
        return b""

    def flush(self) -> bytes:
        if self.bad in self.gone + self.held:
            self.verdict = Verdict(Action.BLOCK, Reason.SECRET, "scripted")
            return b""
        out, self.held = self.held, b""
        self.gone += out
        return out

    finish = flush
