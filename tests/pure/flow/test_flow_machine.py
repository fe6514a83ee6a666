"""Everything at once, in any order: a machine drives one flow, `tests.flow_world` keeps the books.

The agent speaks HTTP/1.1 (with CONNECT, WebSocket, gRPC-Web) or HTTP/2 (with gRPC), honestly or
not, in reads cut anywhere; upstreams of both versions answer, break, reset and go away; lanes fail
and fill up; time passes; evidence cannot be written. What must hold is asserted after every step.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http1 import Framing, RequestHead, chunk
from interceptor.wire.http2 import Http2Limits, UpstreamHttp2
from tests import http2_bytes as raw
from tests.flow_world import Lane, NewPeer, OldPeer, World, memory
from tests.http2_talk import ask, client_hello, field, respond
from tests.websocket_bytes import Frame, write

LIMITS = Limits(
    body_hold=1000,
    header_bytes=2000,
    idle_seconds=5.0,
    header_seconds=3.0,
    connect_seconds=2.0,
    body_seconds=20.0,
    streams=4,
    message_bytes=5000,
    decoded_bytes=100_000,
)
SIZES = st.sampled_from([1, 2, 7, 40, 300, 2000, 70_000])
PIECES = {
    "x": b"x",
    "medium": b"yy" * 600,
    "SEC": b"SEC",
    "RET": b"RET",
    "SECRET": b"SECRET",
    "long": b"z" * 70_000,
    "ok": b"ok",
}
BODIES = st.lists(st.sampled_from(list(PIECES)), max_size=4)
MEMORY = 4_000_000

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
OLD_ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"z" * 100_000,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nSMUGGLED",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    SWITCH,
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"9\r\ndata: 1\n\n\r\n",
    b"0\r\n\r\n",
    write(Frame(1, b"hello"), masked=False),
    write(Frame(8, b"\x03\xe8"), masked=False),
    b"\xff\xff\xff",
]


def _message(data: bytes) -> bytes:
    return struct.pack(">BL", 0, len(data)) + data


class Machine(RuleBasedStateMachine):
    """What is the same for all agents."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.queue = b""
        self.paths = 0

    def _path(self) -> str:
        self.paths += 1
        return f"/r{self.paths}"

    def _lane(self, data: st.DataObject, wanted: Callable[[Lane], bool]) -> Lane | None:
        found = [lane for lane in self.world.lanes.values() if wanted(lane)]
        return data.draw(st.sampled_from(found)) if found else None

    def _collect(self) -> None:
        """Take up what the agent has to say, if it has a mind of its own."""

    # -- the agent ---------------------------------------------------------------------------

    @rule(size=SIZES)
    def deliver(self, size: int) -> None:
        """The agent's next bytes arrive: those of one read."""
        self._collect()
        data, self.queue = self.queue[:size], self.queue[size:]
        if self.world.flow.wants_client:
            self.world.client(data)
        else:
            self.queue = data + self.queue

    @rule()
    def deliver_all(self) -> None:
        self.deliver(1 << 20)

    @rule(data=st.data())
    def eof(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 9)) == 0:
            self.world.client_eof()

    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 9)) == 0:
            self.world.client_lost()

    # -- lanes -------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        address=st.sampled_from(["192.0.2.1", "192.0.2.1", "192.0.2.1", "10.0.0.1"]),
        how=st.sampled_from(["fresh", "fresh", "fresh", "pooled", "failed"]),
    )
    @precondition(lambda self: any(lane.waits for lane in self.world.lanes.values()))
    def resolve(self, data: st.DataObject, address: str, how: str) -> None:
        lane = self._lane(data, lambda lane: lane.waits == "resolve")
        if lane is None:
            return
        if how == "failed":
            self.world.failed(lane, Reason.RESOLVE_FAILED)
        elif how == "pooled" and not lane.fresh:
            self.world.connected(lane, reused=True)
        else:
            self.world.resolved(lane, address)

    @rule(data=st.data(), how=st.sampled_from(["http/1.1", "http/1.1", "h2", "h2", "failed"]))
    @precondition(lambda self: any(lane.waits == "dial" for lane in self.world.lanes.values()))
    def dial(self, data: st.DataObject, how: str) -> None:
        lane = self._lane(data, lambda lane: lane.waits == "dial")
        assert lane is not None
        if how == "failed":
            self.world.failed(lane)
        else:
            self.world.connected(lane, how)

    @rule(data=st.data(), full=st.booleans())
    def fill(self, data: st.DataObject, *, full: bool) -> None:
        lane = self._lane(data, lambda lane: lane.peer is not None and not lane.ended)
        if lane is not None:
            self.world.full(lane, full=full)

    @rule(data=st.data())
    def late(self, data: st.DataObject) -> None:
        """What comes of a lane that was ended must reach nobody."""
        world = self.world
        gone = sorted(world.gone - set(world.lanes))
        if not gone or world.over:
            return
        number = data.draw(st.sampled_from(gone))
        flow, now = world.flow, world.now
        before = len(world.steps)
        what = data.draw(st.integers(0, 4))
        if what == 0:
            world.act(flow.resolved(("192.0.2.1",), now, number))
        elif what == 1:
            world.act(flow.upstream_bytes(OLD_ANSWERS[0], now, number))
        elif what == 2:
            world.act(flow.upstream_eof(now, number))
        elif what == 3:
            world.act(flow.upstream_failed(Reason.CONNECT_FAILED, "late", now, number))
        else:
            world.act(flow.upstream_full(now, number, full=True))
        assert world.steps[before:] == []

    @rule(data=st.data(), number=st.integers(0, len(OLD_ANSWERS) - 1), whole=st.booleans())
    def old_answer(self, data: st.DataObject, number: int, *, whole: bool) -> None:
        said = OLD_ANSWERS[number]
        lane = self._lane(data, lambda lane: isinstance(lane.peer, OldPeer) and not lane.ended)
        if lane is not None:
            assert isinstance(lane.peer, OldPeer)
            lane.say += said
            lane.peer.switched |= b"101 Switching" in said
            self.world.deliver(lane, None if whole else data.draw(SIZES))

    @rule(data=st.data(), size=SIZES)
    def old_rest(self, data: st.DataObject, size: int) -> None:
        lane = self._lane(data, lambda lane: bool(lane.say))
        if lane is not None:
            self.world.deliver(lane, size)

    @rule(
        data=st.data(),
        what=st.sampled_from(
            [
                *("head", "head", "head", "data", "data", "big", "end", "end", "trailers"),
                *("refuse", "old", "goaway", "interim", "deaf", "hear", "garbage", "ping"),
                *("early", "reset"),
            ]
        ),
    )
    def new_answer(self, data: st.DataObject, what: str) -> None:
        lane = self._lane(data, lambda lane: isinstance(lane.peer, NewPeer) and not lane.ended)
        if lane is None:
            return
        peer = lane.peer
        assert isinstance(peer, NewPeer)
        codec = peer.codec
        if what == "goaway":
            self.world.collect(lane)
            last = data.draw(st.sampled_from([0, *peer.open]))
            lane.say += raw.goaway(last, data.draw(st.sampled_from([0, 2])))
        elif what == "garbage":
            self.world.collect(lane)
            lane.say += data.draw(
                st.sampled_from([b"\xff" * 20, raw.data(0, b"x"), raw.data(2, b"x")])
            )
        elif what == "ping":
            self.world.collect(lane)
            lane.say += raw.ping() + raw.settings((4, 100), (3, 2))
        elif what == "deaf":
            peer.reads = False
        elif what == "hear":
            peer.reads = True
            peer.read_on()
        elif peer.open:
            self._on_stream(data, lane, peer, codec, what)
        self.world.deliver(lane, data.draw(st.one_of(st.none(), SIZES)))

    def _on_stream(
        self, data: st.DataObject, lane: Lane, peer: NewPeer, codec: object, what: str
    ) -> None:
        stream = data.draw(st.sampled_from(peer.open))
        codec = peer.codec
        if what == "early":
            self.world.collect(lane)
            lane.say += raw.data(stream, b"before any head")
            return
        record = codec._streams.get(stream)
        if record is None:
            peer.open.remove(stream)
        elif what == "reset":
            codec.reset(stream, data.draw(st.sampled_from([0, 2, 8])))
        elif what in ("refuse", "old"):
            codec.reset(stream, 7 if what == "refuse" else 13)
        elif not record.answered:
            if what == "interim":
                codec.respond(stream, respond(103, body=False), end=False)
            elif what in ("head", "data", "big"):
                kind = (field("content-type", "application/grpc"),)
                codec.respond(stream, respond(fields=kind), end=False)
            elif what == "end":
                codec.respond(stream, respond(204, body=False), end=True)
        elif what in ("data", "big") and record.trailers is None:
            codec.data(stream, b"d" * (100_000 if what == "big" else 50))
        elif what in ("end", "trailers"):
            codec.end(stream, (field("grpc-status", "0"),) if what == "trailers" else ())

    @rule(data=st.data())
    def upstream_eof(self, data: st.DataObject) -> None:
        lane = self._lane(data, lambda lane: lane.peer is not None and not lane.ended)
        if lane is not None and data.draw(st.integers(0, 2)) == 0:
            self.world.upstream_eof(lane)

    # -- the rest of the world ---------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.2, 1.5, 4.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(data=st.data())
    def evidence(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 19)) == 0:
            self.world.fails = data.draw(st.integers(0, 2))

    @rule(data=st.data())
    def tls_breaks(self, data: st.DataObject) -> None:
        world = self.world
        if not world.over and data.draw(st.integers(0, 19)) == 0:
            world.act(world.flow.tls_failed("scripted", world.now))
            if not world.over:
                world.client_lost()

    @invariant()
    def little_is_held(self) -> None:
        if hasattr(self, "world"):
            assert memory(self.world.flow) < MEMORY

    def teardown(self) -> None:
        if not hasattr(self, "world") or sys.exc_info()[0] is not None:
            return
        world = self.world
        world.finale()
        self.check_agent()
        world.wait(100.0)
        assert world.over, "an agent that is silent is never left"
        world.client_lost()
        world.check_books()

    def check_agent(self) -> None:
        """What must hold for this kind of agent when nothing is under way."""


