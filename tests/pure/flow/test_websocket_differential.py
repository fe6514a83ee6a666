"""Against wsproto, an implementation of others: as both peers, and as an oracle for a reader."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed

from interceptor.decide.judge import Judge
from interceptor.flow.context import FlowContext
from interceptor.flow.websocket import WebSocketChannel, WebSocketUpgrade
from interceptor.model import Origin, Target
from interceptor.policy.schema import Limits, Policy
from interceptor.scan.engine import Scanner
from interceptor.scan.ruleset import load_rules
from interceptor.verdict import Reason
from interceptor.wire.http1 import read_request, read_response
from interceptor.wire.websocket import MessageReader
from interceptor.wire.websocket_close import WebSocketError
from tests.websocket_bytes import Frame as RawFrame
from tests.websocket_bytes import write

JUDGE = Judge(Policy(), Scanner.build(load_rules(), None), b"k" * 16)
ORIGIN = Origin("jail", "f1", "192.0.2.1", 443, "chat.example.com")
TARGET = Target("https", "chat.example.com", 443, "GET", "/socket")


def random(size: int) -> bytes:
    return bytes(i * 41 + 7 & 255 for i in range(size))


CONTEXT = FlowContext(ORIGIN, JUDGE, Limits(), lambda _address, _now: "", random)


def opened(
    offer: PerMessageDeflate | None, accepts: PerMessageDeflate | None
) -> tuple[WSConnection, WSConnection, WebSocketChannel]:
    """A client, a server and the channel between them, after a handshake through us."""
    agent = WSConnection(ConnectionType.CLIENT)
    server = WSConnection(ConnectionType.SERVER)
    extensions = [] if offer is None else [offer]
    asked = agent.send(Request("chat.example.com", "/socket", extensions=list(extensions)))
    found = read_request(asked, 10_000, 100)
    assert found is not None
    upgrade = WebSocketUpgrade(found[0])
    server.receive_data(upgrade.wire_head(b"/socket", b"chat.example.com"))
    assert any(isinstance(event, Request) for event in server.events())
    answer = server.send(AcceptConnection(extensions=[] if accepts is None else [accepts]))
    got = read_response(answer, "GET", 10_000, 100)
    assert got is not None
    channel = upgrade.channel(got[0], CONTEXT, TARGET)
    agent.receive_data(answer)
    assert any(isinstance(event, AcceptConnection) for event in agent.events())
    return agent, server, channel


EXTENSION = st.one_of(
    st.none(),
    st.builds(
        PerMessageDeflate,
        st.booleans(),
        st.sampled_from((9, 12, 15)),
        st.booleans(),
        st.sampled_from((9, 12, 15)),
    ),
)
TEXTS = st.text(max_size=200).map(lambda text: text * 3)
EVENTS = st.lists(
    st.one_of(
        st.builds(TextMessage, TEXTS, st.just(True), st.booleans()),
        st.builds(BytesMessage, st.binary(max_size=300), st.just(True), st.booleans()),
        st.builds(Ping, st.binary(max_size=125)),
        st.builds(Pong, st.binary(max_size=125)),
    ),
    max_size=8,
)


def joined(events: list[Event]) -> list[Event]:
    """Events with the parts of a message joined; control frames before it."""
    out: list[Event] = []
    texts: list[str] = []
    parts: list[bytes] = []
    for event in events:
        if isinstance(event, Ping | Pong):
            out.append(type(event)(bytes(event.payload)))
        elif isinstance(event, TextMessage):
            texts.append(event.data)
            if event.message_finished:
                out.append(TextMessage("".join(texts)))
                texts = []
        elif isinstance(event, BytesMessage):
            parts.append(bytes(event.data))
            if event.message_finished:
                out.append(BytesMessage(b"".join(parts)))
                parts = []
    return out


@settings(deadline=None, max_examples=60)
@given(EXTENSION, EXTENSION, EVENTS, EVENTS, st.lists(st.integers(1, 200), max_size=10))
def test_what_one_peer_says_the_other_hears(
    offer: PerMessageDeflate | None,
    accepts: PerMessageDeflate | None,
    asked: list[Event],
    answered: list[Event],
    cuts: list[int],
) -> None:
    agent, server, channel = opened(offer, accepts)
    for events, peer, other, from_agent in (
        (asked, agent, server, True),
        (answered, server, agent, False),
    ):
        said = in_parts(events)
        data = b"".join([peer.send(event) for event in said])
        ends = sorted({0, len(data), *(min(end, len(data)) for end in itertools.accumulate(cuts))})
        for start, end in itertools.pairwise(ends):
            piece = data[start:end]
            passed = channel.from_client(piece) if from_agent else channel.from_upstream(piece)
            assert not passed.over
            assert not passed.records
            other.receive_data(passed.to_upstream if from_agent else passed.to_client)
        assert joined(list(other.events())) == joined(said)
    end_of(agent, server, channel)


def in_parts(events: list[Event]) -> list[Event]:
    """Cut the messages that are marked as not finished in two, a ping between the parts."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, Message) and not event.message_finished:
            middle = len(event.data) // 2
            kind = type(event)
            out.append(kind(event.data[:middle], message_finished=False))
            out.append(Ping(b"between"))
            out.append(kind(event.data[middle:]))
        else:
            out.append(event)
    return out


