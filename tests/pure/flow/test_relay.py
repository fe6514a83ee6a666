"""Opened services: judged, recorded, dialled, relayed, followed into TLS, cut off."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.flow.relay_ends import IDLE_SECONDS
from interceptor.flow.relay_states import TRANSITIONS, Stage
from interceptor.flow.steps import (
    Dial,
    EndUpstream,
    FinishUpstream,
    Record,
    Resolve,
    Seal,
    Step,
    Terminate,
    ToClient,
    ToUpstream,
)
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits, TcpService
from interceptor.verdict import Reason
from interceptor.wire.postgres import SSL_REQUEST
from tests.conversation import Conversation, ScriptedJudge, ScriptedMessages
from tests.pure.flow.test_tcp_flow import client_hello

HOST = "db.example.com"
HELLO = client_hello(HOST)
_USER = b"user\0alice\0\0"
STARTUP = struct.pack(">II", 8 + len(_USER), 196608) + _USER
KEXINIT = b"\x00\x00\x00\x14\x04\x14" + bytes(18)


def query(text: bytes) -> bytes:
    return b"Q" + (5 + len(text)).to_bytes(4) + text + b"\0"


class Service(Conversation):
    """A conversation with an opened service; TLS to upstream stands when the test says so."""

    def __init__(
        self,
        protocol: str,
        port: int = 4000,
        *,
        denied: Sequence[str] = (),
        hosts: dict[str, tuple[str, ...]] | None = None,
        kind: type[ScriptedJudge] = ScriptedJudge,
    ) -> None:
        opened = TcpService(host=HOST, port=port, protocol=protocol)  # type: ignore[arg-type]
        judge = kind(services=[opened], denied=denied)
        super().__init__(name=HOST, port=port, judge=judge, hosts=hosts, limits=Limits())
        self.act(self.flow.begin(self.now))

    def seal(self) -> Self:
        """Upstream's TLS stands."""
        assert isinstance(self.last(Seal), Seal)
        self.act(self.flow.sealed(self.now))
        return self

    def last(self, kind: type[Step]) -> Step | None:
        found = [step for step in self.steps if isinstance(step, kind)]
        return found[-1] if found else None

    def wait(self) -> Self:
        """Time passes until the flow's deadline."""
        self.now = self.flow.deadline
        self.act(self.flow.timer(self.now))
        return self

    @property
    def shape(self) -> list[str]:
        """Names of the steps, bytes left out."""
        return [
            type(step).__name__
            for step in self.steps
            if not isinstance(step, ToClient | ToUpstream)
        ]


# -- who speaks first ----------------------------------------------------------------------------


def test_a_client_that_speaks_first_is_judged_before_anything_is_asked() -> None:
    talk = Service("redis")
    assert talk.steps == []
    talk.say(b"*1\r\n$4\r\nPI")
    talk.say(b"NG\r\n")
    assert talk.shape == ["Record", "Resolve", "Dial"]
    assert talk.sent == b"*1\r\n$4\r\nPING\r\n"
    record = talk.steps[0]
    assert isinstance(record, Record)
    assert record.kind is Kind.TCP_STREAM
    assert (record.target.scheme, record.target.host, record.target.port) == ("tcp", HOST, 4000)
    dial = talk.last(Dial)
    assert isinstance(dial, Dial)
    assert dial.alpn == ()
    assert talk.reply(b"+PONG\r\n").received == b"+PONG\r\n"


def test_a_server_that_speaks_first_is_dialled_at_once() -> None:
    talk = Service("smtp", 25)
    assert talk.shape == ["Record", "Resolve", "Dial"]
    resolve = talk.last(Resolve)
    assert isinstance(resolve, Resolve)
    assert resolve.fresh
    talk.reply(b"220 mx\r\n").say(b"EHLO me\r\n").reply(b"250 mx\r\n")
    assert talk.sent == b"EHLO me\r\n"
    assert talk.received == b"220 mx\r\n250 mx\r\n"


