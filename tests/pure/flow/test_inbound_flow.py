"""What comes back is judged on its way: refused, marked, stripped, noted, or cut."""

from __future__ import annotations

import gzip
import json
from typing import cast

import pytest

from interceptor.decide.judge import Judge
from interceptor.flow.steps import Record
from interceptor.policy.inbound import (
    Inbound,
    InboundExemption,
    InboundSources,
    WebBands,
)
from interceptor.policy.schema import Addresses, Limits, Policy
from interceptor.scan.engine import Scanner
from tests.conversation import Conversation, ScriptedJudge, get
from tests.scan_samples import HARDLY, MAY_STEER, STEERS, sample_injections, sample_rules

SCANNER = Scanner.build(sample_rules(), None)
BAD = STEERS.encode()
MIDDLE = MAY_STEER.encode()


def judge_of(inbound: Inbound | None = None, limits: Limits | None = None) -> Judge:
    addresses = Addresses(allow=("192.0.2.0/24",))
    policy = Policy(inbound=inbound or Inbound(), limits=limits or Limits(), addresses=addresses)
    judge = Judge(policy, SCANNER, b"k" * 16, sample_injections())
    judge.tick(100.0)
    return judge


def talk(inbound: Inbound | None = None, limits: Limits | None = None) -> Conversation:
    judge = cast("ScriptedJudge", judge_of(inbound, limits))
    return Conversation(judge=judge, limits=limits or Limits()).say(get())


RECORD = Inbound(findings="record")


def head(kind: str, *extra: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", "Transfer-Encoding: chunked", *extra]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def sized(kind: str, content: bytes, *extra: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", f"Content-Type: {kind}", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, *extra]).encode() + b"\r\n\r\n" + content


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def content_of(conversation: Conversation) -> bytes:
    """Content of the last response, whatever its framing."""
    fields, _, content = conversation.received.partition(b"\r\n\r\n")
    if b"chunked" not in fields:
        return content
    text = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        text += content[: int(size, 16)]
        content = content[int(size, 16) + 2 :]
    return text


def records(conversation: Conversation) -> list[Record]:
    return [step for step in conversation.steps if isinstance(step, Record)]


def handlings(conversation: Conversation) -> list[tuple[str, str, int]]:
    found = [record.verdict.received for record in records(conversation)]
    return [(one.handling, one.source, one.score) for one in found if one is not None]


# -- documents -----------------------------------------------------------------------------------


def test_a_page_that_steers_is_refused_before_any_of_it_passes() -> None:
    page = b"<p>hello</p>" * 100 + b"<p>" + BAD + b"</p>"
    for cut in (1, 600, len(page) - 40, len(page)):
        whole = talk().reply(head("text/html") + chunk(page[:cut]), chunk(page[cut:]), b"0\r\n\r\n")
        assert whole.statuses == [403]
        assert whole.explanation["reason"] == "injection"
        assert whole.explanation["rule"] == "sample-injection"
        assert b"hello" not in whole.received
        assert records(whole)[-1].kind == "http_response"
        assert handlings(whole) == [("block", "web", 90)]


def test_one_that_is_there_at_once_too_and_a_clean_one_is_left_as_it_is() -> None:
    clean = b'{"a": "one two"}'
    for kind, bad in (("application/json", b'{"a": "%b"}' % BAD), ("text/plain", BAD)):
        assert talk().reply(sized(kind, bad)).statuses == [403]
        answer = sized(kind, clean, "ETag: x")
        good = talk().reply(answer)
        assert good.received.endswith(b"\r\n\r\n" + clean)
        assert b"Egressguard" not in good.received


def test_it_is_only_noted_where_the_policy_says_so() -> None:
    page = talk(RECORD).reply(head("text/html") + chunk(BAD), b"0\r\n\r\n")
    assert page.statuses == [200]
    assert content_of(page) == BAD
    assert (True, "would_block") in page.verdicts
    assert page.blocks == []
    assert handlings(page) == [("warn", "web", 90)]


def test_a_middle_score_is_marked_by_a_field_and_a_fence() -> None:
    text = b"Some prose. " + MIDDLE + b". More."
    for kind in ("text/plain", "text/markdown; charset=utf-8"):
        page = talk().reply(sized(kind, text, "ETag: 1", "Digest: sha-256=x"))
        assert page.statuses == [200]
        fields, _, content = page.received.partition(b"\r\n\r\n")
        assert b'Egressguard-Inbound: untrusted; score=50; source=web; rules="sample-middle"' in (
            fields
        )
        assert b"ETag" not in fields
        assert b"Digest" not in fields
        assert b"Content-Length: %d\r\n" % len(content) in fields + b"\r\n"
        assert text in content
        first, _, rest = content.partition(b"\n\n")
        tag = first[13:21]
        assert first.startswith(b"[egressguard " + tag)
        assert b"api.example.com" in first
        assert rest.endswith(b"[egressguard " + tag + b": the untrusted text ends here.]\n")
        assert handlings(page) == [("annotate", "web", 50)]


