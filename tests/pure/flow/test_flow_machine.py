"""Everything at once, in any order: a machine drives one flow, `tests.flow_world` keeps the books.

The agent speaks HTTP/1.1 (with CONNECT, WebSocket, gRPC-Web) or HTTP/2 (with gRPC), honestly or
not, in reads cut anywhere; upstreams of both versions answer, break, reset and go away; lanes fail
and fill up; time passes; evidence cannot be written. What must hold is asserted after every step.

A run is a list of actions, each with the numbers that its choices are made by, so that hypothesis
can shorten it and `python -m tests.pure.flow.test_flow_machine 1000` can look for hours.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.flow.http2_agent import Http2Connection
from interceptor.model import Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Action, Reason, Verdict
from interceptor.wire.http1 import Framing, RequestHead, chunk
from interceptor.wire.http2 import AgentHttp2, Http2Limits, UpstreamHttp2
from tests import http2_bytes as raw
from tests.conversation import ScriptedJudge
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
MEMORY = 4_000_000
WHOLE = 1 << 20
SIZES = (1, 2, 7, 40, 300, 2000, 70_000)
CUTS = (WHOLE, WHOLE, WHOLE, 2000, 300, 7, 0)
"""Bytes of a request that arrive at once: mostly all of it."""
PIECES = (b"x", b"yy" * 600, b"SEC", b"RET", b"z" * 70_000, b"ok", b"w" * 3000, b"SECRET")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GOOD = (
    OK,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"z" * 100_000,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"9\r\ndata: 1\n\n\r\n",
    b"6\r\nINJECT\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nan INJECT",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: x\r\n\r\n??",
    b"0\r\n\r\n",
    SWITCH,
    write(Frame(1, b"hello"), masked=False),
    write(Frame(8, b"\x03\xe8"), masked=False),
)
BAD = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nSMUGGLED",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"nonsense\r\n\r\n",
    b"\xff\xff\xff",
)
EVENTS = (field("content-type", "text/event-stream"),)
GRPC = (field("content-type", "application/grpc"), field("te", "trailers"))
T = TypeVar("T")
Move = tuple[str, Sequence[int]]


def _message(data: bytes) -> bytes:
    return struct.pack(">BL", 0, len(data)) + data


class InboundWindow:
    """Finds INJECT in what comes back; blocks or notes it."""

    def __init__(self, *, blocks: bool) -> None:
        self.blocks = blocks

    def judge(self, piece: bytes) -> Verdict | None:
        if b"INJECT" not in piece:
            return None
        action = Action.BLOCK if self.blocks else Action.ALLOW
        return Verdict(action, Reason.INJECTION, "scripted")


class Judge(ScriptedJudge):
    """Judges what comes back as well, where it is told to."""

    def __init__(self, *, looks: bool, blocks: bool) -> None:
        super().__init__()
        self._looks, self._blocks = looks, blocks

    def inbound_window(
        self, where: str, target: Target, *, apart: bool = True
    ) -> InboundWindow | None:
        return InboundWindow(blocks=self._blocks) if self._looks else None


class Machine:
    """What is the same for all agents. Public methods without arguments are actions."""

    OFTEN: tuple[str, ...] = ("bring_up", "bring_up", "answer_all", "answer", "answer", "answer")
    SELDOM: tuple[str, ...] = ("eof", "lost", "evidence", "tls_breaks")
    """Actions that end a connection, or nearly so: one in many is carried out."""

    world: World

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.queue = b""
        self.paths = self.count = 0
        self.numbers: Iterator[int] = iter(())
        self.begin()

    @classmethod
    def actions(cls) -> list[str]:
        """Names of all actions, those that happen often more than once."""
        names = [name for name in dir(cls) if not name.startswith("_") and name.islower()]
        names = [n for n in names if n not in ("begin", "finish", "perform", "actions", "pick")]
        return [name for name in names if callable(getattr(cls, name))] + list(cls.OFTEN)

    def begin(self) -> None:
        """A new connection."""
        raise NotImplementedError

    def perform(self, actions: Iterable[Move]) -> None:
        """Carry out a run, to its end."""
        for name, numbers in actions:
            self.numbers = iter(numbers)
            if name not in self.SELDOM or self.pick(range(24)) == 17:
                getattr(self, name)()
            self.count += 1
            if self.count % 8 == 0:
                assert memory(self.world.flow) < MEMORY
            if not self.world.over:
                self._look_inside()
            if self.world.over:
                self.finish()
                self.queue = b""
                self.begin()
        self.finish()

    def pick(self, choices: Sequence[T]) -> T:
        """One of some, as the run's next number says."""
        return choices[next(self.numbers, 0) % len(choices)]

    def finish(self) -> None:
        """All that is under way ends; an agent that is silent then is not served for ever."""
        world = self.world
        world.finale()
        self._check()
        world.wait(100.0)
        assert world.over, "an agent that is silent is never left"
        world.client_lost()
        world.check_books()

    def _check(self) -> None:
        """What must hold for this kind of agent when nothing is under way."""

    def _look_inside(self) -> None:
        """What must hold after every event and would show outside only after a long time."""

    def _path(self) -> str:
        self.paths += 1
        return f"/r{self.paths}"

    def _body(self) -> list[bytes]:
        return [self.pick(PIECES) for _ in range(self.pick((0, 1, 1, 2, 3)))]

    def _lane(self, wanted: Callable[[Lane], bool]) -> Lane | None:
        found = [lane for lane in self.world.lanes.values() if wanted(lane)]
        return self.pick(found) if found else None

    def _collect(self) -> None:
        """Take up what the agent has to say, if it has a mind of its own."""

    # -- the agent ---------------------------------------------------------------------------

    def _deliver(self, size: int) -> None:
        """Hand over the agent's next bytes: those of one read."""
        self._collect()
        if self.world.flow.wants_client:
            data, self.queue = self.queue[:size], self.queue[size:]
            self.world.client(data)

    def deliver(self) -> None:
        self._deliver(self.pick((*SIZES, WHOLE)))

    def eof(self) -> None:
        self.world.client_eof()

    def lost(self) -> None:
        self.world.client_lost()

    # -- lanes -------------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Lanes are resolved and connected at once, as most are."""
        alpn = self.pick(("http/1.1", "h2"))
        for number in list(self.world.lanes):
            lane = self.world.lanes.get(number)
            if lane is not None and lane.waits == "resolve":
                self.world.resolved(lane)
            lane = self.world.lanes.get(number)
            if lane is not None and lane.waits == "dial":
                self.world.connected(lane, alpn)

    def resolve(self) -> None:
        lane = self._lane(lambda lane: lane.waits == "resolve")
        how = self.pick(("fresh", "fresh", "pooled", "private", "failed"))
        if lane is None:
            return
        if how == "failed":
            self.world.failed(lane, Reason.RESOLVE_FAILED)
        elif how == "pooled" and not lane.fresh:
            self.world.connected(lane, reused=True)
        else:
            self.world.resolved(lane, "10.0.0.1" if how == "private" else "192.0.2.1")

    def dial(self) -> None:
        lane = self._lane(lambda lane: lane.waits == "dial")
        how = self.pick(("http/1.1", "h2", "failed"))
        if lane is None:
            return
        if how == "failed":
            self.world.failed(lane)
        else:
            self.world.connected(lane, how)

    def fill(self) -> None:
        lane = self._lane(lambda lane: lane.peer is not None and not lane.ended)
        if lane is not None:
            self.world.full(lane, full=self.pick((True, False)))

    def late(self) -> None:
        """What comes of a lane that was ended must reach nobody."""
        world = self.world
        gone = sorted(world.gone - set(world.lanes))
        if not gone or world.over:
            return
        number = self.pick(gone)
        flow, now = world.flow, world.now
        before = len(world.steps)
        what = self.pick(range(5))
        if what == 0:
            world.act(flow.resolved(("192.0.2.1",), now, number))
        elif what == 1:
            world.act(flow.upstream_bytes(OK, now, number))
        elif what == 2:
            world.act(flow.upstream_eof(now, number))
        elif what == 3:
            world.act(flow.upstream_failed(Reason.CONNECT_FAILED, "late", now, number))
        else:
            world.act(flow.upstream_full(now, number, full=True))
        assert world.steps[before:] == []

    # -- upstreams ---------------------------------------------------------------------------

    def answer_all(self) -> None:
        """Every upstream answers what it was asked, as most do."""
        for lane in list(self.world.lanes.values()):
            peer = lane.peer
            if isinstance(peer, OldPeer) and not lane.say and not peer.switched:
                if peer.requests and peer.requests[-1].complete:
                    lane.say += OK
            elif isinstance(peer, NewPeer):
                for stream, seen in peer.streams.items():
                    record = peer.codec._streams.get(stream)
                    if seen.complete and record is not None and not record.answered:
                        peer.codec.respond(stream, respond(), end=False)
                        peer.codec.data(stream, b"ok")
                        peer.codec.end(stream, ())
            self.world.deliver(lane)

    def answer(self) -> None:
        lane = self._lane(lambda lane: lane.peer is not None and not lane.ended)
        if lane is None:
            return
        if isinstance(lane.peer, OldPeer):
            said = self.pick((*GOOD, *GOOD, *BAD))
            lane.peer.switched |= said == SWITCH
            lane.say += said
            self.world.deliver(lane, self.pick((WHOLE, WHOLE, *SIZES)))
        elif isinstance(lane.peer, NewPeer):
            self._answer_new(lane, lane.peer)

    def rest(self) -> None:
        """More of what an upstream has begun to say arrives."""
        lane = self._lane(lambda lane: bool(lane.say))
        if lane is not None:
            self.world.deliver(lane, self.pick((WHOLE, *SIZES)))

    def _answer_new(self, lane: Lane, peer: NewPeer) -> None:
        what = self.pick(
            (
                *("head", "head", "head", "data", "data", "big", "big", "end", "end"),
                *("refuse", "old", "goaway", "interim", "deaf", "hear", "garbage", "ping"),
                *("early", "reset", "empty", "trailers"),
            )
        )
        if what == "goaway":
            self.world.collect(lane)
            lane.say += raw.goaway(self.pick([0, *peer.open]), self.pick((0, 2))) + raw.ping()
        elif what == "garbage":
            self.world.collect(lane)
            lane.say += self.pick((b"\xff" * 20, raw.data(0, b"x"), raw.data(2, b"x")))
        elif what == "ping":
            self.world.collect(lane)
            lane.say += raw.ping() + raw.settings((4, 100), (3, 2))
        elif what == "deaf":
            peer.reads = False
        elif what == "hear":
            peer.reads = True
            peer.read_on()
        elif peer.open:
            self._on_stream(lane, peer, what)
        self.world.deliver(lane, self.pick((WHOLE, WHOLE, *SIZES)))

    def _on_stream(self, lane: Lane, peer: NewPeer, what: str) -> None:
        stream = self.pick(peer.open)
        codec = peer.codec
        record = codec._streams.get(stream)
        if what == "early":
            self.world.collect(lane)
            lane.say += raw.data(stream, b"before any head")
        elif record is None:
            peer.open.remove(stream)
        elif what == "reset":
            codec.reset(stream, self.pick((0, 2, 8)))
        elif what in ("refuse", "old"):
            codec.reset(stream, 7 if what == "refuse" else 13)
        elif not record.answered:
            if what == "interim":
                codec.respond(stream, respond(103, body=False), end=False)
            elif what in ("head", "data", "big"):
                codec.respond(stream, respond(fields=self.pick((GRPC[:1], EVENTS))), end=False)
            elif what in ("end", "empty"):
                codec.respond(stream, respond(204 if what == "end" else 200, body=False), end=True)
        elif record.trailers is None and not record.sent:
            if what in ("data", "big"):
                small = (b"d" * 50, b"data: a\n\n", b"data: a", b"INJECT\n\n")
                codec.data(stream, b"d" * 100_000 if what == "big" else self.pick(small))
            elif what in ("end", "trailers"):
                codec.end(stream, (field("grpc-status", "0"),) if what == "trailers" else ())

    def upstream_eof(self) -> None:
        lane = self._lane(lambda lane: lane.peer is not None and not lane.ended)
        if lane is not None:
            self.world.upstream_eof(lane)

    # -- the rest of the world ---------------------------------------------------------------

    def wait(self) -> None:
        self.world.wait(self.pick((0.0, 0.05, 0.2, 0.2, 1.5, 4.0, 30.0)))

    def evidence(self) -> None:
        self.world.fails = self.pick(range(3))

    def tls_breaks(self) -> None:
        world = self.world
        world.act(world.flow.tls_failed("scripted", world.now))
        assert world.over