def test_a_secret_never_leaves_and_is_told_in_the_protocol() -> None:
    talk = Service("redis").say(b"SET k SECRET\r\n")
    assert talk.shape == ["Record", "Close"]
    assert talk.blocks == ["secret"]
    assert talk.received.startswith(b"-ERR egressguard: secret")
    talk = Service("redis").say(b"SET k 1\r\n", b"SET k SEC", b"RET\r\n", b"SET k 2\r\n")
    assert talk.sent == b"SET k 1\r\n"
    assert talk.blocks == ["secret"]
    assert talk.shape[3:] == ["Record", "EndUpstream", "Finished", "Close"]
    assert talk.finished[0].reason == "secret"
    assert talk.finished[0].sent == 9


def test_a_secret_over_two_units_is_cut_before_its_last_part() -> None:
    talk = Service("any").say(b"\x99\x98\x97\x96 SEC", b"RET", b"more")
    assert talk.sent == b"\x99\x98\x97\x96 SEC"
    assert talk.blocks == ["secret"]


def test_hosts_that_are_denied_stay_denied() -> None:
    talk = Service("smtp", 25, denied=[HOST])
    assert talk.steps == []
    assert talk.wait().blocks == ["host_denied"]
    talk = Service("redis", 80, denied=[HOST])
    talk.say(b"GET / HTTP/1.1\r\nHost: db.example.com\r\n\r\n")
    assert talk.blocks == ["host_denied"]
    assert talk.statuses == [403]


def test_addresses_are_judged() -> None:
    talk = Service("smtp", 25, hosts={HOST: ("10.0.0.1",)})
    assert talk.blocks == ["address_private"]
    assert "Dial" not in talk.shape
    talk = Service("smtp", 25, hosts={})
    assert talk.blocks == ["resolve_failed"]


@pytest.mark.parametrize(
    "protocol", ["ssh", "smtp", "imap", "postgres", "mysql", "redis", "mongodb"]
)
def test_another_protocol_is_refused_by_name(protocol: str) -> None:
    talk = Service(protocol).say(b"GET / HTTP/1.1\r\nHost: db.example.com\r\n\r\n")
    assert talk.blocks == ["protocol_refused"]
    assert "the first bytes are http, not " + protocol in talk.details[0]
    assert talk.sent == b""
    assert talk.closed is not None