def test_what_programs_read_is_marked_by_a_field_alone() -> None:
    script = b"#!/bin/sh\n# " + MIDDLE + b"\n"
    for kind, content in (("application/json", b'{"a": "%b"}' % MIDDLE), ("text/plain", script)):
        page = talk().reply(sized(kind, content, "ETag: 1"))
        assert b"Egressguard-Inbound: untrusted" in page.received
        assert b"ETag: 1" in page.received
        assert page.received.endswith(b"\r\n\r\n" + content)


def test_a_page_gets_a_block_that_is_seen_wherever_it_tries_to_hide_it() -> None:
    page = b"<!DOCTYPE html><html><body><p>" + MIDDLE + b"</p><!-- left open"
    answer = talk().reply(sized("text/html", page))
    content = content_of(answer)
    assert content.startswith(b'<!DOCTYPE html><div role="note"')
    assert b"<!-- left open\n-->" in content
    assert content.rstrip().endswith(b"the untrusted text ends here.]</div>")


def test_encoded_content_is_marked_decoded() -> None:
    text = b"Prose. " * 50 + MIDDLE
    body = gzip.compress(text)
    page = talk().reply(sized("text/plain", body, "Content-Encoding: gzip"))
    assert b"Content-Encoding" not in page.received
    assert text in page.received


def test_compressed_content_is_read() -> None:
    body = gzip.compress(BAD)
    assert talk().reply(sized("text/html", body, "Content-Encoding: gzip")).statuses == [403]
    honest = gzip.compress(b"<p>hello</p>")
    page = talk().reply(sized("text/html", honest, "Content-Encoding: gzip"))
    assert page.statuses == [200]
    assert page.received.endswith(honest)


@pytest.mark.parametrize("coding", ["compress", "gzip"])
def test_what_cannot_be_read_passes_only_where_findings_are_noted(coding: str) -> None:
    raw = sized("text/html", b"\x00garbage", f"Content-Encoding: {coding}")
    assert talk().reply(raw).blocks == ["incomplete"]
    assert talk(RECORD).reply(raw).statuses == [200]


def test_hidden_text_is_taken_out_where_the_policy_says_so() -> None:
    strip = Inbound(web=WebBands(high="strip"))
    hidden = b'<p>one</p><div style="display:none">' + BAD + b"</div><p>two</p>"
    for answer in (
        sized("text/html", hidden),
        sized("text/html", gzip.compress(hidden), "Content-Encoding: gzip"),
    ):
        page = talk(strip).reply(answer)
        assert page.statuses == [200]
        assert BAD not in page.received
        assert b"<p>one</p>" in page.received
        assert b"<p>two</p>" in page.received
        assert b"the untrusted text" not in page.received  # nothing is left of it
        assert b"Egressguard-Inbound" in page.received
        assert [handling for handling, _, _ in handlings(page)] == ["strip"]
    shown = b"<p>" + BAD + b"</p><script>x()</script>"
    page = talk(strip).reply(sized("text/html", shown))
    assert BAD in page.received
    assert b"x()" not in page.received
    assert b"the untrusted text" in page.received


def test_a_low_score_is_noted_and_passes() -> None:
    text = HARDLY.encode()
    page = talk().reply(sized("text/plain", text))
    assert page.received.endswith(b"\r\n\r\n" + text)
    assert b"Egressguard" not in page.received
    assert handlings(page) == [("warn", "web", 34)]


def test_first_bytes_that_come_alone_do_not_hide_what_it_is() -> None:
    elements = b"".join(b"<b>%b</b>" % BAD[at : at + 3] for at in range(0, len(BAD), 3))
    page = b"  <!DOCTYPE html><p>" + elements + b"</p>"
    for kind in ("text/plain", "application/octet-stream"):
        for cut in (1, 3, 9):
            pieces = (chunk(page[:cut]), chunk(page[cut:]), b"0\r\n\r\n")
            assert talk().reply(head(kind), *pieces).statuses == [403], (kind, cut)


