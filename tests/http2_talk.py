"""HTTP/2 with a flow, without sockets: an agent's codec on one side, upstreams on the other.

The agent is our own codec in the client's role; hyper-h2 below it is tested by others. Upstreams
speak HTTP/2 or HTTP/1.1 as the test says; every order of steps is checked as they are carried out.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from interceptor.decide.judge import Judge
from interceptor.flow.context import FlowContext
from interceptor.flow.steps import (
    Close,
    Dial,
    EndUpstream,
    Finished,
    HoldUpstream,
    Record,
    Resolve,
    Step,
    ToClient,
    ToUpstream,
)
from interceptor.flow.tcp_flow import TcpFlow
from interceptor.model import Origin, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason
from interceptor.wire.http1 import Field, Framing, RequestHead, ResponseHead
from interceptor.wire.http2 import (
    AgentHttp2,
    Answered,
    Data,
    Ended,
    Event,
    GoneAway,
    Http2Limits,
    Reset,
    Started,
    UpstreamHttp2,
)
from interceptor.wire.http2_hpack import REQUEST
from interceptor.wire.http2_streams import Stream
from tests.conversation import ScriptedJudge


def field(name: str, value: str) -> Field:
    return name.encode(), name.lower().encode(), value.encode()


def ask(
    path: str = "/",
    method: str = "GET",
    host: str = "api.example.com",
    fields: Sequence[Field] = (),
    length: int | None = None,
    *,
    body: bool = False,
) -> RequestHead:
    """Head of a request."""
    framing = Framing.NONE
    if length is not None:
        framing = Framing.LENGTH
        fields = (*fields, field("content-length", str(length)))
    elif body:
        framing = Framing.CHUNKED
    return RequestHead(
        method=method,
        target=path.encode(),
        minor=1,
        fields=tuple(fields),
        framing=framing,
        length=length or 0,
        host=host.encode(),
        keep_alive=True,
        expects_continue=False,
        raw=b"",
        connection=frozenset(),
        upgrade=None,
        codings=None,
    )


def respond(status: int = 200, fields: Sequence[Field] = (), *, body: bool = True) -> ResponseHead:
    """Head of a response."""
    return ResponseHead(
        status=status,
        phrase=b"",
        minor=1,
        fields=tuple(fields),
        framing=Framing.CHUNKED if body else Framing.NONE,
        length=0,
        keep_alive=True,
        connection=frozenset(),
    )


class Answer(msgspec.Struct):
    """What the agent got on one stream."""

    heads: list[ResponseHead] = []
    content: bytes = b""
    trailers: tuple[Field, ...] = ()
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return self.heads[-1].status if self.heads else 0

    def value(self, name: str) -> str:
        for _, lower, value in self.heads[-1].fields:
            if lower == name.encode():
                return value.decode()
        return ""


def client_hello(name: str, alpn: Sequence[str]) -> bytes:
    """The first flight of a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


Serve = Callable[["Site", Event], None]


class Site:
    """One upstream connection that speaks HTTP/2."""

    def __init__(self, lane: int, serve: Serve, limits: Http2Limits) -> None:
        self.lane = lane
        self.codec = AgentHttp2(limits, 0.0)
        self.events: list[Event] = []
        self.received: dict[int, bytes] = {}
        self.reads = True
        self._serve = serve

    def take(self, data: bytes, now: float) -> None:
        for event in self.codec.feed(data, now):
            self.events.append(event)
            if isinstance(event, Data):
                self.received[event.stream] = self.received.get(event.stream, b"") + event.data
                if self.reads:
                    self.codec.acknowledge(event.stream, event.flow)
            self._serve(self, event)


def answers(content: bytes = b"ok", fields: Sequence[Field] = ()) -> Serve:
    """Answer every request once it is complete."""

    def serve(site: Site, event: Event) -> None:
        if (isinstance(event, Started) and event.end) or isinstance(event, Ended):
            site.codec.respond(event.stream, respond(fields=fields), end=False)
            if content:
                site.codec.data(event.stream, content)
            site.codec.end(event.stream, ())

    return serve


def silent(site: Site, event: Event) -> None:
    """Answer nothing."""


