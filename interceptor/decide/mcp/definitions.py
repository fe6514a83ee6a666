"""Judging the definitions of tools: what they say to an agent, and whether they have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.impostors import Impostors
from interceptor.decide.mcp.pins import PinBook, PinState, difference, visible
from interceptor.decide.mcp.poison import poisoned
from interceptor.decide.mcp.session import Server, Session
from interceptor.decide.mcp.texts import texts_as_passages
from interceptor.decide.mcp.tool_policy import globbed
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import mcp
from interceptor.wire.mcp import Tool

DETAIL: Final = 2000
"""Characters of a difference in the detail of a verdict."""
CLEAN: Final = 4096
"""Definitions of one server that are not read again."""
_ENCODE: Final = msgspec.json.Encoder().encode
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
        policy = self._judge.policy.mcp.definitions
        shows = self._judge.shows(data, closely=True)
        server = self._server
        others = [
            (one.name, name) for one in self._session.others(server.name) for name in one.tools
        ]
        others += self._pins.tools_of_others(server.name)
        impostors = Impostors([tool.name for tool in listed], others)
        first: Verdict | None = None
        kept: list[Tool] = []
        for tool in listed:
            verdict: Verdict | None = None
            digest = tool.digest
            known = policy.findings == "off" or (policy.exempt and self._exempt(tool.name))
            if not known and (self._judge.epoch, digest) not in server.clean:
                verdict = self._poison(tool, shows=shows)
                if verdict is None and len(server.clean) < CLEAN:
                    server.clean.add((self._judge.epoch, digest))
            if (verdict is None or verdict.allowed) and policy.names != "off":
                verdict = self._impostor(tool, impostors) or verdict
            if (verdict is None or verdict.allowed) and policy.changes != "off":
                verdict = self._changed(tool, digest, now) or verdict
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

    def _exempt(self, tool: str) -> bool:
        return any(
            globbed(entry).fullmatch(f"{self._server.name}/{tool}") is not None
            for entry in self._judge.policy.mcp.definitions.exempt
        )

    def _poison(self, tool: Tool, *, shows: bool) -> Verdict | None:
        verdict = poisoned(
            self._judge,
            self._target,
            _ENCODE(tool.value),
            lambda: texts_as_passages(mcp.texts(tool.value, schema=True)),
            "tool definition",
            shows=shows,
        )
        if verdict is None or verdict.reason not in _POISON:
            return verdict
        detail = f"tool {tool.name}: {verdict.detail}"
        record = self._judge.policy.mcp.definitions.findings == "record"
        return self._judge.tell(Reason.TOOL_POISONED, detail, verdict.rule, record=record)

    def _impostor(self, tool: Tool, impostors: Impostors) -> Verdict | None:
        found = impostors.name(tool.name)
        if found is None:
            described = tool.value.get("description")
            found = impostors.says(described) if isinstance(described, str) else None
        if found is None:
            return None
        detail = f"tool {visible(tool.name, 80)}: {found.detail}"
        record = self._judge.policy.mcp.definitions.names == "record"
        return self._judge.tell(Reason.TOOL_IMPOSTOR, detail, found.rule, record=record)

    def _changed(self, tool: Tool, digest: str, now: float) -> Verdict | None:
        name = self._server.name
        state = self._pins.check(name, tool.name, tool.value, now, digest)
        if state is not PinState.CHANGED:
            return None
        pin = self._pins.get(name, tool.name)
        lines: list[str] = []
        if pin is not None and pin.pending is not None:
            lines = difference(pin.approved, pin.pending)
        detail = "\n".join([f"tool {tool.name} of {name} has changed", *lines])[:DETAIL]
        record = self._judge.policy.mcp.definitions.changes == "record"
        return self._judge.tell(Reason.TOOL_CHANGED, detail, record=record)