def test_a_long_document_goes_on_in_pieces_one_of_them_held_back() -> None:
    limits = Limits(inbound_bytes=1000)
    good = b"word " * 100
    page = talk(None, limits).reply(head("text/plain"), chunk(good), chunk(good), chunk(good))
    assert page.received.count(b"word") == 200
    page.reply(chunk(BAD[:10]), chunk(BAD[10:]))
    assert page.closed is not None
    assert page.closed.reset
    assert BAD[:10] not in page.received.replace(good, b"")
    assert handlings(page) == [("block", "web", 90)]
    whole = talk(None, limits).reply(sized("text/plain", good * 9 + b" end"))
    assert content_of(whole) == good * 9 + b" end"
    early = talk(None, limits).reply(sized("text/plain", BAD + b". " + good * 9)[:-500])
    assert early.statuses == [403]


def test_content_without_a_known_end_goes_on_when_it_pauses() -> None:
    log = talk().reply(head("text/plain"), chunk(b"one\n"))
    assert log.received == b""
    log.now += 0.6
    log.act(log.flow.timer(log.now))
    assert log.received.endswith(chunk(b"one\n"))
    log.reply(chunk(b"two\n"))
    assert log.received.endswith(chunk(b"two\n"))
    log.reply(chunk(b"three " + BAD))
    assert b"three" not in log.received
    assert (False, "injection") in log.verdicts


def test_what_is_read_as_a_whole_is_waited_for() -> None:
    pdf = b"%PDF-1.7\n" + b"%" * 2000
    for kind, first, least, most in (
        ("text/plain", b"a line\n", 0.01, 0.1),
        ("text/html", b"<p>a page</p>", 0.3, 1.0),
        ("application/json", b'{"a": 1', 0.3, 1.0),
        ("application/pdf", b"%", 5.0, 15.0),
        ("application/octet-stream", pdf, 5.0, 15.0),
        ("application/octet-stream", pdf[:5], 5.0, 15.0),
    ):
        log = talk().reply(head(kind), chunk(first))
        wait = log.flow.deadline - log.now
        assert least <= wait <= most, (kind, wait)


def test_a_field_of_the_head_is_read_beside_the_content() -> None:
    said = f"X-Note: a note for you: {STEERS}, and so on"
    for content, kind in ((b"<p>hello</p>", "text/html"), (b"hello", "text/plain")):
        page = talk().reply(sized(kind, content, said))
        assert page.statuses == [403], kind
        assert [(done, source) for done, source, _ in handlings(page)] == [("block", "web")]
        page = talk().reply(head(kind, said), chunk(content), b"0\r\n\r\n")
        assert page.statuses == [403], kind
        honest = "Content-Security-Policy: default-src 'self' https: data: 'unsafe-inline'"
        assert talk().reply(sized(kind, content, honest)).statuses == [200]


def test_a_download_is_let_be() -> None:
    for kind in ("application/gzip", "video/mp4"):
        file = b"\0\1\2" * 700 + BAD
        page = talk().reply(head(kind), chunk(file))
        assert page.received.endswith(chunk(file))
        page = talk().reply(head(kind), chunk(BAD), b"0\r\n\r\n")
        assert b" 403 " in page.received  # whatever it is said to be, it is text


# -- sources and exemptions ----------------------------------------------------------------------


def test_sources_have_bands_of_their_own() -> None:
    own = Inbound(sources=InboundSources(own=("api.example.com",)))
    page = talk(own).reply(sized("text/plain", BAD))
    assert page.statuses == [200]
    assert b"source=own" in page.received
    assert handlings(page) == [("annotate", "own", 90)]
    llm = Inbound(sources=InboundSources(llm=("*.example.com",)))
    page = talk(llm).reply(sized("application/json", b'{"text": "%b"}' % BAD))
    assert page.received.endswith(b'{"text": "%b"}' % BAD)
    assert b"Egressguard" not in page.received
    assert handlings(page) == [("warn", "llm", 90)]


def test_what_is_exempt_passes_on_every_path() -> None:
    for exempt in (
        InboundExemption(rule="sample-injection"),
        InboundExemption(host="*.example.com"),
        InboundExemption(rule="sample-injection", host="api.example.com"),
    ):
        inbound = Inbound(exempt=(exempt,))
        for kind in ("text/html", "text/event-stream", "application/x-ndjson", "application/json"):
            page = talk(inbound).reply(sized(kind, b"data: " + BAD + b"\n\n"))
            assert page.statuses == [200], kind
            assert handlings(page) == []
    elsewhere = Inbound(exempt=(InboundExemption(host="docs.example.net"),))
    assert talk(elsewhere).reply(sized("text/html", BAD)).statuses == [403]
    both = Inbound(exempt=(InboundExemption(rule="sample-injection"),))
    page = talk(both).reply(sized("text/plain", BAD + b". " + MIDDLE))
    assert handlings(page) == [("annotate", "web", 50)]