def test_another_server_is_refused() -> None:
    talk = Service("ssh", 22).reply(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert talk.blocks == ["protocol_refused"]
    assert b"HTTP" not in talk.received


def test_ssh_is_unread_once_it_is_encrypted() -> None:
    talk = Service("ssh", 22)
    talk.reply(b"SSH-2.0-a\r\n", KEXINIT).say(b"SSH-2.0-b\r\n" + KEXINIT)
    newkeys = b"\x00\x00\x00\x0c\x0a\x15" + bytes(10)
    talk.say(newkeys, b"SECRET").reply(newkeys, b"SECRET")
    assert talk.blocks == []
    assert talk.sent.endswith(newkeys + b"SECRET")
    assert talk.received.endswith(newkeys + b"SECRET")
    talk = Service("ssh", 22).say(b"SSH-2.0-SECRET\r\n")
    assert talk.blocks == ["secret"]
    assert talk.received.startswith(b"SSH-2.0-egressguard\r\n")


# -- any -----------------------------------------------------------------------------------------


def test_any_waits_for_the_agent_a_moment_and_then_for_the_server() -> None:
    talk = Service("any")
    assert talk.flow.deadline - talk.now <= 0.2
    assert talk.wait().shape == ["Record", "Resolve", "Dial"]
    talk.reply(b"INFO {}\r\n").say(b"CONNECT {}\r\n")
    assert (talk.received, talk.sent) == (b"INFO {}\r\n", b"CONNECT {}\r\n")


def test_any_takes_what_it_does_not_know() -> None:
    talk = Service("any").say(b"\x99\x98\x97\x96\x95")
    assert talk.sent == b"\x99\x98\x97\x96\x95"


def test_any_keeps_http_as_http_and_tls_as_tls() -> None:
    talk = Service("any", 443).say(b"GET /SECRET HTTP/1.1\r\nHost: db.example.com:443\r\n\r\n")
    assert talk.blocks == ["secret"]
    assert talk.statuses == [403]
    talk = Service("any", 443).say(HELLO)
    assert talk.terminated == [HOST]
    talk.say(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
    dial = talk.last(Dial)
    assert isinstance(dial, Dial)
    assert dial.target.scheme == "tls"
    assert talk.sent.startswith(b"\x10\x0c")
    talk = Service("any", 443).say(HELLO)
    assert talk.wait().shape[-3:] == ["Record", "Resolve", "Dial"]


def test_alpn_of_other_protocols_is_agreed_to_and_passed_on() -> None:
    talk = Service("any", 8883).say(client_hello(HOST, alpn=("mqtt",)))
    terminate = talk.last(Terminate)
    assert isinstance(terminate, Terminate)
    assert terminate.alpn == ("mqtt",)
    talk.say(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")
    dial = talk.last(Dial)
    assert isinstance(dial, Dial)
    assert dial.alpn == ("mqtt",)
    talk = Service("imap", 993).say(client_hello(HOST, alpn=("imap",)))
    dial = talk.last(Dial)
    assert isinstance(dial, Dial)
    assert dial.alpn == ("imap",)
    talk = Service("any", 8883).say(client_hello(HOST, alpn=("x/1",)))
    terminate = talk.last(Terminate)
    assert isinstance(terminate, Terminate)
    assert terminate.alpn == ()


def test_a_hello_that_does_not_end_is_a_timeout() -> None:
    for talk in (Service("any", 443).say(HELLO[:40]), Service("imap", 993).say(HELLO[:40])):
        assert talk.wait().blocks == ["timeout"]


def test_any_follows_tls_in_the_middle() -> None:
    talk = Service("any").say(b"0\x1d\x02\x01\x01w\x18 start tls")
    talk.reply(b"0\x24 ok").say(HELLO[:50], HELLO[50:])
    assert talk.shape[-1] == "Seal"
    talk.seal()
    assert talk.terminated == [HOST]
    talk.say(b"inside SECRET")
    assert talk.blocks == ["secret"]


# -- TLS -----------------------------------------------------------------------------------------


def smtp_asking() -> Service:
    talk = Service("smtp", 587)
    talk.reply(b"220 mx\r\n").say(b"EHLO me\r\n").reply(b"250 STARTTLS\r\n").say(b"STARTTLS\r\n")
    return talk


def test_starttls_seals_upstream_before_the_agent() -> None:
    talk = smtp_asking()
    assert talk.sent.endswith(b"STARTTLS\r\n")
    talk.reply(b"220 go\r\n")
    assert talk.shape[-1] == "Seal"
    seal = talk.last(Seal)
    assert isinstance(seal, Seal)
    assert seal.name == HOST
    assert b"220 go" not in talk.received
    talk.seal()
    assert talk.received.endswith(b"220 go\r\n")
    assert talk.terminated == []
    talk.say(HELLO[:10])
    talk.say(HELLO[10:])
    assert talk.terminated == [HOST]
    talk.say(b"EHLO me\r\n").reply(b"250 mx\r\n").say(b"MAIL FROM:<SECRET>\r\n")
    assert talk.blocks == ["secret"]
    assert talk.sent.endswith(b"STARTTLS\r\nEHLO me\r\n")


def test_a_refusal_of_tls_is_relayed() -> None:
    talk = smtp_asking().reply(b"454 no\r\n").say(b"QUIT\r\n")
    assert talk.received.endswith(b"454 no\r\n")
    assert talk.sent.endswith(b"QUIT\r\n")
    assert "Seal" not in talk.shape


def test_a_bad_certificate_is_told_instead_of_the_agreement() -> None:
    talk = smtp_asking().reply(b"220 go\r\n")
    failed = talk.flow.upstream_failed(Reason.CERTIFICATE_INVALID, "self-signed", talk.now)
    talk.act(failed)
    assert talk.blocks == ["certificate_invalid"]
    assert b"220 go" not in talk.received
    assert talk.received.endswith(b"554 5.7.1 egressguard: certificate_invalid: self-signed\r\n")


@pytest.mark.parametrize("injected", [b"EHLO x\r\n", b"SECRET"])
def test_nothing_is_slipped_in_around_starttls(injected: bytes) -> None:
    talk = Service("smtp", 587)
    talk.reply(b"220 mx\r\n").say(b"STARTTLS\r\n" + injected)
    assert talk.blocks == ["protocol_refused"]
    talk = smtp_asking().say(injected)
    assert talk.blocks == ["protocol_refused"]
    talk = smtp_asking().reply(b"220 go\r\n" + injected)
    assert talk.blocks == ["upstream_malformed"]
    talk = smtp_asking().reply(b"220 go\r\n", injected)
    assert talk.blocks == ["upstream_malformed"]
    talk = smtp_asking().reply(b"220 go\r\n").say(injected)
    assert talk.blocks == ["tls_malformed"]
    assert talk.closed is not None
    assert injected not in talk.sent


def test_another_name_in_the_hello_is_refused() -> None:
    talk = smtp_asking().reply(b"220 go\r\n")
    talk.seal().say(client_hello("other.example"))
    assert talk.blocks == ["name_mismatch"]
    assert talk.terminated == []


def test_implicit_tls_on_its_port_waits_for_the_agent() -> None:
    talk = Service("imap", 993)
    assert talk.steps == []
    talk.say(HELLO)
    assert talk.shape == ["Terminate", "Record", "Resolve", "Dial"]
    dial = talk.last(Dial)
    assert isinstance(dial, Dial)
    assert dial.target.scheme == "tls"
    talk.reply(b"* OK ready\r\n").say(b"a LOGIN x SECRET\r\n")
    assert talk.blocks == ["secret"]
    assert Service("imap", 993).wait().shape == ["Record", "Resolve", "Dial"]


def test_implicit_tls_on_another_port_seals_what_was_dialled() -> None:
    talk = Service("imap", 1993)
    assert talk.shape == ["Record", "Resolve", "Dial"]
    talk.say(HELLO)
    assert talk.shape[-1] == "Seal"
    assert talk.terminated == []
    talk.seal()
    assert talk.terminated == [HOST]
    talk.reply(b"* OK ready\r\n").say(b"a NOOP\r\n")
    assert talk.sent == b"a NOOP\r\n"


def test_a_client_that_speaks_first_in_tls_is_judged_before_anything_is_asked() -> None:
    talk = Service("redis", 6380).say(HELLO)
    assert talk.shape == ["Terminate"]
    talk.say(b"SET k SECRET\r\n")
    assert talk.blocks == ["secret"]
    assert "Resolve" not in talk.shape
    talk = Service("redis", 6380).say(HELLO, b"PING\r\n")
    dial = talk.last(Dial)
    assert isinstance(dial, Dial)
    assert dial.target.scheme == "tls"


def test_postgres_ssl_request() -> None:
    talk = Service("postgres", 5432).say(SSL_REQUEST)
    assert talk.sent == SSL_REQUEST
    talk.reply(b"S").seal()
    assert talk.received == b"S"
    talk.say(HELLO, STARTUP, query(b"select 1"), query(b"select 'SECRET'"))
    assert talk.terminated == [HOST]
    assert talk.sent == SSL_REQUEST + STARTUP + query(b"select 1")
    assert talk.blocks == ["secret"]
    assert b"Megressguard: secret" in talk.received


def test_postgres_in_clear_where_the_server_has_no_tls() -> None:
    talk = Service("postgres", 5432).say(SSL_REQUEST).reply(b"N").say(STARTUP)
    assert talk.received == b"N"
    assert talk.sent == SSL_REQUEST + STARTUP


def test_postgres_gss_encryption_is_declined_without_asking() -> None:
    talk = Service("postgres", 5432).say(b"\x00\x00\x00\x08\x04\xd2\x16\x30")
    assert talk.received == b"N"
    assert "Record" not in talk.shape
    talk.say(SSL_REQUEST)
    assert talk.sent == SSL_REQUEST


def test_postgres_tls_from_the_start() -> None:
    talk = Service("postgres", 5432).say(client_hello(HOST, alpn=("postgresql",)))
    terminate = talk.last(Terminate)
    assert isinstance(terminate, Terminate)
    assert terminate.alpn == ("postgresql",)
    talk.say(STARTUP)
    assert talk.sent == SSL_REQUEST
    talk.reply(b"S")
    assert talk.shape[-1] == "Seal"
    talk.seal()
    assert talk.received == b""
    assert talk.sent == SSL_REQUEST + STARTUP


def test_mysql_tls_begins_without_an_answer() -> None:
    wants = 0x00FFA68D
    greeting = (
        b"\x0a8.0.35\0" + bytes(4) + b"authdata\0" + b"\xff\xff\xff\x02\0\xff\xdf" + bytes(30)
    )
    login = struct.pack("<IIB", wants | 0x800, 1 << 24, 255) + bytes(23)
    talk = Service("mysql", 3306)
    talk.reply(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
    request = b"\x20\x00\x00\x01" + login
    talk.say(request + HELLO[:20])
    assert talk.sent == request
    assert talk.shape[-1] == "Seal"
    talk.say(HELLO[20:]).seal()
    assert talk.terminated == [HOST]
    login += b"alice\0\0"
    talk.say(len(login).to_bytes(3, "little") + b"\x02" + login)
    talk.say(b"\x07\x00\x00\x00\x03SECRET")
    assert talk.blocks == ["secret"]


# -- what comes back -----------------------------------------------------------------------------


class Steered(ScriptedJudge):
    """Finds text that tries to steer the agent."""

    def inbound_window(self, where: str, target: Target, *, apart: bool = True) -> ScriptedMessages:
        assert (where, apart) == ("stream", False)
        return ScriptedMessages(b"obey me")


def test_what_comes_back_is_judged() -> None:
    talk = Service("smtp", 25, kind=Steered)
    talk.reply(b"220 mx\r\n", b"250-please ob", b"ey me\r\n", b"250 ok\r\n")
    assert len(talk.blocks) == 1
    assert b"ey me" not in talk.received
    assert talk.received.startswith(b"220 mx\r\n554 5.7.1 egressguard")


# -- ends ----------------------------------------------------------------------------------------


def test_the_agents_end_is_passed_on_and_the_answer_still_comes() -> None:
    talk = Service("redis").say(b"PING\r\nGET k")
    talk.act(talk.flow.client_eof(talk.now))
    assert talk.sent == b"PING\r\nGET k"
    assert talk.shape[-1] == "FinishUpstream"
    talk.act(talk.flow.client_eof(talk.now))
    talk.reply(b"+PONG\r\n$1\r\nx\r\n")
    talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.received == b"+PONG\r\n$1\r\nx\r\n"
    assert talk.shape[-3:] == ["EndUpstream", "Finished", "Close"]
    assert talk.finished[0].reason == ""


def test_a_secret_in_the_last_line_without_end_is_found() -> None:
    talk = Service("redis").say(b"PING\r\nSET k SECRET")
    talk.act(talk.flow.client_eof(talk.now))
    assert talk.blocks == ["secret"]
    assert talk.sent == b"PING\r\n"


def test_upstreams_end() -> None:
    talk = Service("redis").say(b"QUIT\r\n").reply(b"+OK\r\nbye")
    talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.received == b"+OK\r\nbye"
    assert talk.closed is not None
    assert not talk.closed.reset
    talk = smtp_asking().reply(b"220 go\r\n")
    talk.act(talk.flow.upstream_eof(talk.now))
    assert talk.blocks == ["upstream_closed"]


def test_the_agent_is_gone() -> None:
    talk = Service("redis").say(b"PING\r\n")
    talk.act(talk.flow.client_lost(talk.now))
    assert talk.shape[-2:] == ["EndUpstream", "Finished"]
    assert talk.finished[0].reason == "client_closed"


def test_time() -> None:
    talk = Service("redis").say(b"PING\r\n")
    assert talk.flow.deadline == talk.now + IDLE_SECONDS
    talk.wait()
    assert talk.finished[0].reason == "timeout"
    assert talk.closed is not None
    assert Service("redis").wait().blocks == ["timeout"]
    assert smtp_asking().reply(b"220 go\r\n").wait().blocks == ["timeout"]


def test_evidence_that_cannot_be_written_ends_it() -> None:
    talk = Service("redis")
    talk.flow.client_bytes(b"PING\r\n", talk.now)
    steps = talk.flow.unwritable()
    assert type(steps[0]) is EndUpstream
    assert talk.flow.closed


def test_the_agent_is_held_while_upstream_is_slow() -> None:
    talk = Service("any").say(b"\x99\x98\x97\x96\x95")
    talk.act(talk.flow.upstream_full(talk.now, full=True))
    assert not talk.flow.wants_client
    talk.act(talk.flow.upstream_full(talk.now, full=False))
    assert talk.flow.wants_client


def test_the_lifecycle_table_is_whole() -> None:
    assert set(TRANSITIONS) == set(Stage)
    assert all(
        Stage.CLOSED in after for stage, after in TRANSITIONS.items() if stage is not Stage.CLOSED
    )


# -- the promise ---------------------------------------------------------------------------------

EVENTS = st.one_of(
    st.tuples(
        st.just("say"),
        st.sampled_from(
            [
                b"PING\r\n",
                b"EHLO me\r\n",
                b"STARTTLS\r\n",
                SSL_REQUEST,
                STARTUP,
                HELLO,
                b"x SECRET\r\n",
                b"SSH-2.0-x\r\n",
                b"a1 STARTTLS\r\n",
                query(b"select 'SECRET'"),
                b"\x16",
                HELLO[:40],
            ]
        )
        | st.binary(min_size=1, max_size=20),
    ),
    st.tuples(
        st.just("reply"),
        st.sampled_from(
            [b"220 mx\r\n", b"250 ok\r\n", b"S", b"N", b"* OK\r\n", b"+OK\r\n", b"a1 OK\r\n"]
        )
        | st.binary(min_size=1, max_size=20),
    ),
    st.tuples(
        st.sampled_from(["seal", "eof", "upstream_eof", "fail", "lost", "timer"]), st.just(b"")
    ),
)


@given(
    st.sampled_from(
        ["ssh", "smtp", "imap", "pop3", "postgres", "mysql", "redis", "mongodb", "any"]
    ),
    st.sampled_from([25, 993, 4000, 80]),
    st.lists(EVENTS, max_size=10),
)
def test_no_byte_before_a_verdict(
    protocol: str, port: int, events: Sequence[tuple[str, bytes]]
) -> None:
    """Whatever is said in whatever order: Record, Resolve, Dial, bytes; and never the secret."""
    talk = Service(protocol, port)
    flow = talk.flow
    for event, data in events:
        if flow.closed:
            break
        now = talk.now
        if event == "say":
            talk.say(data)
        elif event == "reply" and talk.open:
            talk.reply(data)
        elif event == "seal" and isinstance(talk.last(Seal), Seal):
            talk.act(flow.sealed(now))
        elif event == "eof":
            talk.act(flow.client_eof(now))
        elif event == "upstream_eof" and talk.open:
            talk.act(flow.upstream_eof(now))
        elif event == "fail" and talk.open:
            talk.act(flow.upstream_failed(Reason.CONNECT_FAILED, "x", now))
        elif event == "lost":
            talk.act(flow.client_lost(now))
            break
        elif event == "timer":
            talk.wait()
    allowed = False
    for step in talk.steps:
        if isinstance(step, Record):
            allowed = step.verdict.allowed
        elif isinstance(step, Resolve | Dial | ToUpstream | FinishUpstream | Seal):
            assert allowed
    assert b"SECRET" not in talk.sent
