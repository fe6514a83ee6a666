from __future__ import annotations

import gzip

import pytest

from interceptor.flow.states import TRANSITIONS, LifecycleError, Phase, check
from interceptor.flow.steps import Dial, EndUpstream, Record, Resolve, ToUpstream
from interceptor.policy.schema import Limits
from interceptor.wire.http1 import chunk
from tests.conversation import OK, Conversation, ScriptedJudge, get, post

SMALL = Limits(body_hold=64, header_bytes=1024)
CHUNKED = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_request_is_recorded_resolved_dialled_and_sent_in_this_order() -> None:
    talk = Conversation(answer=lambda _: OK).say(get("/a?b"))
    kinds = [type(step).__name__ for step in talk.steps]
    assert kinds[:4] == ["Record", "Resolve", "Dial", "ToUpstream"]
    assert talk.sent == b"GET /a?b HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
    assert talk.received == OK
    assert talk.finished[0].status == 200
    assert talk.finished[0].received == 2
    assert talk.finished[0].address == "192.0.2.1"
    assert talk.closed is None


def test_keep_alive_and_pipelining() -> None:
    talk = Conversation(answer=lambda _: OK).say(get("/1") + get("/2") + get("/3"))
    assert talk.statuses == [200, 200, 200]
    assert [f.exchange for f in talk.finished] == [1, 2, 3]
    assert b"/1" in talk.upstreams[0]
    assert b"/3" in talk.upstreams[2]
    assert EndUpstream(reusable=True) in talk.steps


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_a_secret_is_refused_wherever_the_reads_are_cut(cut: int) -> None:
    data = get("/?k=SECRET", extra=b"X-Padding: yyyyyyyyyyyyyyyy\r\n")
    talk = Conversation().say(data[:cut], data[cut:])
    assert talk.statuses == [403]
    assert talk.blocks == ["secret"]
    assert talk.upstreams == []
    assert not any(isinstance(step, Resolve | Dial | ToUpstream) for step in talk.steps)
    assert talk.explanation["retry"] is False
    assert talk.explanation["reason"] == "secret"
    assert talk.explanation["hint"]


def test_after_a_refusal_the_connection_serves_on() -> None:
    talk = Conversation(answer=lambda _: OK)
    talk.say(post(b"a SECRET b"), get("/fine"))
    assert talk.statuses == [403, 200]


def test_a_body_is_judged_whole_before_its_first_byte_leaves() -> None:
    data = post(b"x" * 500 + b"SECRET")
    talk = Conversation()
    for i in range(len(data)):
        talk.say(data[i : i + 1])
    assert talk.statuses == [403]
    assert talk.sent == b""


def test_a_compressed_body_is_read() -> None:
    coded = b"Content-Encoding: gzip\r\n"
    talk = Conversation().say(post(gzip.compress(b"a SECRET b"), coded))
    assert talk.blocks == ["secret"]
    body = gzip.compress(b"honest")
    talk = Conversation(answer=lambda _: OK).say(post(body, coded))
    assert talk.statuses == [200]
    assert talk.sent.endswith(body)


@pytest.mark.parametrize(
    ("coding", "body"),
    [(b"made-up", b"x"), (b"gzip", b"not gzip"), (b"gzip", gzip.compress(b"x" * 99)[:-3])],
)
def test_what_cannot_be_read_is_refused_as_incomplete(coding: bytes, body: bytes) -> None:
    talk = Conversation().say(post(body, b"Content-Encoding: %b\r\n" % coding))
    assert talk.blocks == ["incomplete"]
    assert talk.sent == b""


