"""permessage-deflate: what is negotiated, what is inflated, what is refused."""

from __future__ import annotations

import os
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.websocket import MessageReader
from interceptor.wire.websocket_close import WebSocketError
from interceptor.wire.websocket_deflate import Deflate, Inflater, answers, read_member
from tests.websocket_bytes import BINARY, PING, TEXT, Deflater, Frame, deflate, write

LIMIT = 3_000_000


def inflater(
    *, takeover: bool = True, bits: int = 15, limit: int = LIMIT, expansion: int = 2000
) -> Inflater:
    return Inflater(
        bits, takeover=takeover, limit=limit, expansion=expansion, fault=Reason.HTTP_MALFORMED
    )


def inflated(one: Inflater, data: bytes, size: int = 0) -> bytes:
    step = size or len(data) or 1
    out = b"".join([one.feed(data[at : at + step]) for at in range(0, len(data), step)])
    one.finish()
    return out


def fault(one: Inflater, data: bytes, size: int = 0) -> WebSocketError:
    with pytest.raises(WebSocketError) as caught:
        inflated(one, data, size)
    return caught.value


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (b"permessage-deflate", Deflate()),
        (b"Permessage-Deflate ;\tclient_max_window_bits", Deflate(False, False, 0, 15, True)),
        (b"permessage-deflate; client_max_window_bits=8", Deflate(client_max_window_bits=8)),
        (b'permessage-deflate;server_max_window_bits="10"', Deflate(server_max_window_bits=10)),
        (
            b"permessage-deflate; client_no_context_takeover; server_no_context_takeover ",
            Deflate(True, True),
        ),
        (
            b"permessage-deflate; server_max_window_bits = 15; client_max_window_bits=15",
            Deflate(server_max_window_bits=15, client_max_window_bits=15),
        ),
        (b"permessage-bzip2", None),
        (b"x-webkit-deflate-frame", None),
        (b"permessage-deflate; unknown", None),
        (b"permessage-deflate;", None),
        (b"permessage-deflate; server_no_context_takeover=1", None),
        (b"permessage-deflate; server_no_context_takeover=", None),
        (b"permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        (b"permessage-deflate; server_max_window_bits", None),
        (b"permessage-deflate; server_max_window_bits=7", None),
        (b"permessage-deflate; server_max_window_bits=16", None),
        (b"permessage-deflate; server_max_window_bits=08", None),
        (b"permessage-deflate; server_max_window_bits=+9", None),
        (b"permessage-deflate; client_max_window_bits=", None),
        (b'permessage-deflate; client_max_window_bits="9', None),
        (b"permessage-deflate; client_max_window_bits; client_max_window_bits=9", None),
        (b"", None),
    ],
)
def test_members(member: bytes, expected: Deflate | None) -> None:
    assert read_member(member) == expected
    if expected is not None:
        assert read_member(expected.text()) == expected


OFFER = Deflate(client_max_window_bits=15, open_client_bits=True)


@pytest.mark.parametrize(
    ("agreed", "offer", "expected"),
    [
        (Deflate(), OFFER, True),
        (Deflate(True, True, 9, 9), OFFER, True),
        (Deflate(client_max_window_bits=9), Deflate(), False),
        (Deflate(client_max_window_bits=10), Deflate(client_max_window_bits=10), True),
        (Deflate(client_max_window_bits=11), Deflate(client_max_window_bits=10), False),
        (Deflate(), Deflate(client_max_window_bits=10), True),
        (Deflate(), Deflate(server_no_context_takeover=True), False),
        (Deflate(True), Deflate(server_no_context_takeover=True), True),
        (Deflate(), Deflate(client_no_context_takeover=True), True),
        (Deflate(client_no_context_takeover=True), Deflate(), True),
        (Deflate(), Deflate(server_max_window_bits=10), False),
        (Deflate(), Deflate(server_max_window_bits=15), True),
        (Deflate(server_max_window_bits=11), Deflate(server_max_window_bits=10), False),
        (Deflate(server_max_window_bits=9), Deflate(server_max_window_bits=10), True),
        (Deflate(server_max_window_bits=9), Deflate(), True),
        (OFFER, OFFER, False),
    ],
)
def test_what_accepts_an_offer(agreed: Deflate, offer: Deflate, expected: bool) -> None:
    assert answers(agreed, [offer]) is expected
    assert answers(agreed, [Deflate(server_no_context_takeover=True), offer]) is (
        expected or agreed.server_no_context_takeover
    )
    assert not answers(agreed, [])


