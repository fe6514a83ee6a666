"""Judging what a server says: results, definitions of tools, and what it asks of the client."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.capabilities import Capability
from interceptor.decide.mcp.definitions import Definitions
from interceptor.decide.mcp.outgoing import Note, Said
from interceptor.decide.mcp.pins import PinBook
from interceptor.decide.mcp.session import Server, Session, Waiting
from interceptor.decide.mcp.texts import passages
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import mcp
from interceptor.wire.jsonrpc import JsonRpcError, Message, MessageKind

_ENCODE: Final = msgspec.json.Encoder().encode
_READS: Final = Capability.READ | Capability.EXECUTE | Capability.ENVIRONMENT
LONGEST_LIST: Final = 4 << 20
"""Bytes of one answer to `tools/list`; longer ones come in pages (`nextCursor`)."""
_FILE: Final = 32_768
"""Bytes of a result in which credentials are looked for: files of them are short."""
_SHORT: Final = 16
"""Characters of a text that is no content."""


class Incoming:
    """Judges what one server says to a client."""

    def __init__(
        self, judge: Judge, target: Target, server: Server, session: Session, pins: PinBook
    ) -> None:
        """Begin; see `interceptor.decide.mcp.conversation.Conversation`."""
        self._judge = judge
        self._target = target
        self._server = server
        self._session = session
        self._definitions = Definitions(judge, target, server, session, pins)

    def call(self, message: Message, data: bytes) -> Said:
        """Judge a request or a notification: sampling, elicitation, progress, logs."""
        return Said(self._text(message.params, data, message.method))

    def response(
        self, message: Message, waiting: Waiting, data: bytes, now: float
    ) -> tuple[Verdict | None, bytes | None]:
        """Judge a response.

        Returns:
            The verdict, and the response that goes on instead; None: as it came, or none.
        """
        if waiting.method == "tools/list" and message.kind is MessageKind.RESULT:
            return self._tools(message, data, now)
        verdict = self._text(message.content, data, waiting.method)
        if verdict is None or verdict.allowed:
            self._remember(message, waiting, data)
        note = waiting.note
        if isinstance(note, Note):
            content = message.content
            failed = message.kind is MessageKind.ERROR or (
                isinstance(content, dict) and content.get("isError") is True
            )
            spent = self._session.meter.result(
                self._judge.policy.mcp.budgets,
                self._server.name,
                len(data),
                note.same,
                now,
                failed=failed,
            )
            if spent is not None and (verdict is None or verdict.allowed):
                verdict = self._judge.refuse(Reason.TOOL_BUDGET, spent.detail, spent.rule)
        return verdict, None

    def _remember(self, message: Message, waiting: Waiting, data: bytes) -> None:
        """Take note of what a result has told the agent."""
        ask = waiting.note.ask if isinstance(waiting.note, Note) else None
        reads = waiting.method == "resources/read"
        if ask is not None:
            reads = reads or bool(ask.can & _READS) or not ask.can
        fetched = ""
        if ask is not None and ask.can & Capability.FETCH:
            fetched = "\n".join(
                text.text for text in mcp.texts(message.content) if len(text.text) > _SHORT
            )
        secret = reads and self._judge.holds_secret(data[:_FILE])
        if secret or fetched:
            self._session.chains.received(secret=secret, fetched=fetched)

    def _text(self, value: Any, data: bytes, where: str) -> Verdict | None:
        found = passages(value, self._judge, data=data)
        if not found:
            return None
        return self._judge.passages(self._target, where or "message", found)[1]

    def _tools(
        self, message: Message, data: bytes, now: float
    ) -> tuple[Verdict | None, bytes | None]:
        """Judge a list of tools; those that are refused are taken out of it."""
        if len(data) > LONGEST_LIST:
            detail = f"a list of tools of more than {LONGEST_LIST} bytes"
            return self._judge.refuse(Reason.LIMIT_EXCEEDED, detail), None
        result = message.value["result"]
        try:
            listed = mcp.tools(result)
        except JsonRpcError as error:
            return self._judge.refuse(Reason.RPC_MALFORMED, f"tools/list: {error}"), None
        verdict, kept = self._definitions.judge(listed, data, now)
        rest = {name: value for name, value in result.items() if name != "tools"}
        beside = self._text(rest, _ENCODE(rest), "tools/list") if rest else None
        if beside is not None and not beside.allowed:
            return beside, None
        verdict = verdict or beside
        if len(kept) == len(listed):
            return verdict, None
        changed = {**result, "tools": [tool.value for tool in kept]}
        return verdict, _ENCODE({**message.value, "result": changed})