def test_chunked_bodies_are_framed_afresh() -> None:
    talk = Conversation(answer=lambda _: OK)
    talk.say(CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")
    assert talk.sent.endswith(b"chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-T: 1\r\n\r\n")


# -- long bodies stream behind a window --------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_long_body_streams_and_arrives_whole(framing: str) -> None:
    body = bytes(range(65, 91)) * 40
    talk = Conversation(limits=SMALL)
    head = post(body)[: -len(body)] if framing == "length" else CHUNKED
    talk.say(head)
    for i in range(0, len(body), 50):
        piece = body[i : i + 50]
        talk.say(piece if framing == "length" else chunk(piece))
    if framing == "chunked":
        talk.say(b"0\r\n\r\n")
    talk.reply(OK)
    assert talk.statuses == [200]
    assert talk.finished[0].sent == len(body)
    sent = talk.sent.partition(b"\r\n\r\n")[2]
    if framing == "length":
        assert sent == body
    else:
        assert sent.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("step", [1, 3, 50, 5000])
@pytest.mark.parametrize("coded", [False, True])
def test_a_late_finding_leaves_upstream_without_the_end(step: int, coded: bool) -> None:
    plain = b"y" * 300 + b"SECRET" + b"z" * 300
    body = gzip.compress(plain, 0) if coded else plain
    data = post(body, b"Content-Encoding: gzip\r\n" if coded else b"")
    talk = Conversation(limits=SMALL)
    for i in range(0, len(data), step):
        talk.say(data[i : i + step])
    assert "secret" in talk.blocks
    assert b"SECRET" not in talk.sent
    assert talk.statuses == [403]
    if talk.upstreams:  # else it came in one read, and was judged whole
        assert EndUpstream(reusable=False) in talk.steps
        assert talk.finished[-1].reason == "secret"
        assert talk.closed is not None
    assert bool(talk.upstreams) is (step < 5000)


def test_a_long_body_with_a_bad_head_is_refused_before_it_is_read() -> None:
    head = b"POST /SECRET HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 9000000\r\n\r\n"
    talk = Conversation(limits=SMALL).say(head)
    assert talk.statuses == [403]
    assert talk.closed is not None


@pytest.mark.parametrize("size", [10, 500])
def test_a_secret_in_the_trailers_never_leaves(size: int) -> None:
    end = b"0\r\nX-Sum: SECRET\r\n\r\n"
    talk = Conversation(limits=SMALL).say(CHUNKED, chunk(b"x" * size), end)
    assert "secret" in talk.blocks
    assert b"SECRET" not in talk.sent
    assert not talk.sent.endswith(b"0\r\n\r\n")
    assert talk.statuses == [403]


def test_expect_continue_is_answered_here() -> None:
    head = b"POST / HTTP/1.1\r\nHost: api.example.com\r\nExpect: 100-continue\r\n"
    talk = Conversation(answer=lambda _: OK).say(head + b"Content-Length: 4\r\n\r\n")
    assert talk.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert talk.upstreams == []
    talk.say(b"body")
    assert talk.statuses == [100, 200]
    assert b"Expect" not in talk.sent
    refused = Conversation().say(head + b"X: SECRET\r\nContent-Length: 4\r\n\r\n")
    assert refused.statuses == [403]
    assert refused.closed is not None


# -- responses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK,
            OK,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 4, 1000])
def test_responses_at_every_cut(raw: bytes, expected: bytes, step: int) -> None:
    talk = Conversation().say(get())
    talk.reply(*(raw[i : i + step] for i in range(0, len(raw), step)))
    if b"chunked" in raw:
        head, _, body = talk.received.partition(b"\r\n\r\n")
        assert head == expected.partition(b"\r\n\r\n")[0]
        assert body.endswith(b"0\r\n\r\n")
    else:
        assert talk.received == expected
    assert talk.finished


def test_head_has_no_body() -> None:
    talk = Conversation().say(get().replace(b"GET", b"HEAD", 1) + get("/next"))
    talk.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    assert len(talk.upstreams) == 2
    assert b"Content-Length: 5000" in talk.received


def test_a_body_ended_by_close_keeps_the_agents_connection() -> None:
    talk = Conversation().say(get()).reply(b"HTTP/1.0 200 OK\r\n\r\nabc")
    talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.received.endswith(b"3\r\nabc\r\n0\r\n\r\n")
    assert talk.closed is None
    talk.say(get("/2"))
    assert len(talk.upstreams) == 2


def test_an_old_client_gets_no_chunks() -> None:
    talk = Conversation().say(b"GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n")
    talk.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    assert talk.received.endswith(b"\r\n\r\nabc")
    assert talk.closed is not None


def test_bytes_after_a_response_are_never_taken_for_the_next() -> None:
    talk = Conversation().say(get()).reply(OK + b"HTTP/1.1 200 OK\r\n\r\nforged")
    assert talk.received == OK
    assert EndUpstream(reusable=False) in talk.steps


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1 101 Switching\r\n\r\n", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n b\r\n\r\n"],
)
def test_a_malformed_response_is_a_bad_gateway(raw: bytes) -> None:
    talk = Conversation().say(get()).reply(raw)
    assert talk.statuses == [502]
    assert talk.finished[0].reason == "upstream_malformed"