class Http1Machine(Machine):
    """An agent of HTTP/1.1."""

    OFTEN = (*Machine.OFTEN, "get", "get", "post", "chunked")
    SELDOM = (*Machine.SELDOM, "nonsense", "tunnel")

    def begin(self) -> None:
        tls = bool(self.kind & 1)
        judge = Judge(looks=bool(self.kind & 2), blocks=bool(self.kind & 4))
        self.world = World(port=443 if tls else 80, limits=LIMITS, judge=judge)
        if tls:
            self.world.client(client_hello("api.example.com", ["http/1.1"]))
            assert self.world.terminated

    def _say(self, line: str, *fields: str, body: bytes = b"", host: str = "") -> None:
        if len(self.queue) < 500_000:
            host = host or "api.example.com"
            head = "\r\n".join((f"{line} HTTP/1.1", f"Host: {host}", *fields, "", ""))
            self.queue += head.encode() + body
        self._deliver(self.pick((*CUTS, len(self.queue) - len(body))))

    def get(self) -> None:
        method = self.pick(("GET", "GET", "HEAD", "DELETE", "OPTIONS"))
        path = self._path() + self.pick(("", "", "", "?k=SECRET"))
        host = self.pick(("", "", "", "", "", "other.test"))
        extra = ("X-A: b", "X-A: b", "X-A: b", "X-A: SECRET", "Connection: close", "X A: b")
        self._say(f"{method} {path}", self.pick(extra), host=host)

    def post(self) -> None:
        body = b"".join(self._body())
        method = self.pick(("PUT", "POST"))
        extra = self.pick(("X: y", "X: y", "Expect: 100-continue"))
        self._say(f"{method} {self._path()}", f"Content-Length: {len(body)}", extra, body=body)

    def chunked(self) -> None:
        body = b"".join(chunk(piece) for piece in self._body()) + b"0\r\n"
        body += self.pick((b"", b"", b"X-T: 1\r\n", b"X-T: SECRET\r\n")) + b"\r\n"
        self._say(f"POST {self._path()}", "Transfer-Encoding: chunked", body=body)

    def grpc_web(self) -> None:
        body = b"".join(_message(piece) for piece in self._body())
        kind = "Content-Type: application/grpc-web+proto"
        self._say(f"POST {self._path()}", kind, f"Content-Length: {len(body)}", body=body)

    def websocket(self) -> None:
        frames = [Frame(1, piece[:60_000]) for piece in self._body()]
        frames += [Frame(8, b"\x03\xe8")] * self.pick((0, 0, 1))
        switch = self.pick((True, False))
        self._say(
            f"GET {self._path()}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            body=b"".join(write(frame, masked=True) for frame in frames),
        )
        lane = self.world.lanes.get(0)
        if switch and lane is not None and lane.waits == "resolve":
            self.world.resolved(lane)
            self.world.connected(lane)
            lane.say += SWITCH
            assert isinstance(lane.peer, OldPeer)
            lane.peer.switched = True
            self.world.deliver(lane)

    def proxied(self) -> None:
        host = "other.example.com"
        self._say(f"GET http://{host}{self._path()}", host=host)

    def tunnel(self) -> None:
        self._say("CONNECT api.example.com:80")

    def nonsense(self) -> None:
        self.queue += self.pick((b"\r\n", b"GET / HTTP/1.1\r\nHost", b"\0\0", b"x" * 3000))


