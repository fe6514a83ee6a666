"""A2A over HTTP with JSON, and agents' cards: what is not JSON-RPC, judged by the same judge.

The binding to JSON-RPC is a conversation as MCP's are: see `interceptor.flow.mcp`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interceptor.decide.a2a import A2aConversation, judge_card
from interceptor.decide.judge import Judge
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.ruling import Ruling
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import a2a
from interceptor.wire.jsonrpc import JsonRpcError, read_value

_ENCODE: Final = msgspec.json.Encoder().encode
_EXTENDED: Final = ("/extendedAgentCard", "/v1/card", "/agent/authenticatedExtendedCard")
_SUBSCRIBE: Final = ":subscribe"
_SPOKEN: Final = frozenset((a2a.Operation.SEND, a2a.Operation.STREAM, a2a.Operation.SET_PUSH))
_STREAMED: Final = frozenset((a2a.Operation.STREAM, a2a.Operation.SUBSCRIBE))
_JSON: Final = (b"{", b"[")


def fetches_card(path: str) -> bool:
    """Tell whether a path is one that an agent's card lies at."""
    return ("/.well-known/agent" in path and a2a.is_card(path)) or path.endswith(_EXTENDED)


def may_ask(path: str) -> bool:
    """Tell, at next to no cost, whether a path may be one of the binding to HTTP."""
    return ":" in path or "/tasks/" in path


class RestConversation:
    """One operation of the binding to HTTP; an `interceptor.flow.mcp_exchange.Judged`."""

    __slots__ = ("_conversation", "_judge", "_operation")

    def __init__(
        self, judge: Judge, conversation: A2aConversation, operation: a2a.Operation
    ) -> None:
        """Begin; `conversation` judges what is said and heard."""
        self._judge = judge
        self._conversation = conversation
        self._operation = operation

    def reads(self, content: bytes, status: int) -> bool:
        """See `Judged`."""
        return 200 <= status < 300 and content.lstrip().startswith(_JSON)

    def from_client(self, data: bytes, now: float) -> Ruling:
        """See `Judged`."""
        if self._operation not in _SPOKEN:
            return Ruling(None, data)
        try:
            value = read_value(data)
        except JsonRpcError as error:
            return Ruling(self._judge.refuse(Reason.RPC_MALFORMED, f"the agent sent {error}"))
        verdict = self._conversation.said(value, now)
        return Ruling(verdict, data if verdict is None or verdict.allowed else None)

    def from_server(self, data: bytes, now: float) -> Ruling:  # noqa: ARG002
        """See `Judged`. Of a stream one event is replaced, of anything else all is refused."""
        verdict: Verdict | None
        try:
            verdict = self._conversation.heard(read_value(data), data)
        except JsonRpcError as error:
            verdict = self._judge.refuse(Reason.RPC_MALFORMED, f"the other agent sent {error}")
        if verdict is None or verdict.allowed:
            return Ruling(verdict, data)
        return Ruling(verdict, _error(verdict) if self._operation in _STREAMED else None)

    def drop(self, idents: Iterable[str | int]) -> list[str | int]:  # noqa: ARG002
        """See `Judged`."""
        return []


class CardReading:
    """Who reads a card; an `interceptor.flow.mcp_exchange.Judged`."""

    __slots__ = ("_judge", "_pins", "_sure", "_target")

    def __init__(self, judge: Judge, target: Target, pins: PinBook) -> None:
        """Begin; cards are pinned in `pins`."""
        self._judge = judge
        self._target = target
        self._pins = pins
        self._sure = a2a.is_card(target.path)

    def reads(self, content: bytes, status: int) -> bool:
        """See `Judged`: other content than a card may lie at such a path."""
        if status != 200 or not content.lstrip().startswith(_JSON):
            return False
        try:
            value = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._sure
        return a2a.looks_like_card(value)

    def from_client(self, data: bytes, now: float) -> Ruling:  # noqa: ARG002
        """See `Judged`: nothing is said."""
        return Ruling(None, data)

    def from_server(self, data: bytes, now: float) -> Ruling:
        """See `Judged`."""
        try:
            value: Any = read_value(data)
        except JsonRpcError as error:
            return Ruling(self._judge.refuse(Reason.RPC_MALFORMED, f"a card that is {error}"))
        verdict = judge_card(self._judge, self._target, value, self._pins, now)
        return Ruling(verdict, data if verdict is None or verdict.allowed else None)

    def drop(self, idents: Iterable[str | int]) -> list[str | int]:  # noqa: ARG002
        """See `Judged`."""
        return []


def _error(verdict: Verdict) -> bytes:
    """Return what stands in place of an event (A2A 1.0, section 11.6: google.rpc.Status)."""
    message = f"egressguard refused this: {verdict.detail or verdict.reason.value}"
    details = [{"reason": verdict.reason.value, "rule": verdict.rule}]
    status = {"code": 403, "status": "PERMISSION_DENIED", "message": message, "details": details}
    return _ENCODE({"error": status})