# -- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, 36, 3))
def test_an_event_stream_is_cut_between_events_and_says_so(cut: int) -> None:
    good, bad = b"data: one\n\n", b"data: " + BAD + b"\n\n"
    stream = talk().reply(head("text/event-stream"), chunk(good))
    assert stream.received.endswith(chunk(good))  # at once
    stream.reply(chunk(bad[:cut]))
    assert stream.received.endswith(chunk(good))
    stream.reply(chunk(bad[cut:]))
    assert BAD not in stream.received
    last = stream.received.split(b"event: error\ndata: ")[1]
    assert json.loads(last.split(b"\n\n")[0])["reason"] == "injection"
    assert stream.received.endswith(b"0\r\n\r\n")
    assert stream.finished[0].reason == "injection"


def test_text_that_is_split_over_events_is_seen_whole() -> None:
    words = STEERS.split(" ")
    plain = [b"data: " + word.encode() + b"\n\n" for word in words]
    letters = [
        b"data: "
        + json.dumps({"id": 7, "choices": [{"index": 0, "delta": {"text": c}}]}).encode()
        + b"\n\n"
        for c in STEERS
    ]
    lines = [json.dumps({"model": "m", "response": f"{word} "}).encode() + b"\n" for word in words]
    for kind, events in (
        ("text/event-stream", plain),
        ("text/event-stream", letters),
        ("application/x-ndjson", lines),
    ):
        stream = talk().reply(head(kind), *[chunk(event) for event in events])
        assert (False, "injection") in stream.verdicts
        assert chunk(events[0]) in stream.received
        assert chunk(events[-1]) not in stream.received


def test_a_model_is_never_kept_waiting() -> None:
    llm = Inbound(sources=InboundSources(llm=("api.example.com",)))
    stream = talk(llm).reply(head("text/event-stream"))
    for letter in STEERS:
        piece = b"data: " + json.dumps({"delta": {"text": letter}}).encode()
        stream.reply(chunk(piece))
        assert stream.received.endswith(chunk(piece))  # not even until the event is whole
        stream.reply(chunk(b"\n\n"))
    assert handlings(stream) == [("warn", "llm", 90)]


def test_several_answers_in_one_stream_are_told_apart() -> None:
    events = [
        json.dumps({"choices": [{"index": n, "delta": {"content": word + " "}}]}).encode() + b"\n"
        for word in STEERS.split(" ")
        for n in (0, 1)
    ]
    stream = talk().reply(head("application/x-ndjson"), *map(chunk, events))
    assert (False, "injection") in stream.verdicts


def test_lines_of_json_end_with_a_line_of_json() -> None:
    stream = talk().reply(head("application/x-ndjson"), chunk(b'{"a":1}\n'))
    stream.reply(chunk(json.dumps({"text": STEERS}).encode() + b"\n"))
    lines = [line for line in stream.received.split(b"\r\n") if line.startswith(b"{")]
    assert json.loads(lines[0]) == {"a": 1}
    assert json.loads(lines[1])["reason"] == "injection"


@pytest.mark.parametrize("step", [1, 3, 17])
def test_events_pass_whole_and_in_order_however_they_are_cut(step: int) -> None:
    events = b"".join(b"data: %d\r\n\r\n" % i for i in range(20)) + b"data: tail without its end"
    raw = head("text/event-stream") + chunk(events) + b"0\r\n\r\n"
    stream = talk().reply(*[raw[i : i + step] for i in range(0, len(raw), step)])
    assert content_of(stream) == events


# -- taint ---------------------------------------------------------------------------------------


def test_what_an_agent_has_received_narrows_what_it_may_send() -> None:
    judge = judge_of()
    page = Conversation(judge=cast("ScriptedJudge", judge)).say(get())
    assert not judge.taint.at(100.0)
    page.reply(sized("text/plain", MIDDLE))
    assert page.statuses == [200]
    assert judge.taint.at(100.0) == "f1"
    assert judge.taint.at(100.0 + 599)
    assert not judge.taint.at(100.0 + 601)


def test_what_it_has_not_received_does_not() -> None:
    judge = judge_of()
    Conversation(judge=cast("ScriptedJudge", judge)).say(get()).reply(sized("text/plain", BAD))
    assert not judge.taint.at(100.0)
    low = Conversation(judge=cast("ScriptedJudge", judge)).say(get())
    low.reply(sized("text/plain", HARDLY.encode()))
    assert not judge.taint.at(100.0)
    cut = Conversation(judge=cast("ScriptedJudge", judge)).say(get())
    cut.reply(head("text/event-stream"), chunk(b"data: one\n\n"))
    cut.reply(chunk(b"data: " + BAD + b"\n\n"))
    assert judge.taint.at(100.0)
