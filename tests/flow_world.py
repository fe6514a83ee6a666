"""A world around one flow, without sockets: what the server would do, and what must always hold.

The world carries out steps as `interceptor.serve.tcp` does, keeps the books of lanes and exchanges
and fails at the first step that breaks a promise. What happens, and when, is the test's choice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from interceptor.decide.judge import Judge
from interceptor.flow.context import FlowContext
from interceptor.flow.steps import (
    Close,
    Dial,
    EndUpstream,
    Finished,
    FinishUpstream,
    HoldUpstream,
    Record,
    Resolve,
    Seal,
    Step,
    Terminate,
    ToClient,
    ToUpstream,
)
from interceptor.flow.tcp_flow import TcpFlow
from interceptor.model import Origin
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http2 import AgentHttp2, Data, Ended, Event, Http2Limits, Started
from tests.conversation import ScriptedJudge

SECRET = b"SECRET"


class Seen:
    """One request as an upstream has seen it."""

    def __init__(self, head: bytes, path: str) -> None:
        self.head = head
        self.path = path
        self.body = b""
        self.complete = False

    @property
    def said(self) -> bytes:
        """All content, without the framing of gRPC or WebSocket around its messages."""
        if b"application/grpc" in self.head:
            return b"".join(_messages(self.body))
        if b"websocket" in self.head.lower():
            return b"".join(_frames(self.body))
        return self.body


class OldPeer:
    """An upstream of HTTP/1.1: takes requests apart, and trusts nothing."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.raw = b""
        self.switched = False
        self._buffer = b""
        self._left = 0
        self._chunked = False

    def take(self, data: bytes) -> None:
        self.raw += data
        self._buffer += data
        while self._buffer and self._step():
            pass

    def _step(self) -> bool:
        request = self.requests[-1] if self.requests else None
        if request is None or (request.complete and not self.switched):
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return False
            assert head.count(b" HTTP/1.1\r\nHost: ") == 1, head
            path = head.split(b" ")[1].decode()
            self.requests.append(Seen(head, path))
            self._buffer = rest
            self._frame(head)
            return True
        if self.switched:
            request.body += self._buffer
            self._buffer = b""
            return False
        if self._chunked and not self._left:
            line, end, rest = self._buffer.partition(b"\r\n")
            if not end:
                return False
            self._left = int(line, 16)
            if self._left:
                self._buffer = rest
                return True
            trailers, end, rest = rest.partition(b"\r\n")
            while trailers:
                request.body += trailers
                trailers, end, rest = rest.partition(b"\r\n")
            if not end:
                return False
            self._buffer = rest
            request.complete = True
            return True
        piece = self._buffer[: self._left]
        request.body += piece
        self._left -= len(piece)
        self._buffer = self._buffer[len(piece) :]
        if self._chunked and not self._left:
            assert self._buffer.startswith(b"\r\n")
            self._buffer = self._buffer[2:]
        elif not self._left:
            request.complete = True
        return True

    def _frame(self, head: bytes) -> None:
        lower = head.lower() + b"\r\n"
        self._chunked = b"\r\ntransfer-encoding: chunked\r\n" in lower
        self._left = 0
        if b"\r\ncontent-length:" in lower:
            assert not self._chunked
            self._left = int(lower.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        self.requests[-1].complete = not self._chunked and not self._left


class NewPeer:
    """An upstream of HTTP/2."""

    def __init__(self, limits: Http2Limits, now: float) -> None:
        self.codec = AgentHttp2(limits, now)
        self.streams: dict[int, Seen] = {}
        self.open: list[int] = []
        self.reads = True
        self.owed: list[Data] = []

    @property
    def requests(self) -> list[Seen]:
        return list(self.streams.values())

    def take(self, data: bytes, now: float) -> list[Event]:
        events = self.codec.feed(data, now)
        for event in events:
            if isinstance(event, Started):
                path = event.head.target.decode()
                self.streams[event.stream] = Seen(event.head.raw, path)
                self.streams[event.stream].complete = event.end
                self.open.append(event.stream)
            elif isinstance(event, Data):
                self.streams[event.stream].body += event.data
                if self.reads:
                    self.codec.acknowledge(event.stream, event.flow)
                else:
                    self.owed.append(event)
            elif isinstance(event, Ended):
                seen = self.streams[event.stream]
                seen.complete = True
                seen.body += b"".join(value for _, _, value in event.trailers)
        return events

    def read_on(self) -> None:
        owed, self.owed = self.owed, []
        for event in owed:
            self.codec.acknowledge(event.stream, event.flow)


class Lane:
    """One upstream connection of the flow, as the server keeps it."""

    def __init__(self, number: int, path: str) -> None:
        self.number = number
        self.path = path
        self.waits = "resolve"
        self.fresh = False
        self.addresses: tuple[str, ...] = ()
        self.peer: OldPeer | NewPeer | None = None
        self.held = self.full = self.ended = False
        self.say = b""
        """What upstream has said and has not been delivered."""


class World:
    """One flow and everything around it.

    Attributes:
        lanes: those that are alive.
        gone: numbers of those that are not.
        to_client: takes what the agent is sent.
        fails: records that can still be written, then one cannot.
    """

    def __init__(
        self,
        *,
        port: int = 80,
        limits: Limits | None = None,
        judge: object | None = None,
        upstream_limits: Http2Limits | None = None,
        prior_knowledge: bool = False,
    ) -> None:
        """Begin; with `prior_knowledge` upstreams speak what they are spoken to, unasked."""
        self.now = 1000.0
        self.steps: list[Step] = []
        self.lanes: dict[int, Lane] = {}
        self.gone: set[int] = set()
        self.old: list[Seen] = []
        self.allowed: dict[int, str] = {}
        self.blocked: set[int] = set()
        self.finished: dict[int, Finished] = {}
        self.received = b""
        self.to_client: Callable[[bytes], None] = lambda data: None
        self.terminated: list[str] = []
        self.closed: Close | None = None
        self.lost = False
        self.fails = math.inf
        self.unwritable = False
        self._prior_knowledge = prior_knowledge
        self._upstream_limits = upstream_limits or Http2Limits()
        context = FlowContext(
            Origin("jail", "f1", "198.18.1.1", port, "api.example.com"),
            cast("Judge", judge or ScriptedJudge()),
            limits or Limits(),
            lambda text, now: "",
            lambda size: b"\x5a" * size,
        )
        self.flow = TcpFlow(context, self.now)
        self.act(self.flow.begin(self.now))

    @property
    def over(self) -> bool:
        return self.closed is not None or self.lost

    # -- events ------------------------------------------------------------------------------

    def client(self, data: bytes) -> None:
        if not self.over and data:
            self.act(self.flow.client_bytes(data, self.now))

    def client_eof(self) -> None:
        if not self.over:
            self.act(self.flow.client_eof(self.now))

    def client_lost(self) -> None:
        """The connection is gone; the server drops what it has upstream."""
        if not self.lost:
            if self.closed is None:
                self._carry_out(self.flow.client_lost(self.now))
            self.lost = True
            self._drop_all()

    def resolved(self, lane: Lane, *addresses: str) -> None:
        assert lane.waits == "resolve"
        lane.waits = "verdict"
        self.act(self.flow.resolved(addresses or ("192.0.2.1",), self.now, lane.number))

    def connected(self, lane: Lane, alpn: str = "http/1.1", *, reused: bool = False) -> None:
        assert lane.waits == ("resolve" if reused else "dial")
        assert not (reused and lane.fresh)
        lane.waits = ""
        if alpn == "h2":
            lane.peer = NewPeer(self._upstream_limits, self.now)
        elif not self._prior_knowledge:
            lane.peer = OldPeer()
        self.act(self.flow.connected("192.0.2.1", self.now, lane.number, reused=reused, alpn=alpn))
        self.collect(lane)

    def failed(self, lane: Lane, reason: Reason = Reason.CONNECT_FAILED) -> None:
        assert lane.waits in ("resolve", "dial")
        lane.waits = "verdict"
        self.act(self.flow.upstream_failed(reason, "scripted", self.now, lane.number))

    def collect(self, lane: Lane) -> None:
        """Take up what an upstream of HTTP/2 has to say."""
        if isinstance(lane.peer, NewPeer):
            lane.say += lane.peer.codec.outgoing()

    def deliver(self, lane: Lane, size: int | None = None) -> None:
        """Hand over what upstream has said, or its first bytes."""
        self.collect(lane)
        size = len(lane.say) if size is None else size
        if lane.held:
            return  # it is not read
        data, lane.say = lane.say[:size], lane.say[size:]
        if data and lane.number in self.lanes and not lane.ended:
            self.act(self.flow.upstream_bytes(data, self.now, lane.number))
            self.collect(lane)

    def upstream_eof(self, lane: Lane) -> None:
        if lane.number in self.lanes and not lane.ended and lane.peer is not None:
            lane.ended = True
            self.act(self.flow.upstream_eof(self.now, lane.number))

    def full(self, lane: Lane, *, full: bool) -> None:
        if lane.full is not full:
            lane.full = full
            self.act(self.flow.upstream_full(self.now, lane.number, full=full))

    def wait(self, seconds: float) -> None:
        """Let time pass; every deadline must lead to another, later one, or to the end."""
        end = self.now + seconds
        for _ in range(10_000):
            if self.over or self.flow.deadline > end:
                break
            self.now = max(self.now, self.flow.deadline)
            self.act(self.flow.timer(self.now))
            assert self.over or self.flow.deadline > self.now, "a timer that leads nowhere"
        else:
            raise AssertionError("timers without end")
        self.now = end

    # -- steps -------------------------------------------------------------------------------

    def act(self, steps: Sequence[Step]) -> None:
        self._carry_out(steps)
        if not self.over:
            assert math.isfinite(self.flow.deadline)
            assert not self.flow.closed

    def _carry_out(self, steps: Sequence[Step]) -> None:
        queue = list(steps)
        while queue:
            step = queue.pop(0)
            assert not self.over, f"{step} after the end"
            self.steps.append(step)
            if isinstance(step, Record):
                self.fails -= 1
                if self.fails < 0:
                    self.fails = math.inf
                    self.unwritable = True
                    self.steps.pop()
                    queue = list(self.flow.unwritable())
                    assert isinstance(queue[-1], Close), "it goes on without evidence"
                    continue
            self._perform(step)

    def _perform(self, step: Step) -> None:
        if isinstance(step, Record):
            if step.exchange and step.verdict.allowed:
                self.allowed[step.exchange] = step.target.path
                assert step.exchange not in self.blocked
            elif step.exchange:
                self.blocked.add(step.exchange)
        elif isinstance(step, Finished):
            assert step.exchange in self.allowed, "the end of what was not allowed"
            assert step.exchange not in self.finished, "an exchange that ends twice"
            self.finished[step.exchange] = step
        elif isinstance(step, Resolve):
            assert step.lane not in self.lanes, "a lane that is in use"
            assert self._may(step.target.path), "resolved before its own verdict"
            self.lanes[step.lane] = lane = Lane(step.lane, step.target.path)
            lane.fresh = step.fresh
        elif isinstance(step, Dial):
            lane = self.lanes[step.lane]
            assert lane.waits == "verdict", "dialled without being resolved"
            assert self._may(step.target.path)
            assert all(not address.startswith("10.") for address in step.addresses)
            lane.waits = "dial"
            lane.addresses = step.addresses
        elif isinstance(step, ToUpstream):
            self._to_upstream(step)
        elif isinstance(step, EndUpstream):
            if not self.unwritable:
                assert step.lane in self.lanes, "a lane that is not there"
            self._end(step)
        elif isinstance(step, HoldUpstream):
            self.lanes[step.lane].held = step.hold
        elif isinstance(step, ToClient):
            self.received += step.data
            self.to_client(step.data)
        elif isinstance(step, Terminate):
            self.terminated.append(step.name)
        elif isinstance(step, Close):
            self.closed = step
            self._drop_all()
        elif isinstance(step, Seal | FinishUpstream):
            assert step.lane in self.lanes

    def _may(self, path: str) -> bool:
        """The exchange of this path was allowed, is not over, and was not blocked since."""
        return any(
            path == other and number not in self.finished and number not in self.blocked
            for number, other in self.allowed.items()
        )

    def _to_upstream(self, step: ToUpstream) -> None:
        lane = self.lanes[step.lane]
        assert not lane.waits, "bytes for a lane that is not connected"
        if lane.peer is None:
            new = step.data.startswith(b"PRI * HTTP/2.0\r\n")
            lane.peer = NewPeer(self._upstream_limits, self.now) if new else OldPeer()
        if lane.ended and isinstance(lane.peer, OldPeer):
            return
        before = [(seen, len(seen.body), seen.complete) for seen in lane.peer.requests]
        if isinstance(lane.peer, OldPeer):
            lane.peer.take(step.data)
            assert all(seen.path == lane.path for seen in lane.peer.requests)
            assert len(lane.peer.requests) <= 1, "a second request on the lane of one"
        else:
            lane.peer.take(step.data, self.now)
        known = {id(seen) for seen, _, _ in before}
        for seen in lane.peer.requests:
            if id(seen) not in known:
                assert self._may(seen.path), "sent before its own verdict"
        for seen, size, complete in before:
            if len(seen.body) != size or seen.complete is not complete:
                numbers = [number for number, path in self.allowed.items() if path == seen.path]
                switched = isinstance(lane.peer, OldPeer) and lane.peer.switched
                assert switched or not self.blocked.intersection(numbers), "sent after a block"
        for seen in lane.peer.requests:
            assert SECRET not in seen.head
            assert SECRET not in seen.said

    def _end(self, step: EndUpstream) -> None:
        lane = self.lanes.pop(step.lane, None)
        if lane is None:
            return
        self.gone.add(step.lane)
        if step.reusable:
            assert isinstance(lane.peer, OldPeer)
            assert not lane.ended, "an ended connection is kept"
            assert all(seen.complete for seen in lane.peer.requests)
            assert not lane.peer.switched
        if lane.peer is not None:
            self.old += lane.peer.requests

    def _drop_all(self) -> None:
        for number in list(self.lanes):
            self._end(EndUpstream(reusable=False, lane=number))

    # -- the end -----------------------------------------------------------------------------

    def finale(self) -> None:
        """Everything that is under way comes to an end; then the agent is silent for long."""
        for _ in range(200):
            lanes = [lane for lane in self.lanes.values() if lane.waits or not lane.ended]
            if not lanes:
                break
            lane = lanes[0]
            self.full(lane, full=False)
            if lane.waits == "resolve":
                self.resolved(lane)
            elif lane.waits == "dial":
                self.connected(lane)
            elif not lane.ended:
                self.upstream_eof(lane)
        else:
            raise AssertionError("it asks without end")
        if not self.over:
            assert not self.lanes, "a lane that upstream has ended is kept"
            assert self.flow.wants_client, "nothing is under way, and the agent is not read"

    def check_books(self) -> None:
        """After the end: every exchange that was allowed has ended once."""
        if not self.unwritable:
            assert set(self.finished) == set(self.allowed)


def _messages(data: bytes) -> list[bytes]:
    found = []
    while len(data) >= 5:
        size = int.from_bytes(data[1:5])
        found.append(data[5 : 5 + size])
        data = data[5 + size :]
    return found


def _frames(data: bytes) -> list[bytes]:
    found = []
    while len(data) >= 6:
        size, at = data[1] & 127, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10]), 10
        mask = data[at : at + 4]
        payload = data[at + 4 : at + 4 + size]
        found.append(bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))
        data = data[at + 4 + size :]
    return found


def memory(root: object) -> int:
    """Bytes in all buffers that can be reached from our own objects."""
    seen: set[int] = set()
    total = 0
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or item is None:
            continue
        seen.add(id(item))
        if isinstance(item, bytes | bytearray):
            total += len(item)
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset | deque):
            waiting += item
        elif type(item).__module__.startswith(("interceptor.flow", "interceptor.wire", "h2.")):
            names = [n for kind in type(item).__mro__ for n in getattr(kind, "__slots__", ())]
            waiting += [getattr(item, name, None) for name in names]
            waiting += getattr(item, "__dict__", {}).values()
    return total