class Http2Machine(Machine):
    """An agent of HTTP/2."""

    OFTEN = (*Machine.OFTEN, "get", "get", "post", "call", "more", "more", "end", "deliver")
    SELDOM = (*Machine.SELDOM, "attack")

    agent: UpstreamHttp2

    def begin(self) -> None:
        tls, narrow = bool(self.kind & 1), bool(self.kind & 2)
        little = Http2Limits(window=65_535, connection_window=65_535, streams=2)
        self.world = World(
            port=443 if tls else 80,
            limits=LIMITS,
            judge=Judge(looks=bool(self.kind & 8), blocks=bool(self.kind & 4)),
            upstream_limits=little if narrow else Http2Limits(),
            prior_knowledge=not tls,
        )
        self.scheme = "https" if tls else "http"
        if tls:
            self.world.client(client_hello("api.example.com", ["h2"]))
            assert self.world.terminated
        self.agent = UpstreamHttp2(little if self.kind & 4 else Http2Limits(), self.world.now)
        self.reads = not self.kind & 4
        self.broken = False
        self.owed: list[tuple[int, int]] = []
        self.open: list[int] = []
        self.world.to_client = self._answered

    def _answered(self, data: bytes) -> None:
        if self.broken:
            return
        for event in self.agent.feed(data, self.world.now):
            flow = getattr(event, "flow", 0)
            stream = getattr(event, "stream", 0)
            if flow and self.reads:
                self.agent.acknowledge(stream, flow)
            elif flow:
                self.owed.append((stream, flow))

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
        self._deliver(self.pick(CUTS))

    def get(self) -> None:
        method = self.pick(("GET", "GET", "HEAD", "DELETE"))
        path = self._path() + self.pick(("", "", "", "?k=SECRET", "/../x"))
        host = self.pick(("api.example.com",) * 5 + ("other.test", "API.example.com."))
        self._ask(ask(path, method, host), end=True)

    def post(self) -> None:
        pieces = self._body()
        length = sum(map(len, pieces)) if self.pick((True, False)) else None
        head = ask(self._path(), self.pick(("PUT", "POST")), length=length, body=True)
        self._ask(head, *pieces, end=self.pick((True, False)))

    def call(self) -> None:
        pieces = [_message(piece) for piece in self._body()]
        head = ask(self._path(), "POST", fields=GRPC, body=True)
        self._ask(head, *pieces, end=self.pick((True, False)))

    def more(self) -> None:
        stream = self._open()
        if stream is not None and len(self.queue) < 500_000:
            self.agent.data(stream, self.pick((*PIECES, _message(b"ok"))))
            self._deliver(self.pick(CUTS))

    def end(self) -> None:
        stream = self._open()
        if stream is not None:
            self.open.remove(stream)
            self.agent.end(stream, self.pick(((), (), (field("x-t", "SECRET"),))))
            self._deliver(self.pick(CUTS))

    def reset(self) -> None:
        live = sorted(self.agent._streams)
        if live:
            self.agent.reset(self.pick(live), self.pick((0, 8)))

    def _open(self) -> int | None:
        records = self.agent._streams
        self.open = [
            stream
            for stream in self.open
            if stream in records and not records[stream].sent and records[stream].trailers is None
        ]
        return self.pick(self.open) if self.open else None

    def read(self) -> None:
        self.reads = self.pick((True, False, True))
        if self.reads:
            owed, self.owed = self.owed, []
            for stream, flow in owed:
                self.agent.acknowledge(stream, flow)

    def frame(self) -> None:
        unknown = b"\0\0\0\xff\0\0\0\0\0"
        pings = (unknown, raw.ping(), raw.settings((4, 9)), raw.settings((3, 0)))
        self._collect()
        self.queue += self.pick(pings)

    def attack(self) -> None:
        """Frames that the agent's own codec knows nothing of; what comes back is not read."""
        self._collect()
        self.broken = True
        self.queue += self.pick(
            (
                *(b"\xff" * 30, raw.data(0, b"x"), raw.data(1, b"x"), raw.headers(1)),
                *(raw.headers(101), raw.reset(1), raw.reset(99), raw.window(1, 0)),
                *(raw.headers(103, (), end=False), raw.window(0, 2**31 - 1), raw.window(0, 9)),
            )
        )
        self._deliver(WHOLE)

    def _check(self) -> None:
        if self.world.over or self.broken:
            return
        self._deliver(WHOLE)
        self.world.finale()
        speaker = self.world.flow._speaker
        if not self.world.over and isinstance(speaker, Http2Connection):
            assert _owed(speaker._codec) == 0, "window that was never given back"

    def _look_inside(self) -> None:
        speaker = self.world.flow._speaker
        if not isinstance(speaker, Http2Connection):
            return
        lanes = speaker._lanes
        assert {*lanes._asked, *lanes._opened, *lanes._links} == set(self.world.lanes)
        assert not lanes._waiting or lanes._asked, "they wait for nothing"
        for link in lanes._links.values():
            assert link.usable or link._outlets, "a link without any use"
            if not link._outlets:
                assert _owed(link.codec) == 0, "window that was never given back to upstream"
        for stream in speaker._streams.values():
            usable = stream.exchange.wants_body and not stream.exchange.uploaded
            assert not usable or not (stream.early or stream.request_over), "content is left lying"
        for record in speaker._codec._streams.values():
            assert len(record.queue) < 600_000, "upstream is not held"


