"""One HTTP exchange as part of a conversation: what is asked, and the answer in any form."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.ruling import Ruling, encoded_error
from interceptor.flow.inbound import Inbound
from interceptor.flow.mcp_answer import RpcAnswer, joined
from interceptor.flow.mcp_events import Event, RpcEvents, codings_of, is_stream
from interceptor.flow.mcp_recognition import SESSION, may_speak
from interceptor.model import Kind, Target
from interceptor.policy.schema import Limits
from interceptor.verdict import Reason, Verdict
from interceptor.wire.http1 import ResponseHead

_STAND_IN: Final = "egressguard-"
"""Begin of the ids of what is asked in place of something else."""
_ERRORS: Final = 64
_ENCODE: Final = msgspec.json.Encoder().encode
_ACCEPTED: Final = 202
"""The answer comes on another stream; what stands here is for nobody."""
_SAID: Final = frozenset(
    (
        *(Reason.SECRET, Reason.SPLIT_SECRET, Reason.CANARY, Reason.INCOMPLETE, Reason.TAINTED),
        *(Reason.RPC_MALFORMED, Reason.LIMIT_EXCEEDED),
    )
)
"""Reasons that lie in what was said, not in where it goes: they are answered in its own terms."""


class _Ident(msgspec.Struct):
    """The id of a message."""

    id: str = ""


_IDENT: Final = msgspec.json.Decoder(_Ident).decode


class Judged(Protocol):
    """Judges one exchange, and perhaps more."""

    def from_client(self, data: bytes, now: float) -> Ruling:
        """Judge what the client says."""

    def from_server(self, data: bytes, now: float) -> Ruling:
        """Judge what the server says."""

    def reads(self, content: bytes, status: int) -> bool:
        """Tell whether a document with this status of HTTP is for it, and not for anybody."""

    def drop(self, idents: Iterable[str | int]) -> list[str | int]:
        """Give up requests whose answers will not come; return those still open."""


class RpcConversation:
    """A conversation of JSON-RPC: MCP, and A2A bound to it."""

    __slots__ = ("_asks", "_said")

    def __init__(self, said: Conversation, *, asks: bool) -> None:
        """Begin a part of `said`; `asks`: there is a request in it, which must be answered."""
        self._said = said
        self._asks = asks

    def from_client(self, data: bytes, now: float) -> Ruling:
        """See `Judged`."""
        return self._said.from_client(data, now)

    def from_server(self, data: bytes, now: float) -> Ruling:
        """See `Judged`."""
        return self._said.from_server(data, now)

    def reads(self, content: bytes, status: int) -> bool:
        """See `Judged`: whoever waits for an answer gets one, whatever it is that has come."""
        waits = self._asks and 200 <= status < 300 and status != _ACCEPTED
        return may_speak(content) or waits

    def drop(self, idents: Iterable[str | int]) -> list[str | int]:
        """See `Judged`."""
        return self._said.drop(idents)


class Elsewhere:
    """Errors for a client that reads no answer to what it posts, but a stream that is open.

    Only the server writes there. It is asked something harmless in place of what was refused, and
    its answer makes room for the error.
    """

    __slots__ = ("_errors", "_number")

    def __init__(self) -> None:
        """Begin with none."""
        self._errors: OrderedDict[str, bytes] = OrderedDict()
        self._number = 0

    def ask(self, error: bytes) -> bytes:
        """Keep an error; return what is asked in place of what was refused."""
        self._number += 1
        ident = f"{_STAND_IN}{self._number}"
        self._errors[ident] = error
        if len(self._errors) > _ERRORS:
            self._errors.popitem(last=False)
        return _ENCODE({"jsonrpc": "2.0", "id": ident, "method": "ping"})

    def take(self, data: bytes) -> bytes | None:
        """Return the error for which an event makes room; None: it is none of those."""
        if not self._errors or _STAND_IN.encode() not in data:
            return None
        try:
            ident = _IDENT(data).id
        except msgspec.DecodeError:
            return None
        return self._errors.pop(ident, None)


class RpcExchange:
    """A request that speaks JSON-RPC, and its answer.

    Attributes:
        kind: what verdicts on it are recorded as.
        forward: the content that goes to upstream instead; None: as it came.
    """

    __slots__ = (
        *("_body", "_conversation", "_done", "_elsewhere", "_ids", "_judge", "_passed"),
        *("_refused", "_stream", "_target", "forward", "kind"),
    )

    def __init__(
        self,
        judge: Judge,
        target: Target,
        conversation: Judged,
        body: bytes,
        ids: tuple[str | int, ...],
        kind: Kind,
        passed: Callable[[bytes], None],
        refused: Verdict | None = None,
        *,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """Begin; nothing is judged yet.

        Args:
            judge: of the agent.
            target: of the request.
            conversation: that it belongs to.
            body: content of the request, decoded.
            ids: of the requests in it, as far as they are known.
            kind: see there.
            passed: told when the answer begins, with the session id in it, perhaps empty.
            refused: what is to be refused whatever it says.
            elsewhere: where answers come on another stream.
        """
        self._judge = judge
        self._target = target
        self._conversation = conversation
        self._body = body
        self._ids = ids
        self._passed = passed
        self._refused = refused
        self._stream: RpcEvents | None = None
        self._done = False
        self._elsewhere = elsewhere
        self.kind = kind
        self.forward: bytes | None = None

    def ask(self, now: float) -> Ruling:
        """Judge what is asked; a refusal has the answer for the agent, unless nothing was asked."""
        if self._refused is not None:
            return Ruling(self._refused, None, self._errors(self._ids, self._refused))
        ruling = self._conversation.from_client(self._body, now)
        forward = ruling.forward
        if forward is not None and forward is not self._body:
            self.forward = forward
        self._body = b""
        return ruling

    def refused(self, verdict: Verdict) -> bytes:
        """Return the answer to a request that was refused on its way; empty: it has none."""
        self.over()
        if verdict.reason not in _SAID:
            return b""
        return self._errors(self._ids, verdict) or b""

    def stand_in(self, reply: bytes) -> bytes | None:
        """Return what is asked in place of what was refused; None: `reply` answers it as it is."""
        if self._elsewhere is None or not reply:
            return None
        self.forward = self._elsewhere.ask(reply)
        return self.forward

    def inbound(
        self, head: ResponseHead, limits: Limits, otherwise: Callable[[], Inbound | None]
    ) -> Inbound:
        """Begin to read the answer.

        Args:
            head: of the response.
            limits: of the policy.
            otherwise: begins to read it as any other content.
        """
        session = b""
        for _, lower, value in head.fields:
            if lower == SESSION:
                session = value
        if 200 <= head.status < 300:
            self._passed(session)
        if is_stream(head):
            self._stream = RpcEvents(
                self._judge, head, codings_of(head), limits, self._event, self._dropped
            )
            return self._stream

        def answered(content: bytes) -> Ruling | None:
            if not self._conversation.reads(content, head.status):
                return None
            return self._conversation.from_server(content, self._judge.now)

        return RpcAnswer(
            self._judge, head, codings_of(head), limits, answered, self._dropped, otherwise
        )

    def over(self, *, accepted: bool = False) -> None:
        """The exchange has ended: what was not answered in it never will be, but by resuming.

        Args:
            accepted: the server has answered 202: it may say more elsewhere.
        """
        if not self._done:
            self._done = True
            resumable = self._stream is not None and self._stream.resumable
            if self._ids and not (resumable or accepted or self._elsewhere is not None):
                self._conversation.drop(self._ids)

    def _event(self, event: Event) -> Ruling:
        return self._conversation.from_server(event.data or b"", self._judge.now)

    def _dropped(self, verdict: Verdict) -> list[bytes]:
        """Give up what is still asked; return the errors that say so."""
        return [encoded_error(ident, verdict) for ident in self._conversation.drop(self._ids)]

    @staticmethod
    def _errors(ids: tuple[str | int, ...], verdict: Verdict) -> bytes | None:
        return joined([encoded_error(ident, verdict) for ident in ids]) if ids else None