def end_of(agent: WSConnection, server: WSConnection, channel: WebSocketChannel) -> None:
    """The closing handshake, through us."""
    passed = channel.from_client(agent.send(CloseConnection(1001, "done")))
    server.receive_data(passed.to_upstream)
    (event,) = server.events()
    assert event == CloseConnection(1001, "done")
    passed = channel.from_upstream(server.send(event.response()))
    assert passed.over
    agent.receive_data(passed.to_client)
    assert isinstance(next(iter(agent.events())), CloseConnection)
    assert agent.state is server.state is ConnectionState.CLOSED


# -- as an oracle ------------------------------------------------------------------------------

FRAMES = st.builds(
    RawFrame,
    st.one_of(st.sampled_from((0, 1, 2, 8, 9, 10)), st.integers(0, 15)),
    st.one_of(st.binary(max_size=140), st.text(max_size=20).map(str.encode)),
    st.sampled_from((True, True, True, False)),
    st.sampled_from((0, 0, 0, 0, 0, 1, 4)),
)


@settings(deadline=None, max_examples=500)
@given(
    st.lists(FRAMES, max_size=5),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    st.integers(1, 300),
)
def test_the_reader_takes_what_wsproto_takes(
    frames: list[RawFrame], masked: bool, flips: list[tuple[int, int]], size: int
) -> None:
    data = bytearray(b"".join([write(frame, masked=masked) for frame in frames]))
    for at, value in flips:
        if at < len(data):
            data[at] = value
    heard, code = ours(bytes(data), masked, size)
    expected, expected_code, unfinished = theirs(bytes(data), masked, size)
    assert heard == expected
    # wsproto asks whether a fragment is in order when its payload comes; the header is enough.
    assert code == expected_code or (code == 1002 and not expected_code and unfinished)


Heard = tuple[list[tuple[int, bytes]], int]
"""Messages and control frames, and the close code of the fault or 0."""


def ours(data: bytes, masked: bool, size: int) -> Heard:
    reader = MessageReader(masked=masked, limit=1 << 62, fault=Reason.HTTP_MALFORMED)
    found: list[tuple[int, bytes]] = []
    try:
        for at in range(0, len(data), size):
            for message in reader.feed(data[at : at + size]):
                payload = message.payload
                if message.opcode == 8 and payload[:2] == b"\x03\xf6":
                    return found, 1002  # 1014 is registered; wsproto does not know it
                found.append((message.opcode, payload))
                if message.opcode == 8:
                    return found, 0
    except WebSocketError as error:
        return found, error.code
    return found, 0


def theirs(data: bytes, masked: bool, size: int) -> tuple[list[tuple[int, bytes]], int, bool]:
    oracle = FrameProtocol(client=not masked, extensions=[])
    found: list[tuple[int, bytes]] = []
    parts: list[bytes] = []
    try:
        for at in range(0, len(data), size):
            oracle.receive_bytes(data[at : at + size])
            for frame in oracle.received_frames():
                payload = _plain(frame)
                if frame.opcode.iscontrol():
                    found.append((int(frame.opcode), payload))
                    if frame.opcode is Opcode.CLOSE:
                        return found, 0, False
                    continue
                parts.append(payload)
                if frame.frame_finished and frame.message_finished:
                    found.append((int(frame.opcode), b"".join(parts)))
                    parts = []
    except ParseFailed as error:
        return found, int(error.code), False
    waits = oracle._frame_decoder
    return found, 0, waits.header is not None or len(waits.buffer) > 0  # within a header, too


def _plain(frame: Frame) -> bytes:
    payload = frame.payload
    if isinstance(payload, tuple):
        code, reason = payload
        return b"" if code == 1005 else int(code).to_bytes(2, "big") + reason.encode()
    return payload.encode() if isinstance(payload, str) else bytes(payload)
