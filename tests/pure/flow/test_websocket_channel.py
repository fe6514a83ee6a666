"""A WebSocket through the channel: what passes, what ends it, and no secret in any cut."""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Callable, Iterator

import pytest

from interceptor.decide.judge import Judge
from interceptor.decide.memory import SplitMemory
from interceptor.flow.channel import NOTHING, Channel, Passed, Upgrade
from interceptor.flow.context import FlowContext
from interceptor.flow.websocket import WebSocketChannel, WebSocketUpgrade
from interceptor.model import Kind, Origin, Target
from interceptor.policy.loading import load
from interceptor.policy.schema import Limits, Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import example, load_rules
from interceptor.scan.window import HOLD
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.http1 import HttpError, read_request, read_response
from interceptor.wire.websocket_deflate import Deflate
from interceptor.wire.websocket_handshake import accept_of
from tests.websocket_bytes import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Deflater,
    Frame,
    deflate,
    read,
    write,
)

SCANNER = Scanner.build(load_rules(), None)
BLOCKING = Judge(Policy(), SCANNER, b"k" * 16)
RECORDING = Judge(load(None, "audit"), SCANNER, b"k" * 16)
TARGET = Target("https", "chat.example.com", 443, "GET", "/socket")
SECRET = example(["gh", "p_", "{alnum:30}", "{crc32:6}"], "channel")
LIMITS = Limits(message_bytes=200_000)


def random(size: int) -> bytes:
    return bytes(i * 37 + 11 & 255 for i in range(size))


class Injection:
    """A window for what comes back that blocks one word."""

    def judge(self, message: bytes) -> Verdict | None:
        if b"IGNORE ALL" in message:
            return Verdict(Action.BLOCK, Reason.INJECTION, "override")
        return None


class Pair:
    """The agent and upstream with a channel between them; each notes the frames it gets."""

    def __init__(
        self,
        judge: Judge = BLOCKING,
        agreed: Deflate | None = None,
        limits: Limits = LIMITS,
        *,
        inbound: Injection | None = None,
    ) -> None:
        # Every pair is an agent of its own, with a past of its own.
        for one in (BLOCKING, RECORDING):
            one.memory = SplitMemory(SCANNER, b"k" * 16)
        self.channel = WebSocketChannel(judge, TARGET, limits, random, agreed, inbound)
        self.upstream = b""
        self.agent = b""
        self.records: list[tuple[Verdict, Kind]] = []
        self.over = False

    def took(self, passed: Passed) -> Pair:
        assert not (self.over and (passed.to_client or passed.to_upstream))
        self.upstream += passed.to_upstream
        self.agent += passed.to_client
        self.records += passed.records
        self.over = self.over or passed.over
        return self

    def say(self, *frames: Frame, size: int = 0) -> Pair:
        data = b"".join([write(frame, masked=True) for frame in frames])
        for at in range(0, len(data), size or len(data)):
            self.took(self.channel.from_client(data[at : at + (size or len(data))]))
        return self

    def reply(self, *frames: Frame, size: int = 0) -> Pair:
        data = b"".join([write(frame, masked=False) for frame in frames])
        for at in range(0, len(data), size or len(data)):
            self.took(self.channel.from_upstream(data[at : at + (size or len(data))]))
        return self

    @property
    def sent(self) -> list[Frame]:
        return read(self.upstream, masked=True)

    @property
    def received(self) -> list[Frame]:
        return read(self.agent, masked=False)

    @property
    def reasons(self) -> list[Reason]:
        assert all(kind is Kind.WS_MESSAGE for _, kind in self.records)
        return [verdict.reason for verdict, _ in self.records]


def code(frame: Frame) -> int:
    assert frame.opcode == CLOSE
    return int.from_bytes(frame.payload[:2], "big")


# -- passing -----------------------------------------------------------------------------------


