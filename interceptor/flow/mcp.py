"""MCP and A2A over HTTP: the conversations of one agent, found by what its requests say.

A conversation outlives connections and versions of HTTP: it belongs to a session id at an origin,
or to the address that a server of the older transport has named for what the client says. Where a
server gives no session id, each request is a conversation of its own, as ids of several clients
may be the same; what is remembered of the agent spans them all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import msgspec

from interceptor.decide.a2a import A2aConversation
from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.ruling import Ruling
from interceptor.decide.mcp.session import SERVERS, Session
from interceptor.flow.a2a import CardReading, RestConversation, fetches_card, may_ask
from interceptor.flow.inbound import Inbound
from interceptor.flow.mcp_events import Event, RpcEvents, codings_of, is_stream
from interceptor.flow.mcp_exchange import Elsewhere, Judged, RpcConversation, RpcExchange
from interceptor.flow.mcp_older import FirstEvent
from interceptor.flow.mcp_recognition import (
    BEGINS,
    METHOD,
    REVISION,
    SESSION,
    Spoken,
    fields_of,
    is_json,
    may_speak,
    recognise,
)
from interceptor.flow.mcp_socket import SocketConversation
from interceptor.flow.request import Request
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason, Verdict
from interceptor.wire.a2a import operation_at
from interceptor.wire.content import ContentReader, content_codings
from interceptor.wire.http1 import HttpError, ResponseHead
from interceptor.wire.mcp import REVISIONS

MOST: Final = 256
"""Conversations, and endpoints, that are remembered; the one not met for longest goes first."""
SECONDS: Final = 24 * 3600.0
"""How long a conversation that nobody goes on with is remembered."""
_SESSION: Final = 512
"""Characters of a session id."""

Origin = tuple[str, str, int]


class _Kept(msgspec.Struct, gc=False):
    """A conversation that others come back to."""

    conversation: Conversation
    used: float
    elsewhere: Elsewhere | None = None
    """Where answers come on another stream."""


class Conversations:
    """The conversations of one agent; nothing of them is shared with another.

    Attributes:
        pins: definitions of tools that are known. Who keeps a store loads and saves it.
    """

    def __init__(self, judge: Judge, pins: PinBook | None = None) -> None:
        """Begin with none; `judge` is the agent's."""
        self._judge = judge
        self.pins = PinBook() if pins is None else pins
        self._session = Session()
        self._sessions: OrderedDict[tuple[Origin, bytes], _Kept] = OrderedDict()
        self._named: OrderedDict[tuple[Origin, str], _Kept] = OrderedDict()
        self._endpoints: OrderedDict[tuple[Origin, str], Conversation] = OrderedDict()

    def __len__(self) -> int:
        """Conversations that are remembered."""
        return len(self._sessions) + len(self._named)

    # -- requests --------------------------------------------------------------------------

    def exchange(self, request: Request, body: bytes, now: float) -> RpcExchange | None:
        """Return the part of a conversation that a request is; None: it is none.

        Args:
            request: whose head is judged together with the body.
            body: as received, whole.
            now: of the clock that the judge is told.
        """
        head = request.head
        if not body:
            return self._fetch(request)
        if head.codings is not None:
            codings = content_codings(head.codings)
            if codings:
                body = self._decoded(body, codings)
        if not body.startswith(BEGINS):
            return None
        known = bool(self._endpoints or self._named) and self._knows(request.target)
        if not known and not may_speak(body):
            return self._rest(request, body) if may_ask(request.target.path) else None
        fields = fields_of(head.fields)
        spoken = recognise(body, known=known or bool(fields))
        if spoken is None:
            return None
        if spoken.protocol == "a2a":
            return self._a2a(request.target, body, spoken)
        return self._mcp(request, body, spoken, fields, now)

    def keeps(self, request: Request, begin: bytes, *, quiet: bool) -> bool:
        """Tell whether a body is held to be judged whole, though it is long, or slow.

        Args:
            request: see `exchange`.
            begin: of the body.
            quiet: it is slow: what says that it is JSON is believed.
        """
        if request.head.codings is not None or not begin.startswith(BEGINS):
            return False
        if quiet and is_json(request.head.fields):
            return True
        return (
            self._knows(request.target)
            or bool(fields_of(request.head.fields))
            or (b'"jsonrpc"' in begin and b'"method"' in begin)
        )

    def _decoded(self, body: bytes, codings: tuple[bytes, ...]) -> bytes:
        limits = self._judge.policy.limits
        try:
            return b"".join(
                ContentReader(codings, limits.decoded_bytes, limits.expansion).feed(body)
            )
        except HttpError:
            return b""  # the judge of the request says so

    def _knows(self, target: Target) -> bool:
        origin = _origin(target)
        path = target.path
        if (origin, path) in self._named:
            return True
        return (origin, path.partition("?")[0]) in self._endpoints

    def _mcp(
        self, request: Request, body: bytes, spoken: Spoken, fields: dict[bytes, bytes], now: float
    ) -> RpcExchange:
        target = request.target
        origin = _origin(target)
        self._forget(now)
        refused = self._inconsistent(spoken, fields)
        conversation = None
        kept = self._named.get((origin, target.path))
        if kept is not None:
            kept.used = now
            conversation = kept.conversation
        elif not spoken.begins and SESSION in fields:
            conversation = self._of_session(target, fields[SESSION], now)
        if conversation is None:
            name = _server(target)
            refused = refused or self._too_many(name)
            conversation = self._begin(target, name)
        revision = fields.get(REVISION, b"").decode("latin-1")
        if not spoken.begins and not conversation.revision:
            known = self._endpoints.get((origin, target.path.partition("?")[0]))
            conversation.revision = (
                revision if revision in REVISIONS else "" if known is None else known.revision
            )
        said = conversation

        def passed(ident: bytes) -> None:
            self._passed(target, said, ident, begins=spoken.begins)

        return RpcExchange(
            self._judge,
            target,
            RpcConversation(said, asks=bool(spoken.ids)),
            body,
            spoken.ids,
            Kind.MCP_MESSAGE,
            passed,
            refused,
            elsewhere=None if kept is None else kept.elsewhere,
        )

    # -- A2A -------------------------------------------------------------------------------

    def _a2a(self, target: Target, body: bytes, spoken: Spoken) -> RpcExchange:
        """Each request is a conversation of its own: nothing but memory spans them."""
        said = RpcConversation(self._agent(target), asks=bool(spoken.ids))
        return self._part(target, said, body, spoken.ids)

    def _rest(self, request: Request, body: bytes) -> RpcExchange | None:
        target = request.target
        operation = operation_at(request.head.method, target.path)
        if operation is None:
            return None
        return self._part(
            target, RestConversation(self._judge, self._agent(target), operation), body
        )

    def _fetch(self, request: Request) -> RpcExchange | None:
        """What has no body asks for a card, or for what becomes of a task."""
        target = request.target
        if request.head.method != "GET":
            return None
        if fetches_card(target.path):
            return self._part(target, CardReading(self._judge, target, self.pins), b"")
        return self._rest(request, b"") if ":subscribe" in target.path else None

    def _part(
        self, target: Target, said: Judged, body: bytes, ids: tuple[str | int, ...] = ()
    ) -> RpcExchange:
        kind = Kind.A2A_MESSAGE
        return RpcExchange(self._judge, target, said, body, ids, kind, lambda _: None)

    def _agent(self, target: Target) -> A2aConversation:
        name = f"a2a:{target.authority}"
        return A2aConversation(
            self._judge, target, server=name, pins=self.pins, session=self._session
        )

    # -- MCP -------------------------------------------------------------------------------

    def _inconsistent(self, spoken: Spoken, fields: dict[bytes, bytes]) -> Verdict | None:
        """Refuse a field that names another method than the body: who routes by it is misled."""
        named = fields.get(METHOD)
        if named is None or len(spoken.methods) != 1 or named.decode("latin-1") in spoken.methods:
            return None
        detail = "the field Mcp-Method names another method than the message"
        return self._judge.refuse(Reason.RPC_MALFORMED, detail)

    def _too_many(self, name: str) -> Verdict | None:
        if self._session.full(name):
            return self._judge.refuse(Reason.LIMIT_EXCEEDED, f"more than {SERVERS} servers of MCP")
        return None

    def _begin(self, target: Target, name: str) -> Conversation:
        return Conversation(self._judge, target, server=name, pins=self.pins, session=self._session)

    def _of_session(self, target: Target, ident: bytes, now: float) -> Conversation | None:
        """Return the conversation with a session id; one that is not known is new."""
        if len(ident) > _SESSION:
            return None
        key = (_origin(target), ident)
        kept = self._sessions.get(key)
        if kept is None:
            name = _server(target)
            if self._too_many(name) is not None:
                return None
            self._sessions[key] = kept = _Kept(self._begin(target, name), now)
            _bound(self._sessions)
        self._sessions.move_to_end(key)
        kept.used = now
        return kept.conversation

    def _forget(self, now: float) -> None:
        _drop_old(self._sessions, now - SECONDS)
        _drop_old(self._named, now - SECONDS)

    def _passed(
        self, target: Target, conversation: Conversation, ident: bytes, *, begins: bool
    ) -> None:
        """A server has taken a request: its address is known, and the session id it has given."""
        origin = _origin(target)
        key = (origin, target.path.partition("?")[0])
        if begins or key not in self._endpoints:
            self._endpoints[key] = conversation  # its revision is not known before its answer
        self._endpoints.move_to_end(key)
        _bound(self._endpoints)
        if 0 < len(ident) <= _SESSION:
            self._sessions[origin, ident] = _Kept(conversation, self._judge.now)
            self._sessions.move_to_end((origin, ident))
            _bound(self._sessions)

    # -- streams ---------------------------------------------------------------------------

    def socket(self, target: Target) -> SocketConversation:
        """Begin to listen to a WebSocket, which may be a conversation."""
        return SocketConversation(self._judge, lambda: self._begin(target, _server(target)))

    def stream(
        self,
        request: Request,
        head: ResponseHead,
        limits: Limits,
        otherwise: Callable[[ResponseHead], Inbound | None],
    ) -> Inbound | None:
        """Begin to read what a GET has brought: it may be a stream of messages.

        Args:
            request: the GET.
            head: of the response.
            limits: of the policy.
            otherwise: begins to read content with this head as any other.
        """
        if not is_stream(head):
            return otherwise(head)
        target = request.target
        fields = fields_of(request.head.fields)
        conversation = None
        if SESSION in fields:
            conversation = self._of_session(target, fields[SESSION], self._judge.now)
        elif REVISION not in fields and not self._knows(target):
            return self._older(request, head, limits, otherwise)
        said = conversation or self._begin(target, _server(target))

        def converse(event: Event) -> Ruling:
            return said.from_server(event.data or b"", self._judge.now)

        return RpcEvents(self._judge, head, codings_of(head), limits, converse, lambda _: [])

    def _older(
        self,
        request: Request,
        head: ResponseHead,
        limits: Limits,
        otherwise: Callable[[ResponseHead], Inbound | None],
    ) -> Inbound:
        """Read a stream of events that nothing speaks for: its first may be that of a server.

        It names the address for what the client says. Every other stream is read as ever.

        Args:
            request: a GET.
            head: of the response.
            limits: of the policy.
            otherwise: begins to read a stream with this head as any other.
        """
        target = request.target

        def begin(told: ResponseHead) -> RpcEvents:
            conversation = self._begin(target, _server(target))
            elsewhere = Elsewhere()

            def converse(event: Event) -> Ruling:
                data = event.data or b""
                if event.kind == "endpoint":
                    self._name(target, data, _Kept(conversation, self._judge.now, elsewhere))
                    return Ruling(None, data)
                error = elsewhere.take(data)
                if error is not None:
                    return Ruling(None, error)
                return conversation.from_server(data, self._judge.now)

            return RpcEvents(self._judge, told, (), limits, converse, lambda _: [])

        return FirstEvent(head, limits, begin, otherwise)

    def _name(self, target: Target, data: bytes, kept: _Kept) -> None:
        """Take the address, perhaps relative, that the server has named: at its own origin."""
        base = f"{target.scheme}://{target.authority}{target.path}"
        try:
            found = urlsplit(urljoin(base, data.decode("ascii").strip()))
            port = found.port or {"https": 443, "http": 80}.get(found.scheme, 0)
        except ValueError:
            return
        origin = (found.scheme, (found.hostname or "").rstrip("."), port)
        if origin != _origin(target):
            return
        path = found.path or "/"
        key = (origin, f"{path}?{found.query}" if found.query else path)
        self._named[key] = kept
        self._named.move_to_end(key)
        _bound(self._named)


def _origin(target: Target) -> Origin:
    return (target.scheme, target.host, target.port)


def _server(target: Target) -> str:
    """Name of a server, under which its tools are pinned: its URL."""
    return f"{target.scheme}://{target.authority}{target.path.partition('?')[0]}"


def _drop_old(kept: OrderedDict[Any, _Kept], before: float) -> None:
    while kept:
        key, oldest = next(iter(kept.items()))
        if oldest.used > before:
            return
        del kept[key]


def _bound(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > MOST:
        kept.popitem(last=False)
