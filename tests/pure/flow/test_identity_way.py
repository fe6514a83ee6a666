"""From an allowed request to what is dialled: aliases, named services, kept connections."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interceptor.flow.steps import Dial, EndUpstream, Record, Resolve
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from tests.conversation import OK, Conversation, ScriptedJudge, get
from tests.http2_talk import Http2Talk, ask

NAME = "api.example.com"
OLLAMA = {"ollama.internal": "127.0.0.1:11434", "ollama.internal:80": "127.0.0.1:11434"}


class Aliased(Conversation):
    """The host is an alias of `canonical`."""

    canonical = ""

    def _resolve(self, step: Resolve) -> None:
        self.act(self.flow.resolved(("192.0.2.1",), self.now, 0, self.canonical))


class Changing(ScriptedJudge):
    """A judge to whom an address that was good is bad from some moment on."""

    bad_now: Sequence[str] = ()

    def addresses(
        self, target: Target, found: Sequence[str], canonical: str = ""
    ) -> tuple[Verdict, tuple[str, ...]]:
        if set(found) & set(self.bad_now):
            return self.refuse(Reason.ADDRESS_PRIVATE), ()
        return super().addresses(target, found, canonical)


# -- aliases ---------------------------------------------------------------------------------------


def test_an_alias_of_what_is_denied_is_refused() -> None:
    talk = Aliased(judge=ScriptedJudge(denied=("bad.example",)))
    talk.canonical = "bad.example"
    talk.say(get())
    assert talk.blocks == ["host_denied"]
    assert talk.statuses == [403]
    assert not any(isinstance(step, Dial) for step in talk.steps)
    talk = Aliased(judge=ScriptedJudge(denied=("bad.example",)), answer=lambda _: OK)
    talk.canonical = "edge.example.net"
    assert talk.say(get()).statuses == [200]


# -- named services --------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [11434, 80])
def test_a_named_service_is_dialled_where_policy_says(port: int) -> None:
    host = "ollama.internal"
    talk = Conversation(
        name=host, port=port, judge=ScriptedJudge(named=OLLAMA), answer=lambda _: OK
    )
    sent = host if port == 80 else f"{host}:{port}"
    original = talk._resolve

    def resolve(step: Resolve) -> None:
        assert step.known == "127.0.0.1"  # nobody is asked
        talk.hosts = {host: (step.known,)}
        original(step)

    talk._resolve = resolve  # type: ignore[method-assign]
    talk.say(get(host=sent))
    assert talk.statuses == [200]
    dial = next(step for step in talk.steps if isinstance(step, Dial))
    assert (dial.addresses, dial.port) == (("127.0.0.1",), 11434)
    assert dial.target.host == host
    assert b"\r\nHost: %b\r\n" % sent.encode() in talk.sent


# -- connections that are kept ---------------------------------------------------------------------


def test_the_judgement_goes_with_every_question() -> None:
    judge = ScriptedJudge()
    judge.epoch = 7
    talk = Conversation(judge=judge, answer=lambda _: OK).say(get())
    assert [s.judged for s in talk.steps if isinstance(s, Resolve | Dial)] == [7, 7]


def test_a_kept_connection_is_judged_again() -> None:
    judge = Changing()
    talk = Conversation(judge=judge, pooled=True, answer=lambda _: OK)
    assert talk.say(get()).statuses == [200]  # positive control
    judge.bad_now = ("192.0.2.7",)
    talk.say(get())
    assert talk.blocks == ["address_private"]
    assert talk.statuses == [200, 403]
    assert talk.upstreams[-1] == b""
    last = [step for step in talk.steps if isinstance(step, EndUpstream)][-1]
    assert not last.reusable
    judge.bad_now = ()
    assert talk.say(get()).statuses == [200, 403, 200]


def test_streams_on_a_link_are_judged_again() -> None:
    judge = Changing()
    talk = Http2Talk(judge=judge, tls=True)
    assert talk.answers[talk.ask(ask("/"))].status == 200
    judge.bad_now = ("192.0.2.1",)
    stream = talk.ask(ask("/"))
    assert talk.answers[stream].status == 403
    assert talk.blocks == ["address_private"]
    judge.bad_now = ()
    assert talk.answers[talk.ask(ask("/"))].status == 200
    allowed = [s for s in talk.steps if isinstance(s, Record) and s.verdict.allowed]
    assert len(allowed) == 3
