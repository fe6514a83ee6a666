"""WebSocket messages: what the reader takes, what it refuses, what the writer makes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.verdict import Reason
from interceptor.wire.websocket import Message, MessageReader, MessageWriter
from interceptor.wire.websocket_close import WebSocketError, close_payload, is_valid_code
from interceptor.wire.websocket_frames import Masks, Utf8, mask_payload
from tests.websocket_bytes import BINARY, CLOSE, PING, PONG, TEXT, Frame, read, write, xor

LIMIT = 100_000


def reader(*, masked: bool = True, limit: int = LIMIT) -> MessageReader:
    return MessageReader(masked=masked, limit=limit, fault=Reason.HTTP_MALFORMED)


def taken(data: bytes, *, masked: bool = True, size: int = 0) -> list[tuple[int, bytes]]:
    """Messages of `data`, fed in pieces of `size` bytes; whole for 0."""
    one = reader(masked=masked)
    found = []
    for at in range(0, len(data), size or len(data) or 1):
        found += list(one.feed(data[at : at + (size or len(data))]))
    return [(message.opcode, message.payload) for message in found]


def fault(data: bytes, *, masked: bool = True, size: int = 0, limit: int = LIMIT) -> WebSocketError:
    one = reader(masked=masked, limit=limit)
    for at in range(0, len(data), size or len(data)):
        try:
            list(one.feed(data[at : at + (size or len(data))]))
        except WebSocketError as error:
            return error
    pytest.fail("it was taken")


# -- masking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*range(9), 1023, 1024, 1025, 1026, 1027, 1028, 5000])
def test_masking_is_what_the_rfc_says(size: int) -> None:
    data = bytes(i * 7 & 255 for i in range(size))
    for mask in (b"\x00\x00\x00\x00", b"\x01\x02\x03\x04", b"\xff\x00\xff\x80"):
        assert mask_payload(data, mask) == xor(data, mask)
        assert mask_payload(mask_payload(data, mask), mask) == data


def test_masks_are_drawn_once_each() -> None:
    drawn: list[int] = []

    def random(size: int) -> bytes:
        drawn.append(size)
        return bytes(range(size)) if size < 256 else bytes(i & 255 for i in range(size))

    masks = Masks(random)
    got = [masks() for _ in range(130)]
    assert all(len(mask) == 4 for mask in got)
    assert len(set(got[:64])) == 64
    assert sum(drawn) >= 130 * 4


# -- reading -----------------------------------------------------------------------------------

CONVERSATION = (
    Frame(TEXT, b"hello"),
    Frame(PING, b"p"),
    Frame(BINARY, bytes(range(256)), fin=False),
    Frame(PONG, b"\xff" * 125),
    Frame(0, b"", fin=False),
    Frame(0, b"\x00" * 3000, fin=False),
    Frame(0, b"end"),
    Frame(TEXT, b""),
    Frame(TEXT, "κόσμε".encode()[:3], fin=False),
    Frame(0, "κόσμε".encode()[3:]),
    Frame(BINARY, b"z" * 70_000),
    Frame(CLOSE, close_payload(1000, "bye")),
)
SAID = [
    (TEXT, b"hello"),
    (PING, b"p"),
    (PONG, b"\xff" * 125),
    (BINARY, bytes(range(256)) + b"\x00" * 3000 + b"end"),
    (TEXT, b""),
    (TEXT, "κόσμε".encode()),
    (BINARY, b"z" * 70_000),
    (CLOSE, b"\x03\xe8bye"),
]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 7, 126, 131, 1000, 65_536])
def test_a_conversation_in_any_pieces(masked: bool, size: int) -> None:
    data = b"".join([write(frame, masked=masked) for frame in CONVERSATION])
    assert taken(data, masked=masked, size=size) == SAID


@pytest.mark.parametrize("masked", [True, False])
def test_cut_at_every_byte(masked: bool) -> None:
    frames = [frame for frame in CONVERSATION if len(frame.payload) < 1000]
    data = b"".join([write(frame, masked=masked) for frame in frames])
    whole = taken(data, masked=masked)
    for cut in range(len(data) + 1):
        one = reader(masked=masked)
        found = [*one.feed(data[:cut]), *one.feed(data[cut:])]
        assert [(message.opcode, message.payload) for message in found] == whole


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.binary(max_size=300), min_size=1, max_size=4)),
        max_size=5,
    ),
    st.lists(st.integers(1, 400), max_size=20),
    st.booleans(),
)
def test_any_fragments_in_any_pieces(
    messages: list[tuple[bool, list[bytes]]], cuts: list[int], masked: bool
) -> None:
    data = b""
    for ping, parts in messages:
        for i, part in enumerate(parts):
            frame = Frame(0 if i else BINARY, part, fin=i == len(parts) - 1)
            data += write(frame, masked=masked)
            if ping:
                data += write(Frame(PING, b"x"), masked=masked)
    one = reader(masked=masked)
    found: list[Message] = []
    ends = [0, *itertools.accumulate(cuts), len(data)]
    for start, end in itertools.pairwise(sorted(min(end, len(data)) for end in ends)):
        found += one.feed(data[start:end])
    said = [message.payload for message in found if message.opcode == BINARY]
    assert said == [b"".join(parts) for _, parts in messages]
    # Written again, the frames are no larger than they were and say the same.
    written = b"".join([MessageWriter(None).write(message) for message in found])
    assert taken(written, masked=False) == [(m.opcode, m.payload) for m in found]
    largest = max([len(part) for _, parts in messages for part in parts], default=0)
    assert all(len(f.payload) <= max(largest, 1) for f in read(written, masked=False))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), st.integers(1, 50), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, size: int, masked: bool) -> None:
    def outcome(step: int) -> tuple[list[tuple[int, bytes]], tuple[int, str] | None]:
        one = reader(masked=masked)
        found: list[tuple[int, bytes]] = []
        try:
            for at in range(0, len(data), step):
                for message in one.feed(data[at : at + step]):
                    found.append((message.opcode, message.payload))
        except WebSocketError as error:
            return found, (error.code, error.detail)
        return found, None

    assert outcome(size) == outcome(len(data) or 1)


# -- refusing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("opcode", [0, TEXT, BINARY, CLOSE, PING])
def test_masking_is_the_clients_duty_and_the_servers_ban(masked: bool, opcode: int) -> None:
    data = write(Frame(opcode, b""), masked=not masked)
    assert fault(data, masked=masked).code == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes(opcode: int) -> None:
    assert fault(write(Frame(opcode, b"x"), masked=True)).code == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
@pytest.mark.parametrize("rsv", range(1, 8))
def test_reserved_bits(opcode: int, rsv: int) -> None:
    assert fault(write(Frame(opcode, rsv=rsv), masked=True)).code == 1002


@pytest.mark.parametrize(
    "head",
    [
        b"\x82\x7e\x00\x00",  # 16 bits for what seven say
        b"\x82\x7e\x00\x7d",
        b"\x82\x7f" + (0).to_bytes(8, "big"),
        b"\x82\x7f" + (125).to_bytes(8, "big"),
        b"\x82\x7f" + (65_535).to_bytes(8, "big"),
        b"\x82\x7f" + (1 << 63).to_bytes(8, "big"),
        b"\x82\x7f" + b"\xff" * 8,
        b"\x89\x7e\x00\x7e",  # control frames
        b"\x89\x7f",
        b"\x88\x7e",
        b"\x09\x00",
        b"\x08\x00",
        b"\x0a\x00",
        b"\x80\x00",  # nothing to continue
        b"\x00\x00",
        b"\x01\x00\x01\x00",
        b"\x01\x00\x82\x00",
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_malformed_frames_are_refused_as_soon_as_they_are(head: bytes, size: int) -> None:
    error = fault(head, masked=False, size=size)
    assert (error.code, error.reason) == (1002, Reason.HTTP_MALFORMED)


@pytest.mark.parametrize(("size", "width"), [(125, 0), (126, 2), (65_535, 2), (65_536, 8)])
def test_lengths_at_their_borders(size: int, width: int) -> None:
    data = write(Frame(BINARY, b"x" * size), masked=False)
    assert len(data) == 2 + width + size
    assert taken(data, masked=False) == [(BINARY, b"x" * size)]


def test_a_message_over_the_limit_is_refused_by_its_head_alone() -> None:
    head = b"\x82\x7f" + (LIMIT + 1).to_bytes(8, "big")
    error = fault(head, masked=False)
    assert (error.code, error.reason) == (1009, Reason.LIMIT_EXCEEDED)
    huge = b"\x82\x7f" + ((1 << 63) - 1).to_bytes(8, "big")
    assert fault(huge, masked=False).code == 1009
    assert taken(write(Frame(BINARY, b"x" * LIMIT), masked=False), masked=False)


def test_fragments_over_the_limit_together() -> None:
    frames = [Frame(BINARY, b"x" * 60, fin=False), Frame(0, b"x" * 40, fin=False)]
    data = b"".join([write(frame, masked=True) for frame in frames])
    error = fault(data + write(Frame(0, b"x"), masked=True), limit=100)
    assert (error.code, error.reason) == (1009, Reason.LIMIT_EXCEEDED)
    one = reader(limit=100)
    for _ in range(3):  # the count begins anew with each message
        assert len(list(one.feed(data + write(Frame(0, b""), masked=True)))) == 1


def test_messages_before_a_fault_are_given() -> None:
    data = write(Frame(TEXT, b"one"), masked=True) + write(Frame(PING, b"two"), masked=True)
    one = reader()
    got: list[bytes] = []
    with pytest.raises(WebSocketError):  # noqa: PT012
        for message in one.feed(data + write(Frame(3), masked=True)):
            got.append(message.payload)
    assert got == [b"one", b"two"]


# -- closing -----------------------------------------------------------------------------------


def test_close_codes() -> None:
    valid = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(65_536) if is_valid_code(code)} == valid


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        (b"\x00\x00", 1002),
        (b"\x03\xed", 1002),
        (b"\x03\xee", 1002),
        (b"\x03\xf7", 1002),
        (b"\x13\x88", 1002),
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xe8\xce", 1007),
    ],
)
def test_bad_close_frames(payload: bytes, code: int) -> None:
    assert fault(write(Frame(CLOSE, payload), masked=True)).code == code


def test_close_reasons_are_cut_at_a_character() -> None:
    assert close_payload(1008) == b"\x03\xf0"
    assert close_payload(1008, "secret: x") == b"\x03\xf0secret: x"
    long = close_payload(1008, "é" * 100)
    assert len(long) == 2 + 122
    assert long[2:].decode() == "é" * 61
    frame = MessageWriter(None).close(1008, "x" * 500)
    assert read(frame, masked=False) == [Frame(CLOSE, b"\x03\xf0" + b"x" * 123)]


# -- UTF-8 -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)), st.data())
def test_utf8_in_pieces_is_what_python_says_of_the_whole(data: bytes, more: st.DataObject) -> None:
    cut = more.draw(st.integers(0, len(data)))
    check = Utf8(Reason.HTTP_MALFORMED)

    def accepts() -> bool:
        try:
            check.check(data[:cut], final=False)
            check.check(data[cut:], final=True)
        except WebSocketError:
            return False
        return True

    def decodes() -> bool:
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return True

    assert accepts() is decodes()


def test_utf8_fails_at_the_first_byte_that_cannot_belong() -> None:
    """Every start of a text is taken if some text starts so, and refused otherwise."""

    def hopeful(start: bytes) -> bool:
        tails = [
            bytes(t) for n in range(4) for t in itertools.product((0x80, 0x9F, 0xA0), repeat=n)
        ]
        return any(_decodes(start + tail + more) for tail in tails for more in (b"", b"\xbf"))

    lead = [0x00, 0x7F, 0x80, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF]
    then = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]
    for size in (0, 1, 2):
        for first in lead:
            for rest in itertools.product(then, repeat=size):
                start = bytes((first, *rest))
                check = Utf8(Reason.HTTP_MALFORMED)
                try:
                    for byte in start:
                        check.check(bytes((byte,)), final=False)
                except WebSocketError:
                    assert not hopeful(start), start
                else:
                    assert hopeful(start), start


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_utf8_of_a_large_text_in_one_piece() -> None:
    text = "wörter €𝄞 ".encode() * 60_000
    check = Utf8(Reason.HTTP_MALFORMED)
    check.check(text, final=True)
    with pytest.raises(WebSocketError):
        check.check(text[:-2] + b"\xff", final=True)


# -- writing -----------------------------------------------------------------------------------


def test_frames_to_a_server_are_masked_afresh() -> None:
    masks = iter([b"\x01\x02\x03\x04", b"\x05\x06\x07\x08"])
    writer = MessageWriter(lambda: next(masks))
    first = writer.write(Message(TEXT, b"same", b"same"))
    second = writer.write(Message(TEXT, b"same", b"same"))
    assert first != second
    assert first[2:6] == b"\x01\x02\x03\x04"
    assert read(first, masked=True) == read(second, masked=True) == [Frame(TEXT, b"same")]


def test_a_fragmented_message_keeps_to_the_size_of_its_frames() -> None:
    message = Message(TEXT, b"abcdefghij", b"0123456789", deflated=True, frame=4)
    assert read(MessageWriter(None).write(message), masked=False) == [
        Frame(TEXT, b"0123", fin=False, rsv=4),
        Frame(0, b"4567", fin=False),
        Frame(0, b"89"),
    ]
