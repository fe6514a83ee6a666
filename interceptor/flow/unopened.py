"""What is not opened: refusals that name the protocol, so that an operator knows what to add."""

from __future__ import annotations

from typing import Final

from interceptor.decide.judge import Judge
from interceptor.flow.alone import Alone
from interceptor.flow.context import Identity
from interceptor.flow.steps import Record, Step, ToClient
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.farewell import farewell
from interceptor.wire.postgres import REQUESTS
from interceptor.wire.protocols import usual

_SECONDS: Final = 5.0


def refuse_protocol(judge: Judge, identity: Identity, name: str) -> tuple[Record, bytes]:
    """Refuse a connection whose first bytes are those of `name`; empty: of nothing known.

    Gives the record, and what the agent is told in its own protocol, if that has a way.
    """
    refused = identity.refused
    if refused is None or (name and refused.reason is Reason.PORT_NOT_ALLOWED):
        detail = not_opened(identity, name)
        refused = judge.refuse(Reason.PROTOCOL_REFUSED, detail, "tcp")
    else:
        refused = closed_port(judge, identity, refused)
    record = Record(refused, identity.target(), Kind.CONNECTION)
    return record, farewell(name, last_words(refused), greeted=False)


class Declined(Alone):
    """A `Speaker` that has declined encryption, and refuses what follows.

    PostgreSQL's clients show an error in answer to their start only, not to SSLRequest
    (CVE-2024-10977), and not when it comes together with the answer to that.
    """

    __slots__ = ("_text",)

    def __init__(self, steps: list[Step], exchange: int, text: bytes, now: float) -> None:
        """Answer SSLRequest or GSSENCRequest now, and the next message with `text`."""
        super().__init__(steps, exchange, now + _SECONDS)
        self._text = text
        steps.append(ToClient(b"N"))

    def client_bytes(self, data: bytes, now: float) -> None:  # noqa: ARG002
        """See `Speaker`."""
        if data in REQUESTS:
            self._steps.append(ToClient(b"N"))
        elif not self._closed:
            self._steps.append(ToClient(self._text))
            self._close()

    def timer(self, now: float) -> None:  # noqa: ARG002
        """See `Speaker`."""
        self._close()


def closed_port(judge: Judge, identity: Identity, refused: Verdict) -> Verdict:
    """The same refusal; that of a port with the protocol that is usual there."""
    guess = usual(identity.port)
    if not guess or refused.reason is not Reason.PORT_NOT_ALLOWED:
        return refused
    detail = f"{refused.detail}; {not_opened(identity, guess)}"
    return judge.refuse(refused.reason, detail, refused.rule)


def not_opened(identity: Identity, name: str) -> str:
    """One clause: what is not opened, and where to open it."""
    authority = Target("tcp", identity.host, identity.port).authority
    what = f"{name} is" if name else "an unknown protocol is"
    return f"{what} not opened for {authority}; add it under tcp"


def last_words(verdict: Verdict) -> str:
    """One line that a client may show."""
    return f"egressguard: {verdict.reason.value}: {verdict.detail}"
