"""DHCP: a guest gets its one address, and nothing that a client sends does anything else."""

from __future__ import annotations

import contextlib
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire import dhcp
from interceptor.wire.dhcp import Kind, Option

MAC = bytes.fromhex("026567123456")
TERMS = dhcp.Terms(MAC, "198.18.0.10", "198.18.0.1", 24)
ADDRESS = ipaddress.IPv4Address(TERMS.address).packed
GATEWAY = ipaddress.IPv4Address(TERMS.gateway).packed
OTHER = ipaddress.IPv4Address("192.168.1.7").packed


def message(
    kind: int,
    *options: tuple[int, bytes],
    current: bytes = bytes(4),
    flags: int = 0,
    hardware: bytes = MAC,
    relay: bytes = bytes(4),
    op: int = 1,
    hops: int = 0,
) -> bytes:
    """A client's message, by hand: RFC 2131 figure 1."""
    head = struct.pack("!4BI2H", op, 1, 6, hops, 0x12345678, 0, flags)
    head += current + bytes(8) + relay + hardware.ljust(16, b"\0") + bytes(64 + 128)
    body = b"\x63\x82\x53\x63" + bytes((53, 1, kind))
    return head + body + b"".join(bytes((c, len(v))) + v for c, v in options) + b"\xff"


def options_of(data: bytes) -> dict[int, bytes]:
    found, at = {}, 240
    while data[at] != 255:
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def asked(data: bytes) -> dhcp.Answer:
    answer = dhcp.answer(dhcp.parse(data), TERMS)
    assert answer is not None
    return answer


def test_a_client_gets_offer_and_lease() -> None:
    offer = asked(message(Kind.DISCOVER, (Option.CLIENT, b"\1" + MAC)))
    said = options_of(offer.data)
    assert said[Option.KIND] == bytes((Kind.OFFER,))
    assert offer.data[16:20] == ADDRESS
    assert offer.data[4:8] == b"\x12\x34\x56\x78"
    assert offer.data[28:34] == MAC
    assert said[Option.MASK] == b"\xff\xff\xff\0"
    assert {said[Option.ROUTER], said[Option.NAME_SERVER], said[Option.SERVER]} == {GATEWAY}
    assert said[Option.CLIENT] == b"\1" + MAC  # RFC 6842
    assert said[Option.MTU] == b"\x05\xdc"
    lease = asked(message(Kind.REQUEST, (Option.REQUESTED, ADDRESS), (Option.SERVER, GATEWAY)))
    assert options_of(lease.data)[Option.KIND] == bytes((Kind.ACK,))
    seconds = int.from_bytes(options_of(lease.data)[Option.LEASE])
    assert seconds == dhcp.LEASE_SECONDS
    assert len(lease.data) >= 300


def test_where_answers_go() -> None:
    """RFC 2131 section 4.1."""
    assert asked(message(Kind.DISCOVER)).address == TERMS.address
    assert asked(message(Kind.DISCOVER, flags=0x8000)).address == "255.255.255.255"
    renewal = asked(message(Kind.REQUEST, current=ADDRESS))
    assert (renewal.address, options_of(renewal.data)[Option.KIND]) == (TERMS.address, b"\5")
    refusal = asked(message(Kind.REQUEST, (Option.REQUESTED, OTHER)))
    assert refusal.address == "255.255.255.255"


def test_an_address_of_another_network_is_denied() -> None:
    for data in (message(Kind.REQUEST, (Option.REQUESTED, OTHER)),
                 message(Kind.REQUEST, current=OTHER), message(Kind.REQUEST)):  # fmt: skip
        denied = asked(data)
        assert options_of(denied.data)[Option.KIND] == bytes((Kind.NAK,))
        assert denied.data[16:20] == bytes(4)
        assert Option.LEASE not in options_of(denied.data)


def test_settings_without_an_address() -> None:
    said = asked(message(Kind.INFORM, current=OTHER))
    assert options_of(said.data)[Option.KIND] == bytes((Kind.ACK,))
    assert said.data[16:20] == bytes(4)
    assert Option.LEASE not in options_of(said.data)


def test_who_is_not_answered() -> None:
    for data in (
        message(Kind.DISCOVER, hardware=bytes(6)),
        message(Kind.REQUEST, (Option.SERVER, OTHER), (Option.REQUESTED, ADDRESS)),
        message(Kind.DECLINE, (Option.REQUESTED, ADDRESS)),
        message(Kind.RELEASE, current=ADDRESS),
        message(Kind.OFFER),
        message(Kind.ACK),
    ):
        assert dhcp.answer(dhcp.parse(data), TERMS) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        message(Kind.DISCOVER)[:239],
        message(Kind.DISCOVER, op=2),
        message(Kind.DISCOVER, hops=1),
        message(Kind.DISCOVER, relay=GATEWAY),
        message(Kind.DISCOVER).replace(b"\x63\x82\x53\x63", b"\0\0\0\0"),
        message(0),
        message(9),
        message(Kind.DISCOVER)[:240] + b"\xff",
        message(Kind.REQUEST, (Option.REQUESTED, b"\1\2\3")),
        message(Kind.REQUEST, (Option.SERVER, b"")),
        message(Kind.DISCOVER)[:-1] + b"\x32",
        message(Kind.DISCOVER)[:-1] + b"\x32\x04\1\2\3",
    ],
)
def test_what_is_no_request_of_a_client(data: bytes) -> None:
    with pytest.raises(dhcp.DhcpError):
        dhcp.parse(data)


def test_padding_ends_and_repetition() -> None:
    plain = message(Kind.DISCOVER)
    padded = plain[:240] + bytes(3) + plain[240:] + bytes(100)
    assert dhcp.parse(padded) == dhcp.parse(plain)
    twice = message(Kind.REQUEST, (Option.REQUESTED, ADDRESS), (Option.REQUESTED, OTHER))
    assert dhcp.parse(twice).requested == ADDRESS
    unended = plain[:-1]
    assert dhcp.parse(unended) == dhcp.parse(plain)


@given(st.data())
def test_damaged_messages_are_errors_or_questions_and_never_give_another_address(
    data: st.DataObject,
) -> None:
    kind = data.draw(st.integers(0, 10))
    given_options = st.tuples(st.integers(0, 255), st.binary(max_size=255))
    raw = bytearray(message(kind, *data.draw(st.lists(given_options, max_size=6))))
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    whole = bytes(raw[: data.draw(st.integers(0, len(raw)))]) + data.draw(st.binary(max_size=20))
    try:
        question = dhcp.parse(whole)
    except dhcp.DhcpError as error:
        assert len(str(error)) < 60  # noqa: PT017
        return
    answer = dhcp.answer(question, TERMS)
    if answer is not None:
        assert question.hardware == MAC
        assert answer.data[16:20] in (bytes(4), ADDRESS)
        assert options_of(answer.data)[Option.SERVER] == GATEWAY
        assert len(answer.data) <= 576  # RFC 2131 section 2: what every client takes


@given(st.binary(max_size=600))
def test_noise(data: bytes) -> None:
    for raw in (data, message(1)[:240] + data):
        with contextlib.suppress(dhcp.DhcpError):
            dhcp.parse(raw)
