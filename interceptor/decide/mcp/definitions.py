"""Judging the definitions of tools: what they say to an agent, and whether they have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.pins import PinBook, PinState, difference
from interceptor.decide.mcp.poison import poisoned
from interceptor.decide.mcp.session import Server, Session
from interceptor.decide.mcp.texts import texts_as_passages
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import mcp
from interceptor.wire.mcp import Tool

DETAIL: Final = 2000
"""Characters of a difference in the detail of a verdict."""
_POISON: Final = frozenset((Reason.TOOL_POISONED, Reason.WOULD_BLOCK))


class Definitions:
    """Judges the definitions of one server."""

    def __init__(
        self, judge: Judge, target: Target, server: Server, session: Session, pins: PinBook
    ) -> None:
        """Begin; see `interceptor.decide.mcp.conversation.Conversation`."""
        self._judge = judge
        self._target = target
        self._server = server
        self._session = session
        self._pins = pins

    def judge(
        self, listed: Sequence[Tool], data: bytes, now: float
    ) -> tuple[Verdict | None, list[Tool]]:
        """Judge a list.

        Args:
            listed: in the server's order.
            data: the message they stand in.
            now: in seconds.

        Returns:
            What is to be said of the first that is refused, and those that are not.
        """
        shows = self._judge.shows(data)
        server = self._server
        first: Verdict | None = None
        kept: list[Tool] = []
        for tool in listed:
            verdict = self._poison(tool, shows=shows)
            if verdict is None or verdict.allowed:
                verdict = self._changed(tool, now) or verdict
            if verdict is not None and not verdict.allowed:
                server.refused[tool.name] = verdict
                server.tools.pop(tool.name, None)
            else:
                server.refused.pop(tool.name, None)
                server.tools[tool.name] = tool.value
                kept.append(tool)
            if verdict is not None and (first is None or (first.allowed and not verdict.allowed)):
                first = verdict
        return first, kept

    def _poison(self, tool: Tool, *, shows: bool) -> Verdict | None:
        found = texts_as_passages(mcp.texts(tool.value, schema=True))
        verdict = poisoned(self._judge, self._target, found, "tool definition", shows=shows)
        if verdict is None or verdict.reason not in _POISON:
            return verdict
        return msgspec.structs.replace(verdict, detail=f"tool {tool.name}: {verdict.detail}")

    def _changed(self, tool: Tool, now: float) -> Verdict | None:
        name = self._server.name
        state = self._pins.check(name, tool.name, tool.value, now, tool.digest)
        if state is not PinState.CHANGED:
            return None
        pin = self._pins.get(name, tool.name)
        lines: list[str] = []
        if pin is not None and pin.pending is not None:
            lines = difference(pin.approved, pin.pending)
        detail = "\n".join([f"tool {tool.name} of {name} has changed", *lines])[:DETAIL]
        return self._judge.tell(Reason.TOOL_CHANGED, detail)
