"""The agent's TCP connections: carries out what flows decide, and decides nothing itself."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
import socket
import ssl
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Final, cast

from interceptor.evidence.log import EvidenceError
from interceptor.flow.context import Door, FlowContext
from interceptor.flow.states import LifecycleError
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
from interceptor.model import Origin, Target
from interceptor.serve.resolver import Resolved
from interceptor.serve.service import Service
from interceptor.serve.sockets import original_destination, reset_on_close
from interceptor.serve.upstream import DialError, UpstreamConnection
from interceptor.tls.session import TlsSession
from interceptor.verdict import Reason

_BUFFER: Final = memoryview(bytearray(65_536))
_WRITE_HIGH: Final = 262_144
_LINGER_SECONDS: Final = 2.0
_LAYERS: Final = 3


async def listen(service: Service, listeners: Sequence[socket.socket]) -> list[asyncio.Server]:
    """Accept on sockets that were made inside the captive namespace."""
    return [
        await service.loop.create_server(lambda: AgentConnection(service), sock=sock, backlog=1024)
        for sock in listeners
    ]


class AgentConnection(asyncio.BufferedProtocol):
    """One connection from the agent."""

    __slots__ = (
        *("_agent_full", "_closing", "_early", "_flow", "_lanes", "_layers", "_origin", "_process"),
        *("_reading", "_service", "_tasks", "_timer", "_timer_at", "_transport"),
    )

    def __init__(self, service: Service) -> None:
        self._service = service
        self._layers: list[TlsSession] = []
        self._lanes: dict[int, UpstreamConnection] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closing = False
        self._reading = True
        self._agent_full = False
        self._process = ""
        self._early: bytes | None = None

    # -- transport events --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: find out what was dialled and begin a flow."""
        service = self._service
        now = service.loop.time()
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        transport = self._transport
        sock: socket.socket = transport.get_extra_info("socket")
        try:
            address, port = original_destination(sock)
        except OSError:
            transport.abort()  # somebody dialled the listener itself
            return
        name = service.leases.name_of(address, now)
        self._begin(Origin(service.jail, service.next_flow(), address, port, name), now)

    def _begin(self, origin: Origin, now: float, door: Door | None = None) -> None:
        """Begin the flow of what was dialled."""
        service, transport = self._service, self._transport
        service.open.add(self)
        transport.set_write_buffer_limits(high=_WRITE_HIGH)
        self._origin = origin
        name, address, port = origin.name, origin.address, origin.port
        if service.attribution is not None:
            source = transport.get_extra_info("peername")
            service.attribution.ask(self._origin.flow, socket.IPPROTO_TCP, source, address, port)
        context = FlowContext(
            self._origin,
            service.judge,
            service.limits,
            service.leases.name_of,
            secrets.token_bytes,
            service.judge.policy.http2,
            service.judge.policy.hosts.sni,
            lambda: self._process,
            door,
            service.conversations,
        )
        self._flow = TcpFlow(context, now)
        if len(service.open) > service.limits.connections:
            verdict = service.judge.refuse(
                Reason.LIMIT_EXCEEDED, f"more than {service.limits.connections} connections"
            )
            target = Target("tcp", name or address, port)
            self._act([Record(verdict, target, "connection"), Close(reset=True)])
            return
        if service.attribution is not None and service.judge.asks_for_process:
            self._early = b""  # until it is known who asks
            service.attribution.want(self._origin.flow, self._attributed)
        if steps := self._flow.begin(now):
            self._act(steps)
        self._arm(now)

    def _attributed(self, executable: str) -> None:
        self._process = executable
        early, self._early = self._early, None
        if self._closing or self._transport.is_closing():
            return
        if early:
            if self._reading:
                self._transport.resume_reading()
            self._receive(early, 0)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Give the buffer to read into."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come from the agent."""
        if self._closing:
            return  # lingering: what comes after a refusal is read and forgotten
        if self._early is not None:
            # uvloop reads once whatever is said while the connection is being made.
            self._early += bytes(_BUFFER[:nbytes])
            self._transport.pause_reading()
            return
        self._receive(_BUFFER[:nbytes], 0)

    def _receive(self, received: bytes | memoryview, depth: int) -> None:
        """Decrypt through the layers from `depth` inwards and feed the flow."""
        now = self._service.loop.time()
        ended = False
        established = True
        for layer in self._layers[depth:] if depth else self._layers:
            established = established and layer.established
            try:
                received = layer.receive(received)
            except ssl.SSLError as error:
                self._flush_handshake()
                text = (error.reason or "protocol error").replace("_", " ").lower()
                self._act(self._flow.tls_failed(text, now))
                return
            ended = ended or layer.ended
        data = bytes(received)  # out of the shared buffer; a copy only where there is no layer
        if not established:
            last = self._layers[-1]
            # What TLS 1.3 has left to say then is a ticket: it goes out with the first answer,
            # which saves a write and a wake of the client for each new connection.
            if not (last.established and last.version == "TLSv1.3"):
                self._flush_handshake()
        elif self._layers and not data:
            self._flush_handshake()
        if data:
            self._act(self._flow.client_bytes(data, now))
        if ended and not self._closing:
            self._act(self._flow.client_eof(now))
        self._arm(now)

    def eof_received(self) -> bool:
        """The agent has ended its side; the transport stays open for what we still send."""
        if self._closing:
            self._transport.close()
        else:
            now = self._service.loop.time()
            self._act(self._flow.client_eof(now))
            self._arm(now)
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The agent's connection is gone."""
        service = self._service
        service.lingering.discard(self)
        if self in service.open:
            service.open.discard(self)
            self._closing = True
            self._act(self._flow.client_lost(service.loop.time()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._drop_upstream()

    def pause_writing(self) -> None:
        """The agent reads slowly: stop reading from upstream, and from the agent itself."""
        self._agent_full = True
        for upstream in self._lanes.values():
            upstream.hold_reading(hold=True)
        if not self._closing:
            self._adjust_reading()

    def resume_writing(self) -> None:
        """The agent has caught up."""
        self._agent_full = False
        for upstream in self._lanes.values():
            if not upstream.held:
                upstream.hold_reading(hold=False)
        if not self._closing:
            self._adjust_reading()

    # -- upstream events (Owner) -------------------------------------------------------------

    def upstream_bytes(self, data: bytes, lane: int) -> None:
        """Decrypted bytes have come from upstream."""
        now = self._service.loop.time()
        self._act(self._flow.upstream_bytes(data, now, lane))
        if self._flow.deadline < self._timer_at:  # what is held of it may be due soon
            self._arm(now)

    def upstream_eof(self, lane: int) -> None:
        """Upstream has ended or broken."""
        upstream = self._lanes.get(lane)
        if upstream is not None:
            upstream.owner = None
        self._act(self._flow.upstream_eof(self._service.loop.time(), lane))

    def upstream_full(self, lane: int, *, full: bool) -> None:
        """Upstream's send buffer is full, or no longer is."""
        self._act(self._flow.upstream_full(self._service.loop.time(), lane, full=full))

    # -- carrying out ------------------------------------------------------------------------

    def _act(self, steps: list[Step]) -> None:
        """Carry out steps in order; what they cause is carried out after them."""
        out: list[bytes] = []
        queue = steps
        at = 0
        try:
            while at < len(queue):
                step = queue[at]
                at += 1
                # Not isinstance: it is slow on these types, and steps have no subclasses.
                if type(step) is ToClient:
                    out.append(step.data)
                elif type(step) is ToUpstream:
                    upstream = self._lanes.get(step.lane)
                    if upstream is not None:
                        upstream.write(step.data)
                elif type(step) is Record:
                    try:
                        self._service.record(step, self._origin)
                    except EvidenceError:
                        queue = self._flow.unwritable()
                        at = 0
                elif type(step) is Finished:
                    self._service.finished(step, self._origin)
                elif type(step) is Resolve:
                    dialler = self._service.dialler
                    pooled = None if step.fresh else dialler.pooled(step.target, step.judged)
                    if pooled is None:
                        self._start(self._resolve(step), step.lane)
                    else:
                        queue = queue[at:] + self._adopt(pooled, step.lane, reused=True)
                        at = 0
                elif type(step) is Dial:
                    self._start(self._dial(step), step.lane)
                elif type(step) is EndUpstream:
                    self._end_upstream(step)
                elif type(step) is FinishUpstream:
                    upstream = self._lanes.get(step.lane)
                    if upstream is not None:
                        upstream.finish()
                elif type(step) is HoldUpstream:
                    self._hold(step)
                elif type(step) is Seal:
                    self._start(self._seal(step), step.lane)
                elif type(step) is Terminate:
                    self._send(out)
                    out = []
                    self._terminate(step)
                elif type(step) is Close:
                    self._send(out)
                    out = []
                    self._close(reset=step.reset)
        except LifecycleError:
            self.drop()  # a bug of ours ends the connection; it never lives on
            raise
        if out:
            self._send(out)
        if not self._closing:
            self._adjust_reading()

    def _adopt(self, upstream: UpstreamConnection, lane: int, *, reused: bool) -> list[Step]:
        upstream.owner = self
        upstream.lane = lane
        upstream.held = False
        self._lanes[lane] = upstream
        if self._agent_full:
            upstream.hold_reading(hold=True)
        now = self._service.loop.time()
        alpn = "http/1.1" if reused else upstream.alpn
        return self._flow.connected(upstream.address, now, lane, reused=reused, alpn=alpn)

    def _hold(self, step: HoldUpstream) -> None:
        upstream = self._lanes.get(step.lane)
        if upstream is not None:
            upstream.held = step.hold
            upstream.hold_reading(hold=step.hold or self._agent_full)

    def _start(self, work: Coroutine[None, None, None], lane: int) -> None:
        self._cancel_task(lane)
        task = self._service.loop.create_task(work)
        self._tasks[lane] = task
        self._arm(self._service.loop.time())  # it may be due before what came from upstream was
        task.add_done_callback(partial(self._ended, lane))

    def _ended(self, lane: int, task: asyncio.Task[None]) -> None:
        """A task that failed is a defect of ours: the connection ends instead of waiting."""
        if self._tasks.get(lane) is task:
            del self._tasks[lane]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.drop()
            self._service.loop.call_exception_handler({"message": "task", "exception": error})

    async def _resolve(self, step: Resolve) -> None:
        try:
            if step.known:
                found = Resolved((step.known,))
            else:
                found = await self._service.dialler.resolve(step.target)
        except DialError as error:
            self._failed(error, step.lane)
            return
        now = self._service.loop.time()
        self._act(self._flow.resolved(found.addresses, now, step.lane, found.canonical))

    async def _dial(self, step: Dial) -> None:
        try:
            upstream = await self._service.dialler.dial(
                step.target, step.addresses, step.alpn, port=step.port, judged=step.judged
            )
        except DialError as error:
            self._failed(error, step.lane)
            return
        if self._closing:
            upstream.close()
            return
        self._act(self._adopt(upstream, step.lane, reused=False))
        self._arm(self._service.loop.time())

    async def _seal(self, step: Seal) -> None:
        upstream = self._lanes.get(step.lane)
        if upstream is None:
            return
        try:
            await self._service.dialler.seal(upstream, step.name)
        except DialError as error:
            self._failed(error, step.lane)
            return
        now = self._service.loop.time()
        self._act(self._flow.sealed(now, step.lane))
        self._arm(now)

    def _failed(self, error: DialError, lane: int) -> None:
        now = self._service.loop.time()
        self._act(self._flow.upstream_failed(error.reason, error.detail, now, lane))
        self._arm(now)

    def _end_upstream(self, step: EndUpstream) -> None:
        upstream = self._lanes.pop(step.lane, None)
        if upstream is None:
            self._cancel_task(step.lane)
        elif step.reusable:
            self._service.dialler.keep(upstream)
        elif step.gently:
            upstream.close()
            self._service.loop.call_later(_LINGER_SECONDS, upstream.abort)
        else:
            self._cancel_task(step.lane)  # of a handshake within it
            upstream.abort()

    def _terminate(self, step: Terminate) -> None:
        if len(self._layers) >= _LAYERS:
            self._close(reset=True)
            return
        now = dt.datetime.now(dt.UTC)  # leaves end; who serves for months makes them anew
        context = self._service.authority.server_context(step.name, step.alpn, now)
        self._layers.append(TlsSession(context, server_side=True))
        self._receive(step.hello, len(self._layers) - 1)

    def _send(self, out: list[bytes]) -> None:
        if self._transport.is_closing() or not out:
            return
        self._write(out[0] if len(out) == 1 else b"".join(out), len(self._layers))

    def _write(self, data: bytes, depth: int) -> None:
        """Send bytes through the outer `depth` layers of TLS."""
        outbox, transport = self._service.outbox, self._transport
        if depth == 1:
            for sealed in self._layers[0].sealed(data):
                outbox.write(transport, sealed)
            return
        for layer in reversed(self._layers[:depth]):
            data = layer.send(data)
        outbox.write(transport, data)

    def _flush_handshake(self) -> None:
        """Send what the layers have to say, each through the layers around it."""
        for index in range(len(self._layers) - 1, -1, -1):
            data = self._layers[index].outgoing()
            if data and not self._transport.is_closing():
                self._write(data, index)
        # A client that waits for our part of a handshake could work meanwhile.
        self._service.outbox.settle(self._transport)

    def _adjust_reading(self) -> None:
        # An agent that does not take its answers is not heard: they would pile up here.
        reading = not self._agent_full and self._flow.wants_client
        if reading is not self._reading and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # -- time and ends -----------------------------------------------------------------------

    def _arm(self, now: float) -> None:
        """Keep one timer; it re-arms itself when the deadline has moved on meanwhile."""
        if self._closing:
            return
        deadline = self._flow.deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._service.loop.call_later(max(0.0, deadline - now), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._service.loop.time()
        if self._closing:
            self._transport.abort()
            return
        if self._flow.deadline <= now + 0.001:
            self._act(self._flow.timer(now))
        self._arm(now)

    def _close(self, *, reset: bool) -> None:
        if self._closing:
            return
        self._closing = True
        transport = self._transport
        self._drop_upstream()
        if transport.is_closing():
            return
        if reset:
            self._service.outbox.settle(transport)
            reset_on_close(transport.get_extra_info("socket"))
            transport.abort()
            return
        for index in range(len(self._layers) - 1, -1, -1):
            self._write(self._layers[index].close(), index)
        self._service.outbox.settle(transport)
        # A close with unread bytes would be a reset, and the agent would lose the answer: end our
        # side, read on for a moment (RFC 9112 section 9.6).
        transport.write_eof()
        self._service.open.discard(self)  # it is none of the jail's open connections any more
        self._service.lingering.add(self)
        if not self._reading:
            transport.resume_reading()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._service.loop.call_later(_LINGER_SECONDS, self._tick)

    def _cancel_task(self, lane: int) -> None:
        """One dial at a time for each lane: what an earlier one would bring is nobody's."""
        task = self._tasks.pop(lane, None)
        if task is not None and task is not asyncio.current_task(self._service.loop):
            task.cancel()

    def _drop_upstream(self) -> None:
        for lane in list(self._tasks):
            self._cancel_task(lane)
        for upstream in self._lanes.values():
            upstream.abort()
        self._lanes.clear()

    def drop(self) -> None:
        """Close at once."""
        self._closing = True
        self._drop_upstream()
        self._transport.abort()