class Http2Talk:
    """One connection of an agent that speaks HTTP/2."""

    def __init__(
        self,
        *,
        serve: Serve | None = None,
        old: Callable[[bytes], bytes] | None = None,
        judge: object | None = None,
        limits: Limits | None = None,
        hosts: Mapping[str, tuple[str, ...]] | None = None,
        upstream_limits: Http2Limits | None = None,
        agent_limits: Http2Limits | None = None,
        cut: int = 0,
        tls: bool = False,
        patient: bool = False,
        conversations: object | None = None,
    ) -> None:
        """Upstream answers by `serve` in HTTP/2, or by `old` in HTTP/1.1.

        With `tls` the flow is told of a ClientHello first, and fed plaintext afterwards. With
        `patient`, what is resolved and dialled waits for `go_on`.
        """
        self.now = 1000.0
        self.steps: list[Step] = []
        self.sites: dict[int, Site] = {}
        self.old: dict[int, bytes] = {}
        self.open: set[int] = set()
        self.held: set[int] = set()
        self.answers: dict[int, Answer] = {}
        self.gone_away: GoneAway | None = None
        self.reads = True
        self._serve = serve or answers()
        self._old = old
        self._hosts = hosts
        self._cut = cut
        self._upstream_limits = upstream_limits or Http2Limits()
        self._allowed = 0
        self._acting = False
        self._later: deque[Callable[[], Sequence[Step]]] = deque()
        self._patient = patient
        self.waiting: list[tuple[int, Callable[[], Sequence[Step]]]] = []
        context = FlowContext(
            Origin("jail", "f1", "198.18.1.1", 443 if tls else 80, "api.example.com"),
            cast("Judge", judge or ScriptedJudge()),
            limits or Limits(),
            lambda text, now: "",
            conversations=conversations,
        )
        self.flow = TcpFlow(context, self.now)
        self.agent = UpstreamHttp2(agent_limits or Http2Limits(), self.now)
        self.scheme = "https" if tls else "http"
        if tls:
            self.act(self.flow.client_bytes(client_hello("api.example.com", ["h2"]), self.now))

    def ask(self, head: RequestHead, *pieces: bytes, end: bool = True, send: bool = True) -> int:
        """Send a request and pieces of its content; give its stream."""
        bare = head.framing is Framing.NONE
        stream = self.agent.request(
            head, head.target, head.host or b"", self.scheme, end=bare and end
        )
        self.answers[stream] = Answer()
        for piece in pieces:
            self.agent.data(stream, piece)
        if end and not bare:
            self.agent.end(stream, ())
        if send:
            self.send()
        return stream

    def ask_with(self, pairs: Sequence[tuple[bytes, bytes]], *pieces: bytes, end: bool) -> int:
        """Send a request whose fields no honest client would send."""
        agent = self.agent
        stream: int = agent._h2.get_next_available_stream_id()
        agent._send_section(stream, pairs, REQUEST, end=end and not pieces)
        agent._highest = stream
        agent._streams[stream] = Stream("POST", None, received=False, sent=end and not pieces)
        self.answers[stream] = Answer()
        for piece in pieces:
            agent.data(stream, piece)
        if end and pieces:
            agent.end(stream, ())
        self.send()
        return stream

    def send(self) -> None:
        """Hand over what the agent has to say."""
        data = self.agent.outgoing()
        while data and not self.flow.closed:
            piece, data = (data[: self._cut], data[self._cut :]) if self._cut else (data, b"")
            self.act(self.flow.client_bytes(piece, self.now))

    def act(self, steps: Sequence[Step]) -> None:
        """Carry out steps; what they cause happens after them, as on a socket."""
        self._later.append(lambda: steps)
        if self._acting:
            return
        self._acting = True
        while self._later:
            self._perform(self._later.popleft()())
        self._acting = False

    def _perform(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.steps.append(step)
            if isinstance(step, Record):
                self._allowed += step.verdict.allowed
            elif isinstance(step, Resolve):
                assert self._allowed, "something was resolved before a verdict"
                self._resolve(step)
            elif isinstance(step, Dial):
                assert self._allowed, "something was dialled before a verdict"
                self._dial(step)
            elif isinstance(step, ToUpstream):
                assert step.lane in self.open, "bytes for an upstream that is not there"
                self._to_upstream(step)
            elif isinstance(step, EndUpstream):
                self.open.discard(step.lane)
                self.waiting = [item for item in self.waiting if item[0] != step.lane]
            elif isinstance(step, HoldUpstream):
                (self.held.add if step.hold else self.held.discard)(step.lane)
            elif isinstance(step, ToClient):
                self._to_agent(step.data)

    def _resolve(self, step: Resolve) -> None:
        found: tuple[str, ...] | None = ("192.0.2.1",)
        if self._hosts is not None:
            found = self._hosts.get(step.target.host)
        if found is None:
            reason = Reason.RESOLVE_FAILED
            self._owe(
                step.lane,
                lambda: self.flow.upstream_failed(reason, "no such name", self.now, step.lane),
            )
        else:
            addresses = found
            self._owe(step.lane, lambda: self.flow.resolved(addresses, self.now, step.lane))

    def _owe(self, lane: int, event: Callable[[], Sequence[Step]]) -> None:
        if self._patient:
            self.waiting.append((lane, event))
        else:
            self._later.append(event)

    def answer_in_http1(self, old: Callable[[bytes], bytes]) -> None:
        """From now on upstreams have HTTP/1.1 alone."""
        self._old = old

    def go_on(self) -> None:
        """Let everything be resolved and dialled."""
        while self.waiting:
            self._later.append(self.waiting.pop(0)[1])
            self.act(())

    def _dial(self, step: Dial) -> None:
        if self._old is None:
            self.sites[step.lane] = Site(step.lane, self._serve, self._upstream_limits)
            alpn = "h2"
        else:
            self.old[step.lane] = b""
            alpn = "http/1.1"

        def connected() -> Sequence[Step]:
            self.open.add(step.lane)
            return self.flow.connected(
                step.addresses[0], self.now, step.lane, reused=False, alpn=alpn
            )

        self._owe(step.lane, connected)

    def _to_upstream(self, step: ToUpstream) -> None:
        site = self.sites.get(step.lane)
        if site is not None:
            site.take(step.data, self.now)
            self.reply(site)
        elif self._old is not None:
            self.old[step.lane] += step.data
            answer = self._old(step.data)
            if answer:
                self._later.append(lambda: self.flow.upstream_bytes(answer, self.now, step.lane))

    def reply(self, site: Site) -> None:
        """Hand over what an upstream has to say."""
        data = site.codec.outgoing()
        if data and site.lane in self.open:
            self._later.append(lambda: self.flow.upstream_bytes(data, self.now, site.lane))
            if not self._acting:
                self.act(())

    def _to_agent(self, data: bytes) -> None:
        for event in self.agent.feed(data, self.now):
            if isinstance(event, GoneAway):
                self.gone_away = event
                continue
            answer = self.answers.setdefault(event.stream, Answer())
            if isinstance(event, Answered):
                answer.heads = [*answer.heads, event.head]
                answer.ended = event.end
            elif isinstance(event, Data):
                answer.content += event.data
                if self.reads:
                    self.agent.acknowledge(event.stream, event.flow)
            elif isinstance(event, Ended):
                answer.ended = True
                answer.trailers = event.trailers
            elif isinstance(event, Reset):
                answer.reset = event.code

    def wait(self, seconds: float) -> None:
        """Let time pass, with the timers that it brings."""
        end = self.now + seconds
        while not self.flow.closed and self.flow.deadline <= end:
            self.now = max(self.now, self.flow.deadline)
            self.act(self.flow.timer(self.now))
            self.send()
        self.now = end

    # -- what came of it -----------------------------------------------------------------------

    @property
    def blocks(self) -> list[str]:
        found = [step.verdict for step in self.steps if isinstance(step, Record)]
        return [verdict.reason.value for verdict in found if not verdict.allowed]

    @property
    def finished(self) -> list[Finished]:
        return [step for step in self.steps if isinstance(step, Finished)]

    @property
    def dialled(self) -> list[Target]:
        return [step.target for step in self.steps if isinstance(step, Dial)]

    @property
    def sent(self) -> bytes:
        """Every byte any upstream got."""
        return b"".join(step.data for step in self.steps if isinstance(step, ToUpstream))

    @property
    def content(self) -> bytes:
        """All request content that upstreams of HTTP/2 got."""
        return b"".join(b"".join(site.received.values()) for site in self.sites.values())

    @property
    def closed(self) -> bool:
        return any(isinstance(step, Close) for step in self.steps)