def _owed(codec: AgentHttp2 | UpstreamHttp2) -> int:
    """Window of the whole connection that was used and has not been acknowledged."""
    manager = codec._h2._inbound_flow_control_window_manager
    owed = manager.max_window_size - manager.current_window_size - manager._bytes_processed
    assert isinstance(owed, int)
    return owed


NUMBERS = st.lists(st.integers(0, 999), min_size=0, max_size=10)


@pytest.mark.parametrize("machine", [Http1Machine, Http2Machine])
def test_nothing_breaks_a_promise(machine: type[Machine]) -> None:
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        kind=st.integers(0, 15),
        actions=st.lists(
            st.tuples(st.sampled_from(machine.actions()), NUMBERS), min_size=1, max_size=60
        ),
    )
    def run(kind: int, actions: list[Move]) -> None:
        machine(kind).perform(actions)

    run()


@pytest.mark.parametrize("machine", [Http1Machine, Http2Machine])
@pytest.mark.parametrize("seed", range(6))
def test_long_runs_break_no_promise(machine: type[Machine], seed: int) -> None:
    soak(machine, seed, 300)


def soak(machine: type[Machine], seed: int, length: int) -> None:
    """One long run, from a seed."""
    source = random.Random(seed)
    names = machine.actions()
    actions: list[Move] = [
        (source.choice(names), [source.randrange(1000) for _ in range(10)]) for _ in range(length)
    ]
    kind = source.randrange(16)
    try:
        machine(kind).perform(actions)
    except BaseException:
        shorter = _shorten(machine, kind, actions)
        sys.stderr.write(f"\n{machine.__name__}({kind}).perform({shorter})\n")
        machine(kind).perform(shorter)
        raise


def _shorten(machine: type[Machine], kind: int, actions: list[Move]) -> list[Move]:
    """Leave out what is not needed to fail."""
    step = len(actions) // 2
    while step:
        at = 0
        while at < len(actions):
            fewer = actions[:at] + actions[at + step :]
            try:
                machine(kind).perform(fewer)
                at += step
            except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
                actions = fewer
        step //= 2
    return actions


if __name__ == "__main__":
    for number in range(*map(int, sys.argv[1:])):
        for kind_of_agent in (Http1Machine, Http2Machine):
            soak(kind_of_agent, number, 400)