def test_messages_pass_both_ways() -> None:
    pair = Pair()
    frames = [Frame(TEXT, b"hello"), Frame(BINARY, bytes(range(256)) * 4), Frame(TEXT, b"")]
    frames += [Frame(PING, b"p"), Frame(PONG, b""), Frame(BINARY, b"x" * 70_000)]
    pair.say(*frames).reply(*reversed(frames))
    assert pair.sent == frames
    assert pair.received == frames[::-1]
    assert pair.channel.sent == pair.channel.received == sum(len(f.payload) for f in frames)
    assert not pair.over
    assert pair.records == []
    assert pair.channel.reason == ""


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_in_any_pieces(size: int) -> None:
    frames = [Frame(TEXT, b"ab", fin=False), Frame(PING, b"!"), Frame(0, b"cdef" * 80), Frame(9)]
    pair = Pair().say(*frames, size=size).reply(*frames, size=size)
    expected = [Frame(PING, b"!"), Frame(TEXT, (b"ab" + b"cdef" * 80)[:320], fin=False)]
    expected += [Frame(0, b"ef"), Frame(PING)]
    assert pair.sent == pair.received == expected


def test_a_message_leaves_whole_or_not_at_all() -> None:
    pair = Pair()
    data = write(Frame(BINARY, b"x" * 5000), masked=True)
    for cut in range(0, len(data) - 1, 500):
        pair.took(pair.channel.from_client(data[cut : min(cut + 500, len(data) - 1)]))
        assert pair.upstream == b""
    pair.took(pair.channel.from_client(data[-1:]))
    assert pair.sent == [Frame(BINARY, b"x" * 5000)]


def test_masks_are_new_for_each_frame() -> None:
    pair = Pair().say(*[Frame(TEXT, b"same")] * 64)
    masks = {pair.upstream[at + 2 : at + 6] for at in range(0, len(pair.upstream), 10)}
    assert len(masks) == 64


@pytest.mark.parametrize("takeover", [True, False])
def test_deflated_messages_go_on_as_they_came(takeover: bool) -> None:
    agreed = Deflate(not takeover, not takeover)
    pair = Pair(agreed=agreed)
    z: Callable[[bytes], bytes] = Deflater() if takeover else deflate
    wires = [z(b"some words, some words again" * 5) for _ in range(3)]
    frames = [Frame(TEXT, wires[0], rsv=4), Frame(TEXT, b"plain"), Frame(TEXT, wires[1], rsv=4)]
    frames += [Frame(BINARY, wires[2][:9], fin=False, rsv=4), Frame(0, wires[2][9:])]
    pair.say(*frames).reply(*frames)
    for got in (pair.sent, pair.received):
        assert got[:3] == frames[:3]
        assert b"".join(frame.payload for frame in got[3:]) == wires[2]
    assert pair.channel.sent == 140 * 3 + 5


def test_each_direction_has_its_own_parameters() -> None:
    z = Deflater()
    words = b"".join([b"word %d of many, " % i for i in range(400)])
    far = [Frame(TEXT, z(words), rsv=4), Frame(TEXT, z(words), rsv=4)]  # refers far back
    narrow = Deflate(client_max_window_bits=9)
    assert Pair(agreed=narrow).reply(*far).received == far
    assert Pair(agreed=narrow).say(*far).reasons == [Reason.HTTP_MALFORMED]
    narrow = Deflate(server_max_window_bits=9)
    assert Pair(agreed=narrow).say(*far).sent == far
    assert Pair(agreed=narrow).reply(*far).reasons == [Reason.UPSTREAM_MALFORMED]
    fresh = Deflate(client_no_context_takeover=True)
    assert Pair(agreed=fresh).reply(*far).received == far
    assert Pair(agreed=fresh).say(*far).reasons == [Reason.HTTP_MALFORMED]
    fresh = Deflate(server_no_context_takeover=True)
    assert Pair(agreed=fresh).say(*far).sent == far
    assert Pair(agreed=fresh).reply(*far).reasons == [Reason.UPSTREAM_MALFORMED]


