"""HTTP/1.1 as an enemy would speak it: every case of the tables has its defined answer.

Each is fed whole, byte by byte, and in one read with an honest request before and after it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interceptor.flow.steps import Dial, EndUpstream, Resolve
from interceptor.policy.schema import Limits
from tests.conversation import Conversation, get
from tests.pure.flow.http1_enemy import OK, REQUESTS, Asked
from tests.pure.flow.http1_enemy_page import page
from tests.pure.flow.http1_enemy_responses import RESPONSES, Answered

LIMITS = Limits(header_bytes=8192, header_count=32)
PAGE = Path(__file__).parents[3] / "docs" / "http1.md"
BEFORE, AFTER = get("/before"), get("/after")
ASKED = [case for group in REQUESTS.values() for case in group]
ANSWERED = [case for group in RESPONSES.values() for case in group]


def name(case: Asked | Answered) -> str:
    return case.name


def whole(data: bytes) -> Sequence[bytes]:
    return [data] if data else []


def single(data: bytes) -> Sequence[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


Cut = Callable[[bytes], Sequence[bytes]]
CUTS = pytest.mark.parametrize("cut", [whole, single])


def conversation(*, tls: bool = False) -> Conversation:
    talk = Conversation(limits=LIMITS, port=443 if tls else 80, answer=lambda _: OK)
    if tls:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = ssl.create_default_context().wrap_bio(
            incoming, outgoing, server_hostname="api.example.com"
        )
        with pytest.raises(ssl.SSLWantReadError):
            client.do_handshake()
        talk.say(outgoing.read())
    return talk


def hold(talk: Conversation, case: Asked, *, before: bool = True) -> None:
    """What the agent got, what was recorded, and what left, byte for byte."""
    around = [200] if before else []
    after = [200] if case.kept else []
    statuses = [status for status in talk.statuses if status != 100]
    assert statuses == [*around, *case.statuses, *after]
    assert talk.blocks == ([case.reason] if case.reason else [])
    assert talk.upstreams == [
        *([BEFORE] if before else []),
        *case.sent,
        *([AFTER] if case.kept else []),
    ]
    assert talk.flow.closed is not case.kept


@CUTS
@pytest.mark.parametrize("case", ASKED, ids=name)
def test_asked(case: Asked, cut: Cut) -> None:
    talk = conversation(tls=case.tls).say(BEFORE)
    talk.say(*cut(case.data), AFTER)
    hold(talk, case)


@pytest.mark.parametrize("case", ASKED, ids=name)
def test_asked_in_one_read_with_its_neighbours(case: Asked) -> None:
    hold(conversation(tls=case.tls).say(BEFORE + case.data + AFTER), case)


# The first line of a connection is also looked at for what protocol it is.
_NOT_FIRST = REQUESTS["Request line"]


@pytest.mark.parametrize("case", [case for case in ASKED if case not in _NOT_FIRST], ids=name)
def test_asked_first(case: Asked) -> None:
    talk = conversation(tls=case.tls).say(case.data, AFTER)
    hold(talk, case, before=False)


@pytest.mark.parametrize("case", [case for case in ASKED if not case.sent], ids=name)
def test_what_is_refused_is_not_even_resolved_and_not_repeated(case: Asked) -> None:
    talk = conversation(tls=case.tls).say(case.data)
    assert not any(isinstance(step, Resolve | Dial) for step in talk.steps)
    assert b"SECRET" not in talk.received


def asked_for(case: Answered) -> Conversation:
    talk = Conversation(limits=LIMITS)
    return talk.say(get().replace(b"GET", case.method, 1))


@CUTS
@pytest.mark.parametrize("case", ANSWERED, ids=name)
def test_answered(case: Answered, cut: Cut) -> None:
    talk = asked_for(case).reply(*cut(case.data))
    if case.ended:
        talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.statuses == [case.status]
    assert talk.finished[-1].reason == case.reason
    if cut is whole:
        if case.received:
            assert talk.received == case.received
        ends = [step.reusable for step in talk.steps if isinstance(step, EndUpstream)]
        assert ends == [case.reused]
    if not case.kept:
        assert talk.closed is not None
        cut_off = case.status == 200
        assert talk.closed.reset is cut_off  # the agent must see that something is missing
        assert not cut_off or not talk.received.endswith(b"0\r\n\r\n")
    talk.answer = lambda _: OK
    talk.say(AFTER)
    assert talk.statuses == [case.status, *([200] if case.kept else [])]
    assert talk.upstreams[1:] == ([AFTER] if case.kept else [])


# -- what a table cannot say -------------------------------------------------------------------


def test_a_response_that_nobody_asked_for_is_nobodys() -> None:
    talk = Conversation().reply(OK)
    assert talk.received == b""
    talk.say(get()).reply(OK)
    talk.reply(OK)  # between two requests
    assert talk.received == OK
    assert talk.say(AFTER).received == OK


def test_an_early_response_ends_the_connection_and_the_upload() -> None:
    talk = Conversation(limits=Limits(body_hold=16))
    talk.say(b"POST / HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)
    talk.reply(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    talk.say(b"x" * 50 + AFTER)
    assert talk.statuses == [413]
    assert b"Connection: close" in talk.received
    assert EndUpstream(reusable=False) in talk.steps
    assert len(talk.upstreams) == 1


def test_an_old_client_is_told_that_its_connection_stays() -> None:
    """Or it waits for the end of the connection (RFC 9112 section C.2.2)."""
    fields = b"Host: api.example.com\r\nConnection: keep-alive\r\n\r\n"
    talk = Conversation(answer=lambda _: OK).say(b"GET / HTTP/1.0\r\n" + fields)
    assert b"\r\nConnection: keep-alive\r\n" in talk.received
    assert not talk.flow.closed


def test_connect_inside_tls_is_another_connection_with_its_own_identity() -> None:
    talk = conversation(tls=True)
    talk.say(b"CONNECT other.example:80 HTTP/1.1\r\nHost: other.example:80\r\n\r\n")
    assert talk.statuses == [200]
    assert talk.upstreams == []
    talk.say(get("/1", host="api.example.com"), get("/2", host="other.example"))
    assert talk.blocks == ["name_mismatch"]
    assert talk.statuses == [200, 403, 200]
    assert talk.upstreams == [get("/2", host="other.example")]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m tests.pure.flow.http1_enemy_page"
