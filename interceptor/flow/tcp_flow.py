"""One TCP connection of the agent, from its first byte: what it speaks and who it is for.

A pure object. The server feeds bytes and events, and carries out the steps it gets back.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from interceptor.decide import encrypted_dns
from interceptor.flow.context import FlowContext, Identity, Successor
from interceptor.flow.hello import judge_hello
from interceptor.flow.http1_agent import Http1Connection
from interceptor.flow.relay import Relay
from interceptor.flow.relay_ends import other_protocol
from interceptor.flow.socks import SocksProxy
from interceptor.flow.speaker import Speaker
from interceptor.flow.steps import Close, Record, Step, Terminate, ToClient
from interceptor.flow.unopened import Declined, closed_port, refuse_protocol
from interceptor.model import Kind, Target
from interceptor.policy.schema import TcpService
from interceptor.verdict import Reason, Verdict
from interceptor.wire.authority import default_port
from interceptor.wire.http2_streams import PREFACE
from interceptor.wire.postgres import REQUESTS
from interceptor.wire.protocols import recognise
from interceptor.wire.tls_hello import ClientHello, HelloError, looks_like_tls

# Requests as almost all begin; the other ways, and other protocols, are looked up.
_HTTP_START: Final = re.compile(
    rb"(?:GET|POST|PUT|HEAD|PATCH|DELETE) [/h]|OPTIONS [/*]|CONNECT [a-z0-9\[]"
)
_SILENT_SECONDS: Final = 0.1
"""How long a connection to a closed port may wait for its first byte. Clients of a proxy speak at
once and are then judged by the target inside; everything else is reset without delay. Where policy
opens any protocol, an agent that is silent for as long waits for the server."""
_LONGER_SILENT_SECONDS: Final = 1.0
"""The same where something comes first: a TLS handshake, or the reply that opens a tunnel."""
_HELLO_LIMIT: Final = 65_536


class TcpFlow:
    """A flow.

    Attributes:
        deadline: monotonic time in seconds at which `timer` wants to be called.
    """

    __slots__ = (
        *("_agreed", "_buffer", "_context", "_deadline", "_done", "_exchange", "_identity"),
        *("_sealed", "_service", "_since", "_speaker", "_steps"),
    )

    def __init__(self, context: FlowContext, now: float) -> None:
        self._context = context
        self._steps: list[Step] = []
        self._buffer = b""
        self._speaker: Speaker | None = None
        self._exchange = 0
        self._done = False
        self._sealed = False
        self._agreed: tuple[str, ...] = ()
        self._since = now
        """When the first of `_buffer` came: time for a request head runs from there."""
        self._service: TcpService | None = None
        origin = context.origin
        host = origin.name or origin.address
        if context.door is not None:
            refused: Verdict | None = context.door.refused
        else:
            verdict = context.judge.connection(Target("tcp", host, origin.port))
            refused = None if verdict.allowed else verdict
        self._identity = Identity("tcp", host, origin.port, refused, proxying=True)
        self._approach(now)

    @property
    def deadline(self) -> float:
        """Monotonic time at which `timer` should be called, unless it has moved on by then."""
        return self._speaker.deadline if self._speaker is not None else self._deadline

    @property
    def wants_client(self) -> bool:
        """False while the agent should not be read from."""
        return not self._done and (self._speaker is None or self._speaker.wants_client)

    @property
    def closed(self) -> bool:
        """True once a `Close` step was given."""
        return self._done

    def begin(self, now: float) -> list[Step]:  # noqa: ARG002
        """Steps that need no byte from the agent: protocols in which the server speaks first."""
        return self._take()

    @property
    def _is_closed(self) -> bool:
        """True where nothing speaks against the connection but its port."""
        refused = self._identity.refused
        return refused is not None and refused.reason is Reason.PORT_NOT_ALLOWED

    @property
    def _is_door(self) -> bool:
        """True while the bytes are for the explicit proxy itself."""
        return self._context.door is not None and self._identity.depth == 0

    def _approach(self, now: float) -> None:
        """Begin with the identity as it is: a service that policy opens, or what is to be found.

        A service that is denied all the same, or another protocol than HTTP where none is opened,
        is refused when the agent has spoken: it may think that it talks to a proxy.
        """
        context, identity = self._context, self._identity
        refused = identity.refused
        if self._is_door:  # no service of the policy's, whatever has the same address
            self._deadline = now + context.limits.header_seconds
            return
        self._service = service = context.judge.service(identity.target())
        if service is not None and service.protocol != "any":
            verdict = context.judge.stream(identity.target())
            if verdict.allowed:
                self._relay(service.protocol, now)
                return
            refused = verdict
            self._identity = msgspec.structs.replace(identity, refused=verdict)
        waits = service is not None and refused is None
        seconds = context.limits.header_seconds
        if waits or self._is_closed:
            seconds = _LONGER_SILENT_SECONDS if identity.depth else _SILENT_SECONDS
        self._deadline = now + seconds

    # -- events; each gives the steps that follow from it ------------------------------------

    def client_bytes(self, data: bytes, now: float) -> list[Step]:
        """Bytes from the agent: as they came, or decrypted after a `Terminate`."""
        speaker = self._speaker
        if speaker is None:
            if data and not self._done:
                if not self._buffer:
                    self._since = now
                self._buffer += data
                self._sniff(now)
        else:
            speaker.client_bytes(data, now)
        return self._settle(now)

    def client_eof(self, now: float) -> list[Step]:
        """The agent has ended its side."""
        if self._speaker is not None:
            self._note_unasked()
            if self._sealed and type(self._speaker) is not Relay:
                # Nobody half-closes TLS and waits: the agent has given up.
                self._speaker.client_lost(now)
                if not self._done:
                    self._close(reset=False)
            else:
                self._speaker.client_eof(now)
        elif not self._done:
            self._note_unasked()
            self._close(reset=False)
        return self._take()

    def client_lost(self, now: float) -> list[Step]:
        """The agent's connection is gone; whatever is open upstream must go too."""
        if not self._done:
            self._note_unasked()
            if self._speaker is not None:
                self._speaker.client_lost(now)
            self._done = True
        return self._take()

    def tls_failed(self, detail: str, now: float) -> list[Step]:
        """The handshake with the agent failed, mostly because it does not trust our authority."""
        if not self._done:
            refused = self._identity.refused
            if refused is None or refused.reason is not Reason.ECH_REFUSED:
                refused = self._context.judge.refuse(Reason.TLS_CLIENT_REJECTED, detail)
            self._record(refused)
            if self._speaker is not None:  # a service in which TLS began later
                self._speaker.client_lost(now)
            if not self._steps or type(self._steps[-1]) is not Close:
                self._close(reset=True)
        return self._take()

    def resolved(
        self, addresses: tuple[str, ...], now: float, lane: int = 0, canonical: str = ""
    ) -> list[Step]:
        """Addresses for the last `Resolve` of the lane, and the name the host is an alias of."""
        if self._speaker is not None:
            self._speaker.resolved(addresses, now, lane, canonical)
        return self._settle(now)

    def connected(
        self, address: str, now: float, lane: int = 0, *, reused: bool, alpn: str = "http/1.1"
    ) -> list[Step]:
        """Upstream stands: pooled (after `Resolve`) or new (after `Dial`)."""
        if self._speaker is not None:
            self._speaker.connected(address, now, lane, reused=reused, alpn=alpn)
        return self._settle(now)

    def sealed(self, now: float, lane: int = 0) -> list[Step]:
        """TLS that `Seal` asked for is established."""
        if self._speaker is not None:
            self._speaker.sealed(now, lane)
        return self._settle(now)

    def upstream_failed(self, reason: Reason, detail: str, now: float, lane: int = 0) -> list[Step]:
        """Resolving, dialling, verifying or reading upstream failed."""
        if self._speaker is not None:
            self._speaker.upstream_failed(reason, detail, now, lane)
        return self._settle(now)

    def upstream_bytes(self, data: bytes, now: float, lane: int = 0) -> list[Step]:
        """Decrypted bytes from upstream."""
        if self._speaker is not None:
            self._speaker.upstream_bytes(data, now, lane)
        return self._settle(now)

    def upstream_eof(self, now: float, lane: int = 0) -> list[Step]:
        """Upstream has ended its side."""
        if self._speaker is not None:
            self._speaker.upstream_eof(now, lane)
        return self._settle(now)

    def upstream_full(self, now: float, lane: int = 0, *, full: bool) -> list[Step]:
        """The lane's send buffer is full, or no longer is."""
        if self._speaker is not None:
            self._speaker.upstream_full(now, lane, full=full)
        return self._settle(now)

    def timer(self, now: float) -> list[Step]:
        """`deadline` has passed."""
        if self._speaker is not None:
            self._speaker.timer(now)
        elif not self._done:
            self._silent(now)
        return self._settle(now)

    def unwritable(self) -> list[Step]:
        """The evidence for the last `Record` could not be written; steps after it were dropped."""
        if self._speaker is not None:
            self._speaker.unwritable()
        if not self._steps or type(self._steps[-1]) is not Close:
            self._close(reset=True)  # perhaps once more: the first was dropped
        return self._take()

    # -- what is it? -------------------------------------------------------------------------

    def _sniff(self, now: float) -> None:
        data = self._buffer
        if looks_like_tls(data):
            if self._deadline - now < self._context.limits.header_seconds / 2:
                self._deadline = now + self._context.limits.header_seconds
            self._read_hello(data)
            if self._sealed and (self._service is not None or self._is_closed):
                self._deadline = now + _LONGER_SILENT_SECONDS
        elif data.startswith(PREFACE[:16]) or PREFACE.startswith(data):
            if len(data) >= len(PREFACE):
                self._speak_http2(now)
        elif _HTTP_START.match(data) is not None:
            self._speak_http("https" if self._sealed else "http")
        else:
            self._look_up(data, now)

    def _look_up(self, data: bytes, now: float) -> None:
        """Name what is spoken; None: more bytes are needed."""
        name = recognise(data[:64], self._identity.port)
        if name == "http":
            self._speak_http("https" if self._sealed else "http")
        elif name in ("socks4", "socks5"):
            self._speaker = socks = SocksProxy(
                self._context, self._identity, self._steps, self._exchange, now
            )
            data, self._buffer = self._buffer, b""
            socks.client_bytes(data, now)
        elif name is not None:
            self._other(name, now)

    def _other(self, name: str, now: float) -> None:
        """A protocol that is neither HTTP nor a way to a proxy; empty if it is not known."""
        if self._service is not None and self._identity.refused is None:
            self._relay("any", now)
        else:
            record, text = refuse_protocol(self._context.judge, self._identity, name)
            self._steps.append(record)
            if self._buffer in REQUESTS:
                self._speaker = Declined(self._steps, self._exchange + 1, text, now)
                return
            if text:
                self._steps.append(ToClient(text))
            self._close(reset=not text)

    def _silent(self, now: float) -> None:
        """The agent has said nothing, or too little to know it by."""
        refused, judge = self._identity.refused, self._context.judge
        if refused is None and looks_like_tls(self._buffer):
            self._refuse(judge.refuse(Reason.TIMEOUT, "the ClientHello did not end"))
        elif refused is None and (self._buffer or self._service is not None):
            self._other("", now)
        elif refused is None:
            self._close(reset=False)  # browsers connect ahead of need: nothing was asked for
        elif self._is_door and not self._buffer:
            self._close(reset=False)
        else:
            self._refuse(closed_port(judge, self._identity, refused))

    def _relay(self, protocol: str, now: float) -> None:
        """Relay an opened service."""
        self._speaker = relay = Relay(
            self._context,
            self._identity,
            protocol,
            self._steps,
            self._exchange,
            sealed=self._sealed,
            alpn=self._agreed,
        )
        data, self._buffer = self._buffer, b""
        relay.begin(now)
        if data:
            relay.client_bytes(data, now)
        elif protocol == "any":
            relay.greet(now)

    def _read_hello(self, data: bytes) -> None:
        identity, judge = self._identity, self._context.judge
        try:
            hello = ClientHello.parse(data)
        except HelloError as error:
            self._refuse(judge.refuse(error.reason, str(error)))
            return
        if hello is None:
            if len(data) > _HELLO_LIMIT:
                self._refuse(judge.refuse(Reason.TLS_MALFORMED, "the ClientHello is too long"))
            return
        refused = identity.refused
        if self._service is None and (refused is None or self._is_closed):
            way = encrypted_dns.over_tls(identity.port, hello.alpn)
            if way:
                detail = encrypted_dns.explained(way)
                self._refuse(judge.refuse(Reason.DNS_BYPASS, detail, "dns"))
                return
        # The agent is answered under the name it asked for, so that it can read why not.
        name = hello.server_name or identity.host
        refused = refused or judge_hello(self._context, hello, identity.host)
        self._identity = Identity(
            "https", identity.host, identity.port, refused, depth=identity.depth
        )
        self._sealed = True
        self._buffer = b""
        self._agreed = self._alpn(hello.alpn)
        self._steps.append(Terminate(name, data, self._agreed))

    def _alpn(self, offered: tuple[str, ...]) -> tuple[str, ...]:
        """Choose the version of HTTP for an agent that offers these protocols.

        Upstream is dialled after the verdict, so what it speaks has no say; HTTP/1.1 costs less.
        """
        wish = self._context.http2
        if self._service is not None and "h2" not in offered and "http/1.1" not in offered:
            return other_protocol(offered)
        if "h2" in offered and wish != "never" and (wish == "always" or "http/1.1" not in offered):
            return ("h2",)
        return ("http/1.1",)

    def _speak_http2(self, now: float) -> None:
        if self._context.http2 == "never" or self._is_door:
            detail = "HTTP/2, which the policy has switched off"
            if self._is_door:
                detail = "HTTP/2 to the proxy itself"
            self._refuse(self._context.judge.refuse(Reason.HTTP_UNSUPPORTED, detail))
            return
        # Imported where it is needed: few agents speak it.
        from interceptor.flow.http2_agent import Http2Connection

        identity = self._speaks("https" if self._sealed else "http")
        self._speaker = http = Http2Connection(
            self._context, identity, self._steps, self._exchange, now
        )
        data, self._buffer = self._buffer, b""
        http.client_bytes(data, now)

    def _speaks(self, scheme: str) -> Identity:
        """Identity of a connection that is now known to carry HTTP."""
        old = self._identity
        proxying = old.proxying and not self._sealed
        self._identity = identity = Identity(
            scheme,
            old.host,
            old.port,
            old.refused,
            proxying=proxying,
            depth=old.depth,
            host_field=old.host.encode("ascii") if old.port == default_port(scheme) else b"",
        )
        return identity

    def _speak_http(self, scheme: str) -> None:
        now = self._since
        identity = self._speaks(scheme)
        self._speaker = http = Http1Connection(
            self._context, identity, self._steps, self._exchange, now
        )
        data, self._buffer = self._buffer, b""
        http.client_bytes(data, now)

    def _succeed(self, successor: Successor, now: float) -> None:
        """A tunnel was answered: what follows is a connection of its own, of another identity."""
        assert self._speaker is not None  # noqa: S101
        self._exchange = self._speaker.exchange
        self._identity = successor.identity
        self._sealed = False
        self._agreed = ()
        self._speaker = None
        self._buffer = successor.rest
        self._since = now
        self._approach(now)
        if self._buffer:
            self._sniff(now)

    # -- ends --------------------------------------------------------------------------------

    def _note_unasked(self) -> None:
        """Record a block that no request has met: the agent connected and left."""
        refused = self._identity.refused
        asked = self._speaker is not None and self._speaker.exchange > self._exchange
        if self._is_door and not self._buffer:
            return  # looked whether we are there
        if refused is not None and not asked and not self._done:
            self._record(closed_port(self._context.judge, self._identity, refused))

    def _refuse(self, verdict: Verdict) -> None:
        self._record(verdict)
        self._close(reset=True)

    def _record(self, verdict: Verdict) -> None:
        self._steps.append(Record(verdict, self._identity.target(), Kind.CONNECTION))

    def _close(self, *, reset: bool) -> None:
        self._steps.append(Close(reset=reset))

    def _settle(self, now: float) -> list[Step]:
        """Enter tunnels that were answered, whichever event that followed from; give the steps."""
        while self._speaker is not None:
            successor = self._speaker.successor
            if successor is None:
                break
            self._succeed(successor, now)
        return self._take()

    def _take(self) -> list[Step]:
        steps = self._steps
        if not steps:
            return []
        taken = steps[:]
        steps.clear()
        if type(taken[-1]) is Close:
            self._done = True
        return taken