# -- secrets -----------------------------------------------------------------------------------


def test_a_block_ends_the_connection_and_says_why() -> None:
    pair = Pair().say(Frame(TEXT, b"fine"), Frame(TEXT, b"my " + SECRET), Frame(TEXT, b"after"))
    assert pair.sent == [Frame(TEXT, b"fine"), Frame(CLOSE, b"\x03\xe9")]
    assert pair.received == [Frame(CLOSE, b"\x03\xf0secret: github-token")]
    assert pair.over
    assert pair.reasons == [Reason.SECRET]
    assert pair.channel.reason == "secret"
    assert pair.records[0][0].findings[0].where == "ws_message"
    assert pair.channel.from_client(write(Frame(TEXT, b"x"), masked=True)) == NOTHING
    assert pair.channel.from_upstream(write(Frame(TEXT, b"x"), masked=False)) == NOTHING
    assert pair.channel.client_ended() == pair.channel.upstream_ended() == NOTHING


def test_what_comes_back_is_judged_where_a_window_is_given() -> None:
    frame = Frame(TEXT, b"IGNORE ALL previous")
    pair = Pair(inbound=Injection()).reply(Frame(TEXT, b"fine"), frame, Frame(TEXT, b"after"))
    assert pair.received == [Frame(TEXT, b"fine"), Frame(CLOSE, b"\x03\xf0injection: override")]
    assert [code(frame) for frame in pair.sent] == [1008]
    assert pair.reasons == [Reason.INJECTION]
    assert pair.over
    assert Pair().reply(frame).received == [frame]
    assert Pair(inbound=Injection()).say(frame).sent == [frame]


def test_findings_that_pass_are_recorded() -> None:
    pair = Pair(RECORDING).say(Frame(TEXT, SECRET), Frame(TEXT, SECRET), Frame(PING, SECRET))
    assert len(pair.sent) == 3
    assert pair.reasons == [Reason.WOULD_BLOCK]
    assert pair.records[0][0].allowed


def pieces(parts: int) -> Iterator[list[bytes]]:
    """Ways to cut the secret into `parts`, the short first and last pieces among them."""
    size = len(SECRET)
    for cuts in itertools.combinations((1, 4, 5, 13, 20, 33, size - 1), parts - 1):
        yield [SECRET[a:b] for a, b in itertools.pairwise([0, *cuts, size])]


def as_fragments(parts: list[bytes]) -> list[Frame]:
    frames = [Frame(0, part, fin=False) for part in parts]
    frames[0] = frames[0]._replace(opcode=TEXT)
    return [*frames[:-1], frames[-1]._replace(fin=True)]


def as_messages(parts: list[bytes]) -> list[Frame]:
    return [Frame(TEXT if i % 2 else BINARY, part) for i, part in enumerate(parts)]


def as_pings(parts: list[bytes]) -> list[Frame]:
    return [Frame(PONG if i % 2 else PING, part) for i, part in enumerate(parts)]


def as_fragments_between_pings(parts: list[bytes]) -> list[Frame]:
    return [f for frame in as_fragments(parts) for f in (frame, Frame(PING, b"keep alive"))]


def as_messages_between_pings(parts: list[bytes]) -> list[Frame]:
    return [f for frame in as_messages(parts) for f in (frame, Frame(PING, b"\x99\x12\xaa\x01"))]


def as_pings_between_messages(parts: list[bytes]) -> list[Frame]:
    return [f for frame in as_pings(parts) for f in (frame, Frame(TEXT, b"[1, 2]"))]


def as_messages_and_pings(parts: list[bytes]) -> list[Frame]:
    return [Frame((TEXT, PING)[i % 2], part) for i, part in enumerate(parts)]


def as_messages_and_a_close(parts: list[bytes]) -> list[Frame]:
    return [*as_messages(parts[:-1]), Frame(CLOSE, b"\x03\xe8" + parts[-1])]


