"""Judging what a client says: calls of tools above all, and its answers to the server."""

from __future__ import annotations

from typing import Any, NamedTuple

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.session import Server, Session
from interceptor.decide.mcp.texts import passages
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import mcp
from interceptor.wire.jsonrpc import Message, MessageKind


class Said(NamedTuple):
    """What is to be said of a call."""

    verdict: Verdict | None
    tool: str = ""
    note: Any = None
    """For when the result comes."""


_PASSED = Said(None)


class Outgoing:
    """Judges what a client says to one server."""

    def __init__(
        self, judge: Judge, target: Target, server: Server, session: Session, pins: PinBook
    ) -> None:
        """Begin; see `interceptor.decide.mcp.conversation.Conversation`."""
        self._judge = judge
        self._target = target
        self._server = server
        self._session = session
        self._pins = pins

    def secrets(self, data: bytes) -> Verdict | None:
        """Judge the credentials in all that is said, keys and values, at any depth."""
        return self._judge.message_window(self._target, "arguments").judge(data)

    def call(self, message: Message) -> Said:
        """Judge a request or a notification.

        Raises:
            JsonRpcError: it is a call of a tool that parsers may read differently.
        """
        if message.method != "tools/call" or message.kind is not MessageKind.REQUEST:
            return _PASSED
        call = mcp.tool_call(message)
        refused = self._server.refused.get(call.name)
        if refused is None and self._pins.changed(self._server.name, call.name):
            refused = self._judge.tell(Reason.TOOL_CHANGED, "its definition was not approved yet")
        if refused is not None and not refused.allowed:
            return Said(refused, call.name)
        verdict = self._instructions(call.arguments)
        if verdict is not None:
            return Said(verdict, call.name)
        return Said(None, call.name)

    def _instructions(self, arguments: dict[str, Any]) -> Verdict | None:
        """Judge text that others read later: what steers an agent has no place in it."""
        found = passages(arguments, self._judge)
        if not found:
            return None
        score, verdict = self._judge.passages(self._target, "arguments", found)
        return verdict if score >= self._judge.policy.inbound.thresholds.high else None
