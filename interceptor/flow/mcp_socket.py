"""MCP over a WebSocket: one conversation, recognised by the first message that speaks it."""

from __future__ import annotations

from collections.abc import Callable

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.ruling import Ruling
from interceptor.flow.mcp_recognition import may_speak, recognise


class SocketConversation:
    """What is said over one WebSocket."""

    __slots__ = ("_begin", "_conversation", "_judge")

    def __init__(self, judge: Judge, begin: Callable[[], Conversation]) -> None:
        """Begin; `begin` makes the conversation, once there is one."""
        self._judge = judge
        self._begin = begin
        self._conversation: Conversation | None = None

    def judge(self, payload: bytes, *, client: bool) -> Ruling | None:
        """Judge a message; None: it belongs to no conversation.

        A server that speaks first is not known yet: what it says is judged as any other message.
        """
        conversation = self._conversation
        if conversation is None:
            if not client or not may_speak(payload):
                return None
            spoken = recognise(payload, known=False)
            if spoken is None or spoken.protocol != "mcp":
                return None
            self._conversation = conversation = self._begin()
        said = conversation.from_client if client else conversation.from_server
        return said(payload, self._judge.now)