def as_pings_and_a_close(parts: list[bytes]) -> list[Frame]:
    return [*as_pings(parts[:-1]), Frame(CLOSE, b"\x03\xe8" + parts[-1])]


def deflated(parts: list[bytes]) -> list[Frame]:
    z = Deflater()
    return [Frame(TEXT, z(part), rsv=4) for part in parts]


def deflated_in_fragments(parts: list[bytes]) -> list[Frame]:
    wire = Deflater()(b"".join(parts))
    step = len(wire) // len(parts)
    cut = [wire[i * step : (i + 1) * step] for i in range(len(parts) - 1)]
    frames = as_fragments([*cut, wire[len(cut) * step :]])
    return [frames[0]._replace(rsv=4), *frames[1:]]


def some_deflated(parts: list[bytes]) -> list[Frame]:
    z = Deflater()
    return [
        Frame(TEXT, part) if i % 2 else Frame(TEXT, z(part), rsv=4) for i, part in enumerate(parts)
    ]


WAYS = [
    *(as_fragments, as_messages, as_pings, as_fragments_between_pings, as_messages_between_pings),
    *(as_pings_between_messages, as_messages_and_pings, as_messages_and_a_close),
    *(as_pings_and_a_close, deflated, deflated_in_fragments, some_deflated),
]


