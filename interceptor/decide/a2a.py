"""Judging what agents say to each other over A2A: messages, tasks, artifacts, cards."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interceptor.decide.judge import Judge
from interceptor.decide.mcp.arguments import Asked, asked
from interceptor.decide.mcp.conversation import Conversation
from interceptor.decide.mcp.outgoing import Said, chain_verdict, url_verdict
from interceptor.decide.mcp.pins import PinBook, PinState, difference
from interceptor.decide.mcp.poison import poisoned
from interceptor.decide.mcp.session import Session, Waiting
from interceptor.decide.mcp.texts import steers, texts_as_passages
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire import a2a
from interceptor.wire.jsonrpc import JsonRpcError, Message, MessageKind

__all__ = ["A2aConversation", "judge_card"]

_DETAIL: Final = 2000
_STREAMED: Final = frozenset((a2a.Operation.STREAM, a2a.Operation.SUBSCRIBE))
_SPOKEN: Final = frozenset((a2a.Operation.SEND, a2a.Operation.STREAM, a2a.Operation.SET_PUSH))
_FETCHED: Final = frozenset(("push", "file"))
"""Roles of addresses that the other agent will ask."""
_ENCODE: Final = msgspec.json.Encoder().encode
_NOTHING: Final[Asked] = asked("", {})


class A2aConversation(Conversation):
    """One conversation with another agent; used as the MCP one is.

    A request to stream has many responses: it is open until it is dropped.
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
        """Begin; see `Conversation`."""
        session = Session() if session is None else session
        super().__init__(judge, target, server=server, pins=pins, session=session)
        self._target = target
        self._pins = pins
        self._session = session

    def said(self, value: Any, now: float) -> Verdict | None:
        """Judge what is said to the agent: parameters, or a body of the binding to HTTP.

        Credentials are not looked for: `Judge.request` and `from_client` do.

        Args:
            value: decoded JSON.
            now: in seconds.
        """
        refused = self._no_room()
        if refused is not None:
            return refused
        for url in a2a.urls(value):
            if url.role in _FETCHED:
                verdict = url_verdict(self._judge, url.url)
                if verdict is not None and not verdict.allowed:
                    return verdict
        verdict = self._steers(value)
        if verdict is not None:
            return verdict
        host = self._target.host
        hosts = [] if self._judge.named(self._target) else [host]
        return chain_verdict(self._judge, self._session, _NOTHING, (), hosts, now)

    def heard(self, value: Any, data: bytes = b"") -> Verdict | None:
        """Judge what the agent says: a message, a task, an artifact, an update of one.

        Args:
            value: decoded JSON.
            data: the same, as it came.
        """
        if not self._judge.shows(data or _ENCODE(value)):
            return None
        found = texts_as_passages(a2a.texts(value))
        return self._judge.passages(self._target, "a2a_message", found)[1]

    # -- what `Conversation` asks ------------------------------------------------------------

    def _wrong(self, message: Message, *, client: bool) -> str:  # noqa: ARG002
        return "" if client else "an agent calls who has called it"

    def _call(
        self,
        message: Message,
        data: bytes,  # noqa: ARG002
        now: float,
        *,
        client: bool,  # noqa: ARG002
    ) -> Said:
        operation = a2a.operation(message)
        if operation not in _SPOKEN:
            return Said(None, note=operation)
        return Said(self.said(message.params, now), note=operation)

    def _answered(
        self, message: Message, waiting: Waiting, data: bytes, now: float
    ) -> tuple[Verdict | None, bytes | None]:
        content = message.content
        if waiting.note is a2a.Operation.CARD and message.kind is MessageKind.RESULT:
            return judge_card(self._judge, self._target, content, self._pins, now), None
        return self.heard(content, data), None

    def _many(self, waiting: Waiting) -> bool:
        return waiting.note in _STREAMED

    def _steers(self, value: Any) -> Verdict | None:
        if not self._judge.shows(_ENCODE(value)):
            return None
        found = texts_as_passages(a2a.texts(value))
        score, verdict = self._judge.passages(self._target, "a2a_message", found)
        return verdict if steers(self._judge, score, verdict) else None


def judge_card(
    judge: Judge, target: Target, value: Any, pins: PinBook, now: float
) -> Verdict | None:
    """Judge an agent's card: what it says to an agent, where it leads, whether it has changed.

    Args:
        judge: of the agent that reads it.
        target: where it came from.
        value: decoded JSON.
        pins: cards stand in it beside tools, under `a2a:HOST`.
        now: in seconds.

    Returns:
        None: nothing is to be said of it.
    """
    try:
        card = a2a.card(value)
    except JsonRpcError as error:
        return judge.refuse(Reason.RPC_MALFORMED, str(error))
    verdict = poisoned(
        judge,
        target,
        _ENCODE(card.value),
        lambda: texts_as_passages(a2a.texts(card.value, schema=True)),
        "agent card",
    )
    if verdict is not None and not verdict.allowed:
        return verdict
    for url in a2a.urls(card.value):
        if url.role == "endpoint":
            led = url_verdict(judge, url.url)
            if led is not None and not led.allowed:
                return led
    server = f"a2a:{target.authority}"
    said = {key: item for key, item in card.value.items() if key != "signatures"}
    if pins.check(server, card.name, said, now, card.digest) is PinState.CHANGED:
        pin = pins.get(server, card.name)
        lines: list[str] = []
        if pin is not None and pin.pending is not None:
            lines = difference(pin.approved, pin.pending)
        detail = "\n".join([f"the card of {target.authority} has changed", *lines])[:_DETAIL]
        return judge.tell(Reason.CARD_CHANGED, detail)
    return verdict