class Http1Machine(Machine):
    """An agent of HTTP/1.1."""

    @initialize(tls=st.booleans())
    def begin(self, *, tls: bool) -> None:
        self.world = World(port=443 if tls else 80, limits=LIMITS)
        if tls:
            self.world.client(client_hello("api.example.com", ["http/1.1"]))
            assert self.world.terminated

    def _say(
        self, line: str, *fields: str, body: bytes = b"", host: str = "api.example.com"
    ) -> None:
        if len(self.queue) < 500_000:
            head = "\r\n".join((f"{line} HTTP/1.1", f"Host: {host}", *fields, "", ""))
            self.queue += head.encode() + body

    @rule(
        method=st.sampled_from(["GET", "GET", "HEAD", "DELETE", "OPTIONS"]),
        extra=st.sampled_from(["", "", "", "?k=SECRET"]),
        name=st.sampled_from(["X-A: b", "X-A: b", "X-A: SECRET", "Connection: close", "X A: b"]),
        host=st.sampled_from(["api.example.com"] * 4 + ["other.test"]),
    )
    def get(self, method: str, extra: str, name: str, host: str) -> None:
        self._say(f"{method} {self._path()}{extra}", name, host=host)

    @rule(pieces=BODIES, coded=st.sampled_from(["", "", "X: y", "Expect: 100-continue"]))
    def post(self, pieces: list[str], coded: str) -> None:
        body = b"".join(PIECES[name] for name in pieces)
        fields = [f"Content-Length: {len(body)}"] + [coded] * bool(coded)
        self._say(f"PUT {self._path()}", *fields, body=body)

    @rule(pieces=BODIES, trailer=st.sampled_from([b"", b"X-T: 1\r\n", b"X-T: SECRET\r\n"]))
    def post_chunked(self, pieces: list[str], trailer: bytes) -> None:
        body = b"".join(chunk(PIECES[name]) for name in pieces) + b"0\r\n" + trailer + b"\r\n"
        self._say(f"POST {self._path()}", "Transfer-Encoding: chunked", body=body)

    @rule(pieces=BODIES)
    def grpc_web(self, pieces: list[str]) -> None:
        body = b"".join(_message(PIECES[name]) for name in pieces)
        kind = "Content-Type: application/grpc-web+proto"
        self._say(f"POST {self._path()}", kind, f"Content-Length: {len(body)}", body=body)

    @rule(pieces=BODIES, close=st.booleans())
    def websocket(self, pieces: list[str], *, close: bool) -> None:
        body = b"".join(write(Frame(1, PIECES[name][:60_000]), masked=True) for name in pieces)
        body += write(Frame(8, b"\x03\xe8"), masked=True) * close
        self._say(
            f"GET {self._path()}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            body=body,
        )

    @rule()
    def proxied(self) -> None:
        host = "other.example.com"
        self._say(f"GET http://{host}{self._path()}", host=host)

    @rule(data=st.data())
    def tunnel(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 4)) == 0:
            self._say("CONNECT api.example.com:80")

    @rule(text=st.sampled_from([b"\r\n", b"GET / HTTP/1.1\r\nHost", b"\0\0", b"HTTP/1.0", b"x"]))
    def nonsense(self, text: bytes) -> None:
        self.queue += text * (3000 if text == b"x" else 1)