def heard(frames: list[Frame]) -> list[bytes]:
    """What a receiver may put together: messages, control frames, all; deflated or plain."""
    z = zlib.decompressobj(-15)
    plain: list[tuple[int, bytes]] = []
    packed = False
    for frame in frames:
        payload = frame.payload[2:] if frame.opcode == CLOSE else frame.payload
        if frame.opcode < CLOSE:
            packed = bool(frame.rsv) or (packed and frame.opcode == 0)
            if packed:
                payload = z.decompress(payload + (b"\x00\x00\xff\xff" if frame.fin else b""))
        plain.append((frame.opcode, payload))
    return [
        b"".join([payload for opcode, payload in plain if opcode < CLOSE]),
        b"".join([payload for opcode, payload in plain if opcode >= CLOSE]),
        b"".join([payload for _, payload in plain]),
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("parts", [2, 3, 4, 5])
@pytest.mark.parametrize("before", [b"", b"hello", b"w" * 2 * HOLD])
def test_a_cut_secret_is_never_complete_upstream(
    way: Callable[[list[bytes]], list[Frame]], parts: int, before: bytes
) -> None:
    for cut in pieces(parts):
        frames = [Frame(TEXT, before), *way(cut)]
        pair = Pair(agreed=Deflate()).say(*frames)
        assert {Reason.SECRET, Reason.SPLIT_SECRET} & set(pair.reasons)
        assert pair.over
        assert [code(frame) for frame in pair.received] == [1008]
        assert code(pair.sent[-1]) == 1001
        assert all(SECRET not in said for said in heard(pair.sent))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("parts", [2, 5])
def test_the_same_cuts_pass_where_findings_are_recorded(
    way: Callable[[list[bytes]], list[Frame]], parts: int
) -> None:
    for cut in pieces(parts):
        pair = Pair(RECORDING, Deflate()).say(*way(cut))
        assert any(SECRET in said for said in heard(pair.sent))
        assert all(verdict.allowed for verdict, _ in pair.records)
        assert pair.records


@pytest.mark.parametrize("way", [as_fragments, as_messages_between_pings, deflated])
def test_wherever_the_reads_are_cut(way: Callable[[list[bytes]], list[Frame]]) -> None:
    frames = way([SECRET[:9], SECRET[9:25], SECRET[25:]])
    data = b"".join([write(frame, masked=True) for frame in frames])
    for cut in range(len(data) + 1):
        pair = Pair(agreed=Deflate())
        pair.took(pair.channel.from_client(data[:cut]))
        pair.took(pair.channel.from_client(data[cut:]))
        assert pair.reasons in ([Reason.SECRET], [Reason.SPLIT_SECRET])
        assert all(SECRET not in said for said in heard(pair.sent))


def test_the_whole_order_is_forgotten_when_it_no_longer_differs() -> None:
    pair = Pair().say(Frame(PING, b"x"), Frame(TEXT, b"y" * HOLD), Frame(TEXT, SECRET[:5]))
    spoken = pair.channel._out._window
    assert spoken is not None
    assert spoken._all is None  # type: ignore[union-attr]
    pair.say(Frame(PING, SECRET[5:9]), Frame(TEXT, SECRET[9:]))
    assert pair.reasons == [Reason.SECRET]


# -- the end -----------------------------------------------------------------------------------


def test_the_closing_handshake_begun_by_the_agent() -> None:
    half = Pair().say(Frame(TEXT, b"a"), Frame(CLOSE, b"\x03\xe8bye"), Frame(TEXT, b"late"))
    assert half.sent == [Frame(TEXT, b"a"), Frame(CLOSE, b"\x03\xe8bye")]
    assert not half.over
    pair = half.reply(Frame(TEXT, b"still here"), Frame(CLOSE, b"\x03\xe8"), Frame(TEXT, b"late"))
    assert pair.received == [Frame(TEXT, b"still here"), Frame(CLOSE, b"\x03\xe8")]
    assert pair.over
    assert pair.channel.reason == ""
    assert pair.records == []


def test_the_closing_handshake_begun_by_upstream() -> None:
    pair = Pair().reply(Frame(CLOSE, b"")).say(Frame(PONG, b"p"), Frame(CLOSE, b""))
    assert pair.received == [Frame(CLOSE)]
    assert pair.sent == [Frame(PONG, b"p"), Frame(CLOSE)]
    assert pair.over
    assert pair.channel.reason == ""


def test_a_side_that_just_goes() -> None:
    pair = Pair()
    assert pair.channel.client_ended() == Passed(over=True)
    assert pair.channel.reason == "client_closed"
    pair = Pair()
    assert pair.channel.upstream_ended() == Passed(over=True)
    assert pair.channel.reason == "upstream_closed"
    assert pair.channel.from_client(write(Frame(TEXT, b"x"), masked=True)) == NOTHING
    pair = Pair().say(Frame(CLOSE))
    assert pair.channel.upstream_ended() == Passed(over=True)
    assert pair.channel.reason == ""


@pytest.mark.parametrize(
    ("frame", "to_culprit", "reason"),
    [
        (Frame(3), 1002, None),
        (Frame(TEXT, b"\xff"), 1007, None),
        (Frame(CLOSE, b"x"), 1002, None),
        (Frame(TEXT, b"\xff" * 8, rsv=4), 1007, None),
        (Frame(BINARY, b"x" * 200_001), 1009, Reason.LIMIT_EXCEEDED),
        (Frame(BINARY, deflate(bytes(200_001)), rsv=4), 1009, Reason.LIMIT_EXCEEDED),
        (Frame(BINARY, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", rsv=4), 1007, Reason.INCOMPLETE),
    ],
)
def test_whose_fault_it_is(frame: Frame, to_culprit: int, reason: Reason | None) -> None:
    pair = Pair(agreed=Deflate()).say(Frame(TEXT, b"before"), frame)
    assert pair.reasons == [reason or Reason.HTTP_MALFORMED]
    assert pair.channel.reason == pair.reasons[0].value
    assert [code(frame) for frame in pair.received] == [to_culprit]
    assert pair.received[0].payload[2:].decode() == pair.channel.reason
    assert pair.sent == [Frame(TEXT, b"before"), Frame(CLOSE, b"\x03\xe9")]
    assert pair.over
    pair = Pair(agreed=Deflate()).reply(Frame(TEXT, b"before"), frame)
    assert pair.reasons == [reason or Reason.UPSTREAM_MALFORMED]
    assert [code(frame) for frame in pair.sent] == [to_culprit]
    assert pair.sent[0].payload[2:] == b""
    assert pair.received[0] == Frame(TEXT, b"before")
    assert [code(frame) for frame in pair.received[1:]] == [1011]
    assert pair.over


def test_no_second_close_frame() -> None:
    pair = Pair().say(Frame(CLOSE, b"\x03\xe8")).reply(Frame(3))
    assert [code(frame) for frame in pair.sent] == [1000]
    assert [code(frame) for frame in pair.received] == [1011]
    pair = Pair().reply(Frame(CLOSE, b"\x03\xe8")).say(Frame(TEXT, SECRET))
    assert [code(frame) for frame in pair.received] == [1000]
    assert [code(frame) for frame in pair.sent] == [1001]
    assert pair.over


def test_an_exception_of_the_judge_is_not_swallowed() -> None:
    class Broken:
        def judge(self, message: bytes) -> Verdict | None:
            raise RuntimeError

    channel = WebSocketChannel(BLOCKING, TARGET, LIMITS, random, None, Broken())
    with pytest.raises(RuntimeError):
        channel.from_upstream(write(Frame(TEXT, b"x"), masked=False))


def test_memory_of_an_idle_connection() -> None:
    pair = Pair()
    for _ in range(50):
        pair.say(Frame(TEXT, b"x y " * 5000), Frame(PING, b"1234"))
        pair.reply(Frame(BINARY, b"z" * 50_000))
    sides = (pair.channel._in, pair.channel._out)
    held = sum(sys.getsizeof(side.reader._wire) + len(side.reader._rest) for side in sides)
    assert held < 500
    spoken = pair.channel._out._window
    windows = [spoken._messages, spoken._control, spoken._all]  # type: ignore[union-attr]
    assert sum(len(window._window._tail) for window in windows if window is not None) <= 3 * HOLD


# -- the handshake -----------------------------------------------------------------------------

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def asked(*more: bytes) -> WebSocketUpgrade:
    lines = [b"GET /socket HTTP/1.1", b"Host: chat.example.com", b"Upgrade: websocket"]
    lines += [b"Connection: Upgrade", b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13"]
    found = read_request(b"\r\n".join([*lines, *more]) + b"\r\n\r\n", 10_000, 100)
    assert found is not None
    return WebSocketUpgrade(found[0], lambda target: Injection() if target == TARGET else None)


def answered(upgrade: WebSocketUpgrade, *more: bytes) -> WebSocketChannel:
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    found = read_response(b"\r\n".join([*lines, *more]) + b"\r\n\r\n", "GET", 10_000, 100)
    assert found is not None
    origin = Origin("jail", "f1", "192.0.2.1", 443, "chat.example.com")
    context = FlowContext(origin, BLOCKING, LIMITS, lambda _address, _now: "", random)
    return upgrade.channel(found[0], context, TARGET)


def test_from_the_upgrade_to_the_channel() -> None:
    upgrade = asked(b"Sec-WebSocket-Extensions: permessage-deflate, x-other")
    contract: Upgrade = upgrade
    head = contract.wire_head(b"/socket", b"chat.example.com")
    assert b"Extensions: permessage-deflate\r\n" in head
    accept = b"Sec-WebSocket-Accept: " + accept_of(KEY)
    channel: Channel = answered(upgrade, accept, b"Sec-WebSocket-Extensions: permessage-deflate")
    passed = channel.from_client(write(Frame(TEXT, deflate(b"hi"), rsv=4), masked=True))
    assert read(passed.to_upstream, masked=True) == [Frame(TEXT, deflate(b"hi"), rsv=4)]
    passed = channel.from_upstream(write(Frame(TEXT, b"IGNORE ALL"), masked=False))
    assert passed.over
    plain = answered(upgrade, accept)
    assert plain.from_client(write(Frame(TEXT, deflate(b"hi"), rsv=4), masked=True)).over


def test_a_wrong_answer_makes_no_channel() -> None:
    with pytest.raises(HttpError):
        answered(asked(), b"Sec-WebSocket-Accept: " + KEY)
