"""What a ClientHello may leave out or hide: server names, ECH, addresses instead of names."""

from __future__ import annotations

import struct
from typing import cast

import pytest

from interceptor.decide.judge import Judge
from interceptor.flow.context import FlowContext
from interceptor.flow.steps import Dial, Resolve
from interceptor.flow.tcp_flow import TcpFlow
from interceptor.model import Origin
from interceptor.policy.schema import Limits
from tests.conversation import OK, Conversation, ScriptedJudge, get
from tests.pure.flow.test_relay import Service
from tests.pure.flow.test_tcp_flow import client_hello
from tests.pure.wire.test_tls_hello import ECH_OUTER, extension, hello, records, sni

NAME, FRONT = "api.example.com", "front.example.net"
ECH = 0xFE0D


def raw(name: str, *, ech: bytes = b"", alpn: bytes = b"") -> bytes:
    extensions = sni(name.encode()) if name else b""
    if ech:
        extensions += extension(ECH, ech)
    if alpn:
        extensions += extension(16, struct.pack(">HB", len(alpn) + 1, len(alpn)) + alpn)
    return records(hello(extensions))


def talk_of(name: str = NAME, address: str = "198.18.1.1", sni_policy: str = "") -> Conversation:
    talk = Conversation(name=name, address=address, port=443, answer=lambda _: OK)
    if sni_policy:
        context = FlowContext(
            Origin("jail", "f1", address, 443, name),
            cast("Judge", ScriptedJudge()),
            Limits(),
            lambda text, now: "",
            sni=sni_policy,
        )
        talk.flow = TcpFlow(context, talk.now)
    return talk


# -- Encrypted Client Hello ------------------------------------------------------------------------


def test_grease_is_tolerated() -> None:
    talk = talk_of().say(raw(NAME, ech=ECH_OUTER), get())
    assert (talk.terminated, talk.statuses, talk.blocks) == ([NAME], [200], [])


def test_a_front_is_refused_and_told() -> None:
    talk = talk_of().say(raw(FRONT, ech=ECH_OUTER), get())
    assert talk.blocks == ["ech_refused"]
    assert talk.statuses == [403]
    assert talk.explanation["reason"] == "ech_refused"
    assert FRONT in talk.details[0]
    assert NAME in talk.details[0]
    assert not any(isinstance(step, Resolve | Dial) for step in talk.steps)


@pytest.mark.parametrize("alpn", [b"h2", b"http/1.1"])
def test_a_client_that_hides_ends_the_handshake_itself(alpn: bytes) -> None:
    """It learns that its inner hello was not taken, and says so: RFC 9849 section 6.1.6."""
    talk = talk_of().say(raw(FRONT, ech=ECH_OUTER, alpn=alpn))
    talk.act(talk.flow.tls_failed("ech required", talk.now))
    assert talk.blocks == ["ech_refused"]
    # and one that offers GREASE, and does not trust the jail's authority
    talk = talk_of().say(raw(NAME, ech=ECH_OUTER, alpn=alpn))
    talk.act(talk.flow.tls_failed("unknown ca", talk.now))
    assert talk.blocks == ["tls_client_rejected"]


def test_an_inner_hello_in_the_open_is_refused() -> None:
    talk = talk_of().say(raw(NAME, ech=b"\x01"))
    assert talk.blocks == ["ech_refused"]
    assert talk.closed is not None


def test_without_ech_another_name_is_a_mismatch() -> None:
    assert talk_of().say(raw(FRONT), get()).blocks == ["name_mismatch"]


def test_a_front_on_an_address_is_a_mismatch() -> None:
    """Nothing was leased, so nothing tells GREASE from the real one."""
    talk = talk_of("", "192.0.2.9").say(raw(FRONT, ech=ECH_OUTER), get())
    assert talk.blocks == ["name_mismatch"]


def test_a_secret_in_the_front_is_found() -> None:
    talk = talk_of().say(raw("x.secret.example", ech=ECH_OUTER), get())
    assert talk.blocks == ["secret_in_name"]


def test_a_front_after_starttls_is_refused() -> None:
    talk = Service("smtp", 25)
    talk.reply(b"220 mx\r\n").say(b"EHLO me\r\n").reply(b"250 STARTTLS\r\n").say(b"STARTTLS\r\n")
    talk.reply(b"220 go\r\n").seal().say(raw(FRONT, ech=ECH_OUTER))
    assert talk.blocks == ["ech_refused"]
    assert talk.terminated == []
    talk = Service("redis", 6380).say(raw(FRONT, ech=ECH_OUTER))
    assert talk.blocks == ["ech_refused"]
    assert talk.terminated == []


# -- no name at all --------------------------------------------------------------------------------


def test_no_server_name_by_policy() -> None:
    for address, name in (("198.18.1.1", NAME), ("192.0.2.9", "")):
        host = name or address
        talk = talk_of(name, address).say(client_hello(None), get(host=host))
        assert (talk.blocks, talk.statuses, talk.terminated) == ([], [200], [host])
        talk = talk_of(name, address, "required").say(client_hello(None), get(host=host))
        assert (talk.blocks, talk.statuses) == (["sni_missing"], [403])
        assert talk.explanation["rule"] == "hosts.sni"
    talk = talk_of(sni_policy="required").say(client_hello(NAME), get())
    assert (talk.blocks, talk.statuses) == ([], [200])


# -- addresses instead of names --------------------------------------------------------------------


def test_an_address_as_server_name() -> None:
    talk = talk_of("", "192.0.2.9").say(raw("192.0.2.9"), get(host="192.0.2.9"))
    assert (talk.blocks, talk.statuses) == ([], [200])
    for other in ("192.0.2.10", "198.18.1.1"):
        assert talk_of("", "192.0.2.9").say(raw(other), get()).blocks == ["name_mismatch"]
        assert talk_of().say(raw(other), get()).blocks == ["name_mismatch"]
    talk = talk_of("", "2001:db8::9").say(raw("2001:DB8:0::9"), get(host="[2001:db8::9]"))
    assert (talk.blocks, talk.statuses) == ([], [200])


def test_host_of_an_address_is_that_address() -> None:
    for host in (NAME, "192.0.2.10", "3221225993", "192.0.2.9.example.com"):
        talk = talk_of("", "192.0.2.9").say(client_hello(None), get(host=host))
        assert talk.blocks == ["name_mismatch"], host