# -- inflating ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.binary(max_size=500), max_size=6), st.integers(1, 60), st.integers(9, 15))
def test_messages_come_out_as_they_went_in(messages: list[bytes], size: int, bits: int) -> None:
    messages += [message * 3 for message in messages]
    with_context = Deflater(bits)
    one, two = inflater(bits=bits), inflater(takeover=False, bits=bits)
    for message in messages:
        assert inflated(one, with_context(message), size) == message
        assert inflated(two, deflate(message, bits), size) == message


@pytest.mark.parametrize(
    "wire",
    [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",  # RFC 7692 section 7.2.3.1
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",  # 7.2.3.3, a stored block
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",  # 7.2.3.5, two blocks
    ],
)
def test_examples_of_the_rfc(wire: bytes) -> None:
    assert inflated(inflater(), wire) == b"Hello"
    assert inflated(inflater(takeover=False), wire, 1) == b"Hello"


def test_the_example_with_context() -> None:
    one = inflater()  # section 7.2.3.2
    assert inflated(one, b"\xf2\x48\xcd\xc9\xc9\x07\x00") == b"Hello"
    assert inflated(one, b"\xf2\x00\x11\x00\x00") == b"Hello"
    assert inflated(one, b"\x00") == b""  # section 7.2.3.6
    fresh = inflater(takeover=False)
    assert inflated(fresh, b"\xf2\x48\xcd\xc9\xc9\x07\x00") == b"Hello"
    assert fault(fresh, b"\xf2\x00\x11\x00\x00").code == 1007


