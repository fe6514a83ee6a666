"""Frames of Initial packets: the ClientHello put together from any pieces, in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire import quic_frames
from interceptor.wire.quic import QuicError
from interceptor.wire.quic_frames import HelloStream
from interceptor.wire.tls_hello import HelloError
from tests.quic_packets import crypto, hello, pieces, varint

HELLO = hello("api.example.com", "h3", padding=1200)


def read(*payloads: bytes) -> HelloStream:
    stream = HelloStream()
    for payload in payloads:
        stream.feed(payload)
    return stream


def name(stream: HelloStream) -> str | None:
    found = stream.hello()
    return None if found is None else found.server_name


def test_one_frame() -> None:
    found = read(crypto(HELLO) + bytes(500)).hello()
    assert found is not None
    assert (found.server_name, found.alpn, found.versions) == (
        "api.example.com",
        ("h3",),
        (0x0304,),
    )
    assert read(crypto(HELLO)).message() == HELLO


def test_shuffled_pieces_with_pings_and_padding_over_two_packets() -> None:
    """What Chromium sends: a post-quantum hello in two datagrams, "chaos protected"."""
    cut = pieces(HELLO, 3, 100, 101, 700, 1200)
    first = bytes(7) + cut[4] + b"\1" + cut[0] + bytes(30) + cut[2]
    second = cut[5] + bytes(3) + b"\1\1" + cut[3] + bytes(99) + cut[1]
    stream = read(first)
    assert stream.hello() is None
    stream.feed(second)
    assert name(stream) == "api.example.com"


@given(st.data())
def test_any_cuts_in_any_order_with_repetitions(data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(HELLO) - 1), max_size=30)))
    frames = data.draw(st.permutations(pieces(HELLO, *cuts)))
    more = data.draw(st.lists(st.sampled_from(frames), max_size=5))
    extra = data.draw(st.sampled_from([b"", b"\0\0\0", b"\1", b"\2\1\0\0\0"]))
    stream = HelloStream()
    for frame in frames[:-1]:
        stream.feed(extra + frame)
    for frame in more:
        stream.feed(frame)
    stream.feed(frames[-1])
    assert name(stream) == "api.example.com"
    assert stream.message() == HELLO


def test_byte_by_byte() -> None:
    stream = HelloStream()
    small = hello()
    for at in range(len(small)):
        assert stream.hello() is None
        stream.feed(crypto(small[at : at + 1], at))
    assert name(stream) == "api.example.com"


def test_overlaps() -> None:
    small = hello()
    stream = read(crypto(small[50:80], 50), crypto(small[20:60], 20), crypto(small[70:], 70))
    assert stream.hello() is None
    stream.feed(crypto(small[:30]))
    assert stream.message() == small


def test_what_follows_the_hello_is_left_alone() -> None:
    assert read(crypto(hello() + b"\x0b\0\0\0")).message() == hello()


def test_an_acknowledgement_and_a_close() -> None:
    ack = b"\2" + varint(70_000) + varint(9) + varint(2) + b"\1" + b"\2\3\4\5"
    ecn = b"\3\1\0\0\0" + b"\7\0" + varint(1 << 40)
    stream = read(ack + ecn + crypto(hello()))
    assert (name(stream), stream.closed) == ("api.example.com", False)
    stream = read(b"\x1c\0\0\0" + b"whatever")
    assert (stream.hello(), stream.closed) == (None, True)


@pytest.mark.parametrize(
    ("payload", "match"),
    [
        (crypto(b"\2\0\0\0"), "does not begin"),
        (crypto(b"\1\1\0\0"), "longer"),
        (crypto(b"x" * 9, quic_frames.MAX_HELLO), "longer"),
        (crypto(b"x", 1 << 61), "longer"),
        (b"\x06\0\x44\xff" + b"x" * 9, "runs over"),
        (b"\x08stream", "may not hold"),
        (b"\x40\x1e", "may not hold"),
        (b"\2\0\0" + varint(1 << 61) + b"\0", "ranges"),
        (b"\2\0\0\x05\0", "missing"),
        (b"\x06", "missing"),
        (b"\1" * 257, "frames"),
        (b"\1\0" * 129, "frames"),
        (b"".join(crypto(b"x", 2 * at + 1) for at in range(150)) * 2, "frames"),
    ],
)
def test_what_has_no_place_there(payload: bytes, match: str) -> None:
    with pytest.raises(QuicError, match=match):
        read(payload).hello()


def test_pieces_that_wait_are_few() -> None:
    stream = HelloStream()
    with pytest.raises(QuicError, match="too many pieces"):  # noqa: PT012
        for at in range(quic_frames.MAX_PIECES + 1):
            stream.feed(crypto(b"x", 2 * at + 1))
    stream = HelloStream()
    with pytest.raises(QuicError, match="too many pieces"):  # noqa: PT012
        for _ in range(40):
            stream.feed(crypto(b"x" * 1000, 1))


def test_a_hello_as_long_as_allowed() -> None:
    longest = hello(padding=quic_frames.MAX_HELLO - len(hello()))
    assert len(longest) == quic_frames.MAX_HELLO
    stream = HelloStream()
    for frame in reversed(pieces(longest, *range(1000, len(longest), 1000))):
        stream.feed(frame)
    assert name(stream) == "api.example.com"


def test_a_hello_that_cannot_be_read_says_why() -> None:
    with pytest.raises(HelloError, match="host name"):
        read(crypto(hello("not a name!"))).hello()
    with pytest.raises(HelloError):
        read(crypto(b"\1\0\0\2\3\3")).hello()


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_any_frames_are_read_or_an_error(payloads: list[bytes]) -> None:
    try:
        read(*payloads).hello()
    except (QuicError, HelloError):
        return


@given(st.integers(0, len(HELLO) + 3), st.integers(0, 255))
def test_a_damaged_hello_is_read_or_an_error(at: int, value: int) -> None:
    frame = bytearray(crypto(HELLO))
    frame[at] = value
    try:
        read(bytes(frame)).hello()
    except (QuicError, HelloError):
        return
