"""One conversation of a client with a server, whatever transport carries it.

Bytes of one unit of the transport go in: a line of stdio, the body of a POST, the data of an event,
a message of a WebSocket. Out comes what is done with it. What goes in twice is judged twice; what
nobody asked for does not pass; whoever waits for an answer gets one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.incoming import Incoming
from interceptor.decide.mcp.outgoing import Outgoing, Said
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.ruling import Ruling, encoded_error, error_response
from interceptor.decide.mcp.session import PENDING, SERVERS, Requests, Session, Waiting
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import jsonrpc, mcp
from interceptor.wire.jsonrpc import Batch, JsonRpcError, Message, MessageKind

__all__ = ["Conversation", "Ruling"]

ANSWER_SECONDS: Final = 3600.0
"""How long an answer may take since the request, or since the last word about its progress."""

_BLANKS: Final = b" \t\r\n"
_ENCODE: Final = msgspec.json.Encoder().encode
_REQUEST, _RESULT = MessageKind.REQUEST, MessageKind.RESULT
_NOTIFICATION = MessageKind.NOTIFICATION


class Conversation:
    """Judges one conversation.

    Attributes:
        revision: of the protocol; learned from the server's answer to `initialize`. Transports that
            are told it in a header set it.
        server: name of the server.
        answer_seconds: how long the server may take for an answer.
    """

    def __init__(
        self,
        judge: Judge,
        target: Target,
        *,
        server: str,
        pins: PinBook,
        session: Session | None = None,
    ) -> None:
        """Begin.

        Args:
            judge: of the agent.
            target: where the server is: of a program on this machine `Target("stdio", name, 0)`.
            server: its name, under which its tools are pinned.
            pins: definitions that are known; it grows.
            session: what is remembered of the agent over all its servers; None: of this one alone.
        """
        self.revision = ""
        self.server = server
        self.answer_seconds: float = ANSWER_SECONDS
        session = Session() if session is None else session
        self._full = session.full(server)
        self._judge = judge
        self._mine = Requests()
        self._theirs = Requests()
        self._outgoing = Outgoing(judge, target, session.server(server), session, pins)
        self._incoming = Incoming(judge, target, session.server(server), session, pins)

    def from_client(self, data: bytes, now: float) -> Ruling:
        """Judge what the client says.

        Args:
            data: one unit of the transport, without its framing.
            now: seconds that never go back, of the clock that `Judge.tick` is told.
        """
        self._judge.tick(now)
        return self._unit(data, now, client=True)

    def from_server(self, data: bytes, now: float) -> Ruling:
        """Judge what the server says; see `from_client`."""
        self._judge.tick(now)
        return self._unit(data, now, client=False)

    def overdue(self, now: float) -> list[Ruling]:
        """Answer requests of the client that the server has not answered for too long."""
        seconds = self.answer_seconds
        self._theirs.overdue(now - seconds)
        late = self._mine.overdue(now - seconds)
        verdict = self._judge.refuse(Reason.TIMEOUT, f"no answer for {seconds:.0f} seconds")
        return self._given_up(late, verdict)

    @property
    def waits(self) -> bool:
        """True while the client waits for an answer of the server's."""
        return len(self._mine) > 0

    def drop(self, idents: Iterable[str | int]) -> list[str | int]:
        """Give up requests of the client whose answers will not come; return those still open."""
        return [ident for ident in idents if self._mine.end(ident) is not None]

    def ended(self, detail: str = "the server has ended") -> list[Ruling]:
        """Answer all requests of the client that are still open: the server will not."""
        self._theirs.all()
        verdict = self._judge.refuse(Reason.UPSTREAM_CLOSED, detail)
        return self._given_up(self._mine.all(), verdict)

    # -- units -----------------------------------------------------------------------------

    def _unit(self, data: bytes, now: float, *, client: bool) -> Ruling:
        try:
            batch = jsonrpc.read(data)
        except JsonRpcError as error:
            return self._unread(data, error, client=client)
        verdict = self._no_room()
        if verdict is not None:
            return self._refused(batch, verdict, client=client)
        if client:
            verdict = self._outgoing.secrets(data)
            if verdict is not None and not verdict.allowed:
                return self._refused(batch, verdict, client=True)
        else:
            verdict = None
        if batch.single:
            ruling = self._message(batch.messages[0], data, now, client=client)
        else:
            ruling = self._batch(batch, data, now, client=client)
        if ruling.verdict is None and verdict is not None:
            return msgspec.structs.replace(ruling, verdict=verdict)
        return ruling

    def _no_room(self) -> Verdict | None:
        """Refuse to talk to a server too many: nothing could be remembered of it."""
        if not self._full:
            return None
        return self._judge.refuse(Reason.LIMIT_EXCEEDED, f"more than {SERVERS} servers")

    def _batch(self, batch: Batch, data: bytes, now: float, *, client: bool) -> Ruling:
        """Judge a batch; of what a client says all goes on, or nothing."""
        if self.revision not in mcp.BATCHED:
            detail = f"a batch, which revision {self.revision or '(none agreed on)'} does not have"
            return self._refused(
                batch, self._judge.refuse(Reason.RPC_UNEXPECTED, detail), client=client
            )
        if any(message.method == "initialize" for message in batch.messages):
            verdict = self._judge.refuse(Reason.RPC_UNEXPECTED, "initialize within a batch")
            return self._refused(batch, verdict, client=client)
        whole = [
            self._message(message, message.encode(), now, client=client)
            for message in batch.messages
        ]
        bad = next((one for one in whole if one.verdict and not one.verdict.allowed), None)
        if bad is None and all(one.forward is not None for one in whole):
            noted = next((one.verdict for one in whole if one.verdict is not None), None)
            return Ruling(noted, _as_batch(whole, batch, data))
        if client:
            for message in batch.messages:
                if message.kind is _REQUEST:
                    self._mine.end(message.id)
            why = None if bad is None else bad.verdict
            why = why or self._judge.refuse(Reason.RPC_UNEXPECTED, "part of a batch")
            return self._refused(batch, why, client=True)
        kept = [one.forward for one in whole if one.forward is not None]
        answers = [one.answer for one in whole if one.answer is not None]
        return Ruling(
            None if bad is None else bad.verdict,
            b"[" + b",".join(kept) + b"]" if kept else None,
            b"[" + b",".join(answers) + b"]" if answers else None,
        )

    def _refused(self, batch: Batch, verdict: Verdict, *, client: bool) -> Ruling:
        """Refuse a unit as a whole; each request in it is answered."""
        forward: list[object] = []
        answers: list[object] = []
        for message in batch.messages:
            if message.kind is _REQUEST:
                answers.append(error_response(message.id, verdict))
            elif (self._theirs if client else self._mine).end(message.id) is not None:
                forward.append(error_response(message.id, verdict))
        return Ruling(verdict, _joined(forward, batch), _joined(answers, batch))

    def _unread(self, data: bytes, error: JsonRpcError, *, client: bool) -> Ruling:
        if not data.strip(_BLANKS):
            return Ruling()  # an empty line says nothing, and is no message
        side = "client" if client else "server"
        verdict = self._judge.refuse(Reason.RPC_MALFORMED, f"the {side} sent {error}")
        if client:
            body = {"code": error.code, "message": f"egressguard: {error}"}
            answer = _ENCODE({"jsonrpc": "2.0", "id": error.id, "error": body})
            return Ruling(verdict, None, answer)
        if self._mine.end(error.id) is not None:
            return Ruling(verdict, encoded_error(error.id, verdict))
        return Ruling(verdict)

    def _given_up(self, late: list[tuple[str | int, Waiting]], verdict: Verdict) -> list[Ruling]:
        return [
            Ruling(verdict, encoded_error(ident, verdict), None, waiting.method, waiting.tool)
            for ident, waiting in late
            if not waiting.cancelled
        ]

    # -- messages ----------------------------------------------------------------------------

    def _message(self, message: Message, data: bytes, now: float, *, client: bool) -> Ruling:
        if not message.method:
            return self._response(message, data, now, client=client)
        wrong = self._wrong(message, client=client)
        asked = self._mine if client else self._theirs
        if not wrong and message.kind is _REQUEST and message.id in asked:
            wrong = "an id that is still in use"
        if wrong:
            return self._no(message, self._judge.refuse(Reason.RPC_UNEXPECTED, wrong))
        if message.kind is _REQUEST and len(asked) >= PENDING:
            detail = f"more than {PENDING} requests wait for an answer"
            return self._no(message, self._judge.refuse(Reason.LIMIT_EXCEEDED, detail))
        try:
            said = self._call(message, data, now, client=client)
        except JsonRpcError as error:
            return self._no(message, self._judge.refuse(Reason.RPC_MALFORMED, str(error)))
        verdict, tool, note, forward = said
        if verdict is not None and not verdict.allowed:
            return self._no(message, verdict, tool)
        if message.kind is _REQUEST and message.id is not None:
            waiting = Waiting(message.method, now, tool, _token(message), note=note)
            asked.begin(message.id, waiting)
        else:
            self._told(message, now, client=client)
        return Ruling(verdict, forward or data, None, message.method, tool)

    def _told(self, message: Message, now: float, *, client: bool) -> None:
        """Take note of a notification that passes."""
        params = message.params
        if not isinstance(params, dict):
            return
        if message.method == "notifications/cancelled":
            (self._mine if client else self._theirs).cancel(params.get("requestId"))
        elif message.method == "notifications/progress":
            (self._theirs if client else self._mine).progress(params.get("progressToken"), now)

    def _no(self, message: Message, verdict: Verdict, tool: str = "") -> Ruling:
        """Refuse a call."""
        answer = encoded_error(message.id, verdict) if message.kind is _REQUEST else None
        return Ruling(verdict, None, answer, message.method, tool)

    def _response(self, message: Message, data: bytes, now: float, *, client: bool) -> Ruling:
        asked = self._theirs if client else self._mine
        waiting = asked.end(message.id)
        if waiting is None:
            if message.id is None and not client and message.kind is MessageKind.ERROR:
                # The server could not read something, and says so.
                waiting = Waiting("", now)
            else:
                detail = "a response to nothing that was asked"
                return Ruling(self._judge.refuse(Reason.RPC_UNEXPECTED, detail))
        if message.id is not None and message.kind is _RESULT and self._many(waiting):
            waiting.at = now
            asked.begin(message.id, waiting)
        if client:  # credentials in it were looked for in the whole unit
            return Ruling(None, data, None, waiting.method)
        if waiting.method == "initialize" and message.kind is _RESULT:
            self._agreed(message)
        verdict, rewritten = self._answered(message, waiting, data, now)
        if verdict is not None and not verdict.allowed and rewritten is None:
            rewritten = encoded_error(message.id, verdict)
        return Ruling(verdict, rewritten or data, None, waiting.method, waiting.tool)

    # -- what another protocol over JSON-RPC does otherwise -----------------------------------

    def _wrong(self, message: Message, *, client: bool) -> str:
        """Say what is wrong with a call that this side makes; "" if nothing."""
        return mcp.misdirected(message, client=client)

    def _call(self, message: Message, data: bytes, now: float, *, client: bool) -> Said:
        """Judge a call.

        Raises:
            JsonRpcError: its parameters may be read in different ways.
        """
        if client:
            return self._outgoing.call(message, now)
        return self._incoming.call(message, data)

    def _answered(
        self, message: Message, waiting: Waiting, data: bytes, now: float
    ) -> tuple[Verdict | None, bytes | None]:
        """Judge a response of the server; see `Incoming.response`."""
        return self._incoming.response(message, waiting, data, now)

    def _many(self, waiting: Waiting) -> bool:  # noqa: ARG002
        """Tell whether a request has more than one response."""
        return False

    def _agreed(self, message: Message) -> None:
        result = message.value["result"]
        revision = result.get("protocolVersion") if isinstance(result, dict) else None
        if revision in mcp.REVISIONS:
            self.revision = str(revision)


def _token(message: Message) -> str | int | None:
    params = message.params
    meta = params.get("_meta") if isinstance(params, dict) else None
    token = meta.get("progressToken") if isinstance(meta, dict) else None
    return token if isinstance(token, str) or type(token) is int else None


def _joined(messages: list[object], batch: Batch) -> bytes | None:
    if not messages:
        return None
    return _ENCODE(messages[0] if batch.single else messages)


def _as_batch(whole: Sequence[Ruling], batch: Batch, data: bytes) -> bytes:
    """Return a batch that passes; the same object where no message in it was changed."""
    parts = [one.forward or b"" for one in whole]
    if all(part == one.encode() for part, one in zip(parts, batch.messages, strict=True)):
        return data
    return b"[" + b",".join(parts) + b"]"