@pytest.mark.parametrize("takeover", [True, False])
def test_a_final_block_is_refused(takeover: bool) -> None:
    error = fault(inflater(takeover=takeover), b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00")  # 7.2.3.4
    assert error.reason is Reason.INCOMPLETE


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("size", [0, 1])
def test_an_end_within_a_block_is_refused(takeover: bool, size: int) -> None:
    before = deflate(b"before")
    short = deflate(b"some words that make a message, some words that do not " * 5)
    own_codes = deflate(random.Random(1).randbytes(300).hex().encode())
    assert (short[0] & 6, own_codes[0] & 6) == (2, 4)  # RFC 1951 section 3.2.3: block types
    for message in (short, own_codes):
        for cut in range(len(message)):
            one = inflater(takeover=takeover)
            assert inflated(one, before) == b"before"
            assert fault(one, message[:cut], size).reason is Reason.HTTP_MALFORMED
    stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f"
    for cut in (0, *range(2, len(stored))):  # the first byte alone is an empty message
        assert fault(inflater(takeover=takeover), stored[:cut], size).code == 1007
    assert inflated(inflater(takeover=takeover), stored + b"\x00") == b"Hello"


@settings(deadline=None, max_examples=300)
@given(st.binary(min_size=1, max_size=60), st.booleans(), st.integers(1, 60))
def test_any_bytes_are_inflated_as_by_zlib_or_refused(
    data: bytes, takeover: bool, size: int
) -> None:
    try:
        found = inflated(inflater(takeover=takeover), data, size)
    except WebSocketError:
        return
    whole = zlib.decompressobj(-15)
    assert whole.decompress(data + b"\x00\x00\xff\xff\x03\x00") == found
    assert whole.eof


# -- budgets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 100])
def test_a_bomb_is_refused_without_being_made(size: int) -> None:
    bomb = deflate(bytes(50_000_000))
    error = fault(inflater(), bomb, size)
    assert (error.code, error.reason) == (1009, Reason.LIMIT_EXCEEDED)
    error = fault(inflater(expansion=10), bomb, size)
    assert (error.code, error.reason) == (1009, Reason.INCOMPLETE)


def test_the_budget_is_of_one_message_and_exact() -> None:
    one = inflater(limit=1000)
    for _ in range(5):
        assert len(inflated(one, deflate(bytes(1000)))) == 1000
    assert fault(one, deflate(bytes(1001))).reason is Reason.LIMIT_EXCEEDED


def test_ordinary_expansion_passes() -> None:
    page = b"<tr><td>0</td></tr>\n" * 100_000
    assert inflated(inflater(expansion=1000), deflate(page)) == page
    noise = os.urandom(2_000_000)
    assert inflated(inflater(expansion=1), deflate(noise)) == noise


# -- in frames ---------------------------------------------------------------------------------


def messages(data: bytes, size: int, *, agreed: bool = True) -> list[tuple[bytes, bytes, bool]]:
    one = MessageReader(
        masked=True,
        limit=LIMIT,
        fault=Reason.HTTP_MALFORMED,
        inflater=inflater() if agreed else None,
    )
    found = []
    for at in range(0, len(data), size):
        found += list(one.feed(data[at : at + size]))
    return [(message.payload, message.wire, message.deflated) for message in found]


@pytest.mark.parametrize("size", [1, 3, 50, 100_000])
def test_deflated_messages_in_fragments_between_others(size: int) -> None:
    z = Deflater()
    wire = z(b"first words, words again")
    frames = [
        Frame(TEXT, wire, rsv=4),
        Frame(TEXT, b"plain"),
        Frame(BINARY, b"", fin=False, rsv=4),
        Frame(PING, b"ping"),
    ]
    second = z(b"words again" * 20)
    frames += [Frame(0, second[i : i + 3], fin=False) for i in range(0, len(second), 3)]
    frames += [Frame(0, b"")]
    data = b"".join([write(frame, masked=True) for frame in frames])
    assert messages(data, size) == [
        (b"first words, words again", wire, True),
        (b"plain", b"plain", False),
        (b"ping", b"ping", False),
        (b"words again" * 20, second, True),
    ]


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(BINARY, b"\x00", fin=False, rsv=4), Frame(0, b"\x00", rsv=4)],
        [Frame(BINARY, b"\x00", fin=False), Frame(0, b"\x00", rsv=4)],
        [Frame(PING, b"\x00", rsv=4)],
        [Frame(BINARY, b"\x00", rsv=2)],
        [Frame(BINARY, b"\x00", rsv=5)],
        [Frame(BINARY, b"", rsv=4)],
        [Frame(BINARY, b"", fin=False, rsv=4), Frame(0, b"")],
        [Frame(TEXT, deflate(b"\xff\xfe"), rsv=4)],
        [Frame(TEXT, deflate("é".encode()[:1]), rsv=4)],
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_refused_in_frames(frames: list[Frame], size: int) -> None:
    data = b"".join([write(frame, masked=True) for frame in frames])
    with pytest.raises(WebSocketError):
        messages(data, size)


def test_not_agreed_upon() -> None:
    with pytest.raises(WebSocketError):
        messages(write(Frame(TEXT, deflate(b"x"), rsv=4), masked=True), 100, agreed=False)


def test_deflated_text_is_checked_as_it_comes() -> None:
    wire = deflate(os.urandom(5000).hex().encode() + b"\xff" + os.urandom(5000).hex().encode())
    data = write(Frame(TEXT, wire, rsv=4), masked=True)
    with pytest.raises(WebSocketError) as caught:
        messages(data[:-100], 50)
    assert caught.value.code == 1007