class Http2Machine(Machine):
    """An agent of HTTP/2."""

    agent: UpstreamHttp2

    @initialize(tls=st.booleans(), small=st.booleans(), narrow=st.booleans())
    def begin(self, *, tls: bool, small: bool, narrow: bool) -> None:
        small_limits = Http2Limits(window=65_535, connection_window=65_535, streams=2)
        self.world = World(
            port=443 if tls else 80,
            limits=LIMITS,
            upstream_limits=small_limits if narrow else Http2Limits(),
            prior_knowledge=not tls,
        )
        self.scheme = "https" if tls else "http"
        if tls:
            self.world.client(client_hello("api.example.com", ["h2"]))
            assert self.world.terminated
        self.agent = UpstreamHttp2(small_limits if small else Http2Limits(), self.world.now)
        self.reads = True
        self.broken = False
        self.owed: list[tuple[int, int]] = []
        self.open: list[int] = []
        self.world.to_client = self._answered

    def _answered(self, data: bytes) -> None:
        if self.broken:
            return
        for event in self.agent.feed(data, self.world.now):
            flow = getattr(event, "flow", 0)
            if flow and self.reads:
                self.agent.acknowledge(event.stream, flow)  # type: ignore[union-attr]
            elif flow:
                self.owed.append((event.stream, flow))  # type: ignore[union-attr]

    def _collect(self) -> None:
        self.queue += self.agent.outgoing()

    def _ask(self, head: RequestHead, *pieces: bytes, end: bool) -> None:
        if not self.agent.room or len(self.queue) > 500_000:
            return
        bare = head.framing is Framing.NONE
        stream = self.agent.request(head, head.target, head.host or b"", self.scheme, end=bare)
        for piece in pieces:
            self.agent.data(stream, piece)
        if not bare:
            if end:
                self.agent.end(stream, ())
            else:
                self.open.append(stream)

    @rule(
        method=st.sampled_from(["GET", "GET", "HEAD", "DELETE"]),
        extra=st.sampled_from(["", "", "", "?k=SECRET", "/../x"]),
        host=st.sampled_from(["api.example.com"] * 4 + ["other.test", "api.example.com."]),
    )
    def get(self, method: str, extra: str, host: str) -> None:
        self._ask(ask(self._path() + extra, method, host), end=True)

    @rule(
        pieces=BODIES,
        end=st.booleans(),
        length=st.booleans(),
        method=st.sampled_from(["PUT", "POST"]),
    )
    def post(self, pieces: list[str], method: str, *, end: bool, length: bool) -> None:
        whole = [PIECES[name] for name in pieces]
        size = sum(map(len, whole)) if length else None
        self._ask(ask(self._path(), method, length=size, body=True), *whole, end=end)

    @rule(pieces=BODIES, end=st.booleans())
    def call(self, pieces: list[str], *, end: bool) -> None:
        fields = (field("content-type", "application/grpc"), field("te", "trailers"))
        framed = [_message(PIECES[name]) for name in pieces]
        self._ask(ask(self._path(), "POST", fields=fields, body=True), *framed, end=end)

    @rule(data=st.data(), piece=st.sampled_from(list(PIECES)))
    def more(self, data: st.DataObject, piece: str) -> None:
        record = self._open(data)
        if record is not None and len(self.queue) < 500_000:
            self.agent.data(record, PIECES[piece])

    @rule(data=st.data(), trailer=st.sampled_from([None, None, "1", "SECRET"]))
    def end(self, data: st.DataObject, trailer: str | None) -> None:
        stream = self._open(data)
        if stream is not None:
            self.open.remove(stream)
            self.agent.end(stream, (field("x-t", trailer),) if trailer else ())

    @rule(data=st.data(), code=st.sampled_from([0, 8]))
    def reset(self, data: st.DataObject, code: int) -> None:
        live = sorted(self.agent._streams)
        if live:
            stream = data.draw(st.sampled_from(live))
            self.agent.reset(stream, code)
            if stream in self.open:
                self.open.remove(stream)

    def _open(self, data: st.DataObject) -> int | None:
        self.open = [
            s for s in self.open if s in self.agent._streams and not self.agent._streams[s].sent
        ]
        return data.draw(st.sampled_from(self.open)) if self.open else None

    @rule(reads=st.booleans())
    def read(self, *, reads: bool) -> None:
        self.reads = reads
        if reads:
            owed, self.owed = self.owed, []
            for stream, flow in owed:
                self.agent.acknowledge(stream, flow)

    @rule(
        text=st.sampled_from(
            [
                b"\0\0\0\xff\0\0\0\0\0",
                raw.ping(),
                raw.goaway(),
                raw.window(0, 1),
                raw.settings((4, 9)),
                raw.settings((3, 0)),
            ]
        )
    )
    def frame(self, text: bytes) -> None:
        self._collect()
        self.queue += text

    @rule(
        data=st.data(),
        text=st.sampled_from(
            [
                *(b"\xff" * 30, raw.data(0, b"x"), raw.data(1, b"x"), raw.headers(1)),
                *(raw.headers(101), raw.reset(1), raw.reset(99), raw.window(1, 0)),
                *(raw.headers(103, (), end=False), raw.window(0, 2**31 - 1)),
            ]
        ),
    )
    def attack(self, data: st.DataObject, text: bytes) -> None:
        """Frames that the agent's own codec knows nothing of; what comes back is not read."""
        if data.draw(st.integers(0, 9)) == 0:
            self._collect()
            self.broken = True
            self.queue += text

    def check_agent(self) -> None:
        if self.world.over or self.broken:
            return
        self.deliver_all()
        self.world.finale()
        if not self.world.over and not self.agent._gone:
            window = self.agent._h2.outbound_flow_control_window
            assert window > 300_000, "window that was never given back"


SETTINGS = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("machine", [Http1Machine, Http2Machine])
def test_nothing_breaks_a_promise(machine: type[Machine]) -> None:
    run_state_machine_as_test(machine, settings=SETTINGS)
