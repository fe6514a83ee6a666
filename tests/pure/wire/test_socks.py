"""SOCKS as its server reads it: whole, cut everywhere, with what follows, and malformed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.socks import Answer, SocksError, SocksReader, SocksRequest, reply

_H = bytes.fromhex
OPEN = b"\x05\x01\x00"
NAME = b"\x05\x01\x00\x03\x0fapi.example.com\x01\xbb"
V4 = _H("05010001c0000201") + b"\x01\xbb"
V6 = _H("0501000420010db8000000000000000000000001") + b"\x01\xbb"

GOOD: list[tuple[bytes, bytes, SocksRequest]] = [
    (OPEN + NAME, b"\x05\x00", SocksRequest(5, 1, "api.example.com", 443, "api.example.com")),
    (OPEN + V4, b"\x05\x00", SocksRequest(5, 1, "192.0.2.1", 443, "192.0.2.1")),
    (OPEN + V6, b"\x05\x00", SocksRequest(5, 1, "2001:db8::1", 443, "2001:db8::1")),
    (
        b"\x05\x02\x00\x02" + b"\x05\x01\x00\x03\x07Ex.Test\x00\x50",
        b"\x05\x00",
        SocksRequest(5, 1, "ex.test", 80, "Ex.Test"),
    ),
    (
        b"\x05\x02\x01\x02" + b"\x01\x05alice\x04pass" + NAME,
        b"\x05\x02\x01\x00",
        SocksRequest(5, 1, "api.example.com", 443, "api.example.com"),
    ),
    (
        b"\x05\x01\x02" + b"\x01\x00\x00" + NAME,
        b"\x05\x02\x01\x00",
        SocksRequest(5, 1, "api.example.com", 443, "api.example.com"),
    ),
    (
        OPEN + b"\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00",
        b"\x05\x00",
        SocksRequest(5, 3, "0.0.0.0", 0, "0.0.0.0"),
    ),
    (
        OPEN + b"\x05\x01\x00\x03\x0b2001:db8::1\x01\xbb",
        b"\x05\x00",
        SocksRequest(5, 1, "2001:db8::1", 443, "2001:db8::1"),
    ),
    (
        b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00",
        b"",
        SocksRequest(4, 1, "192.0.2.1", 443, "192.0.2.1"),
    ),
    (
        b"\x04\x01\x01\xbb\x00\x00\x00\x01alice\x00Api.example.com\x00",
        b"",
        SocksRequest(4, 1, "api.example.com", 443, "Api.example.com"),
    ),
    (
        b"\x04\x02\x01\xbb\xc0\x00\x02\x01\x00",
        b"",
        SocksRequest(4, 2, "192.0.2.1", 443, "192.0.2.1"),
    ),
]


def read(pieces: Sequence[bytes]) -> tuple[SocksReader, bytes]:
    reader = SocksReader()
    out = b"".join([reader.feed(piece) for piece in pieces])
    return reader, out


def outcome(parts: Sequence[bytes]) -> tuple[bytes, object, bytes]:
    """What was said to the client, then the request or the reason, and the bytes behind it."""
    reader, out = SocksReader(), b""
    for part in parts:
        try:
            out += reader.feed(part)
        except SocksError as error:
            return out + error.reply, error.reason, b""
    return out, reader.request, reader.rest


@pytest.mark.parametrize(("data", "said", "request_"), GOOD)
def test_requests(data: bytes, said: bytes, request_: SocksRequest) -> None:
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        reader, out = read(pieces)
        assert out == said
        assert reader.request == request_
        assert reader.rest == b""
    reader, _ = read([data + b"\x16\x03\x01"])
    assert reader.rest == b"\x16\x03\x01"
    for end in range(len(data)):
        assert read([data[:end]])[0].request is None


BAD: list[tuple[bytes, bytes, Reason]] = [
    (b"\x05\x01\x01", b"\x05\xff", Reason.PROTOCOL_REFUSED),
    (b"\x05\x00", b"\x05\xff", Reason.PROTOCOL_REFUSED),
    (
        OPEN + b"\x04\x01\x00\x01\x00",
        b"\x05\x00" + reply(5, Answer.FAILED),
        Reason.PROTOCOL_REFUSED,
    ),
    (
        OPEN + b"\x05\x01\x00\x02\x00",
        b"\x05\x00" + reply(5, Answer.NO_SUCH_ADDRESS_TYPE),
        Reason.PROTOCOL_REFUSED,
    ),
    (
        OPEN + b"\x05\x09\x00\x01\xc0\x00\x02\x01\x01\xbb",
        b"\x05\x00" + reply(5, Answer.NO_SUCH_COMMAND),
        Reason.PROTOCOL_REFUSED,
    ),
    (
        OPEN + b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x00",
        b"\x05\x00" + reply(5, Answer.FAILED),
        Reason.PROTOCOL_REFUSED,
    ),
    (
        OPEN + b"\x05\x01\x00\x03\x06a b/c\x00\x01\xbb",
        b"\x05\x00" + reply(5, Answer.FAILED),
        Reason.NAME_INVALID,
    ),
    (
        OPEN + b"\x05\x01\x00\x03\x00\x01\xbb",
        b"\x05\x00" + reply(5, Answer.FAILED),
        Reason.NAME_INVALID,
    ),
    (
        OPEN + b"\x05\x01\x00\x03\x0eexample.com:80\x01\xbb",
        b"\x05\x00" + reply(5, Answer.FAILED),
        Reason.NAME_INVALID,
    ),
    (b"\x05\x01\x02" + b"\x02\x01a\x01b", b"\x05\x02\x01\x01", Reason.PROTOCOL_REFUSED),
    (
        b"\x04\x01\x01\xbb\xc0\x00\x02\x01" + b"u" * 600,
        reply(4, Answer.FAILED),
        Reason.PROTOCOL_REFUSED,
    ),
    (
        b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00" + b"n" * 300,
        reply(4, Answer.FAILED),
        Reason.PROTOCOL_REFUSED,
    ),
    (
        b"\x04\x01\x01\xbb\x00\x00\x00\x01\x00a..b\x00",
        reply(4, Answer.FAILED),
        Reason.NAME_INVALID,
    ),
    (
        b"\x04\x03\x01\xbb\xc0\x00\x02\x01\x00",
        reply(4, Answer.NO_SUCH_COMMAND),
        Reason.PROTOCOL_REFUSED,
    ),
    (b"\x06", b"", Reason.PROTOCOL_REFUSED),
]


@pytest.mark.parametrize(("data", "said", "reason"), BAD)
def test_malformed(data: bytes, said: bytes, reason: Reason) -> None:
    with pytest.raises(SocksError) as caught:
        read([data])
    assert caught.value.reply == said
    assert caught.value.reason is reason
    # Byte by byte the same, of which the agent gets the replies one after the other.
    assert outcome([data[i : i + 1] for i in range(len(data))]) == (said, reason, b"")


def test_replies() -> None:
    assert reply(5, Answer.GRANTED) == _H("05000001000000000000")
    assert reply(5, Answer.NO_SUCH_COMMAND) == _H("05070001000000000000")
    assert reply(4, Answer.GRANTED) == _H("005a000000000000")
    assert reply(4, Answer.NOT_ALLOWED) == _H("005b000000000000")


@given(
    st.lists(st.binary(max_size=40), max_size=6),
    st.sampled_from([b"", OPEN, b"\x04\x01", b"\x05\x01\x02"]),
)
def test_any_bytes(pieces: list[bytes], start: bytes) -> None:
    """Nothing but SocksError comes out, and the cuts change nothing."""

    whole = start + b"".join(pieces)
    assert (
        outcome([start, *pieces])
        == outcome([whole])
        == outcome([whole[i : i + 1] for i in range(len(whole))])
    )