@pytest.mark.parametrize("raw", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
def test_a_cut_response_is_seen_to_be_cut(raw: bytes) -> None:
    talk = Conversation().say(get()).reply(raw)
    talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.closed is not None
    assert talk.closed.reset


def test_a_response_before_the_body_is_read_ends_the_connection() -> None:
    talk = Conversation(limits=SMALL).say(post(b"x" * 5000)[:1000])
    talk.reply(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert talk.statuses == [413]
    assert b"Connection: close" in talk.received
    assert talk.closed is not None


# -- upstream's faults -------------------------------------------------------------------------


def test_names_that_do_not_resolve() -> None:
    talk = Conversation(hosts={}).say(get())
    assert talk.statuses == [502]
    assert talk.explanation["reason"] == "resolve_failed"
    assert talk.explanation["retry"] is True
    assert talk.closed is None


def test_an_address_inside_is_refused_after_resolution_and_never_dialled() -> None:
    talk = Conversation(hosts={"api.example.com": ("192.0.2.1", "10.0.0.5")}).say(get())
    assert talk.verdicts == [(True, "allowed"), (False, "address_private")]
    assert not any(isinstance(step, Dial) for step in talk.steps)
    assert talk.statuses == [403]


def test_a_kept_connection_that_died_is_replaced_once_for_idempotent_requests() -> None:
    talk = Conversation(pooled=True).say(get())
    talk.act(talk.flow.upstream_eof(talk.now))
    assert len(talk.upstreams) == 2
    talk.reply(OK)
    assert talk.statuses == [200]
    talk = Conversation(pooled=True).say(post(b"pay"))
    talk.act(talk.flow.upstream_eof(talk.now))
    assert len(talk.upstreams) == 1
    assert talk.statuses == [502]


def test_evidence_that_cannot_be_written_stops_everything() -> None:
    talk = Conversation()
    steps = talk.flow.client_bytes(get(), talk.now)
    assert isinstance(steps[0], Record)
    talk.act(talk.flow.unwritable())  # the rest of the steps is dropped
    assert talk.upstreams == []
    assert talk.statuses == [503]
    assert talk.explanation["reason"] == "evidence_unwritable"
    assert talk.closed is not None


# -- bad requests and time ---------------------------------------------------------------------


def test_a_malformed_request_gets_a_400_with_a_reason_and_the_end() -> None:
    talk = Conversation().say(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert talk.statuses == [400]
    assert talk.blocks == ["http_malformed"]
    assert talk.closed is not None


def test_a_head_that_trickles_in_has_no_more_time_than_one_that_stalls() -> None:
    talk = Conversation(limits=Limits(header_seconds=10))
    for byte in get():
        if talk.flow.deadline <= talk.now:
            break
        talk.say(bytes([byte]))
        talk.now += 1
    assert talk.now == pytest.approx(1010)
    talk.act(talk.flow.timer(talk.now))
    assert talk.blocks == ["timeout"]
    assert talk.statuses == [504]


def test_an_idle_connection_is_closed_without_an_event() -> None:
    talk = Conversation(answer=lambda _: OK).say(get())
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.closed is not None
    assert talk.blocks == []


def test_a_silent_upstream_times_out() -> None:
    talk = Conversation().say(get())
    talk.now = talk.flow.deadline
    talk.act(talk.flow.timer(talk.now))
    assert talk.statuses == [504]


def test_upgrades_are_refused_and_h2c_offers_dropped() -> None:
    talk = Conversation().say(get(extra=b"Connection: Upgrade\r\nUpgrade: spdy/3\r\n"))
    assert talk.blocks == ["http_unsupported"]
    extra = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
    talk = Conversation(answer=lambda _: OK).say(get(extra=extra))
    assert talk.statuses == [200]
    assert b"pgrade" not in talk.sent
    assert b"HTTP2" not in talk.sent


def test_host_policy_is_answered_with_a_reason() -> None:
    judge = ScriptedJudge(denied=("api.example.com",))
    talk = Conversation(judge=judge).say(get("/1"), get("/2"))
    assert talk.statuses == [403, 403]
    assert talk.blocks == ["host_denied", "host_denied"]


def test_the_lifecycle_table_holds() -> None:
    assert set(TRANSITIONS) == set(Phase)
    for old, allowed in TRANSITIONS.items():
        for new in Phase:
            if new in allowed:
                assert check(old, new) is new
            else:
                with pytest.raises(LifecycleError):
                    check(old, new)


# -- what is late belongs to nobody ------------------------------------------------------------


def test_a_request_that_times_out_takes_its_dial_with_it() -> None:
    """Or the connection that comes too late would be taken for the next request's."""
    talk = Conversation()
    steps = talk.flow.client_bytes(get("/1"), talk.now)
    assert isinstance(steps[-1], Resolve)
    steps = talk.flow.timer(talk.flow.deadline)
    assert EndUpstream(reusable=False) in steps


def test_a_refused_address_does_not_hold_up_what_is_pipelined() -> None:
    hosts = {"a.example": ("10.0.0.5",), "b.example": ("192.0.2.1",)}
    request = b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n"
    talk = Conversation(name="p.example", port=3128, hosts=hosts, answer=lambda _: OK)
    talk.say(request % (b"a.example", b"a.example") + request % (b"b.example", b"b.example"))
    assert talk.statuses == [403, 200]


def test_a_tunnel_that_was_asked_for_ahead_of_time_opens_in_its_turn() -> None:
    connect = b"CONNECT b.example:80 HTTP/1.1\r\nHost: b.example:80\r\n\r\n"
    talk = Conversation().say(get("/1") + connect)
    assert len(talk.upstreams) == 1
    talk.reply(OK)
    talk.answer = lambda _: OK
    talk.say(get("/2", host="b.example"))
    assert talk.statuses == [200, 200, 200]
    assert b"Host: b.example\r\n" in talk.upstreams[1]
