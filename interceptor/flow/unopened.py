"""What is not opened: refusals that name the protocol, so that an operator knows what to add."""

from __future__ import annotations

from interceptor.decide.judge import Judge
from interceptor.flow.context import Identity
from interceptor.flow.steps import Close, Record, Step, ToClient
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict
from interceptor.wire.farewell import farewell
from interceptor.wire.postgres import REQUESTS
from interceptor.wire.protocols import usual


def refuse_protocol(judge: Judge, identity: Identity, name: str, data: bytes) -> list[Step]:
    """Steps that end a connection that began with `data`, which is of protocol `name`.

    The agent is told in its own protocol where there is a way. An empty name is of nothing known.
    """
    refused = identity.refused
    if refused is None or (name and refused.reason is Reason.PORT_NOT_ALLOWED):
        detail = not_opened(identity, name)
        refused = judge.refuse(Reason.PROTOCOL_REFUSED, detail, "tcp")
    else:
        refused = closed_port(judge, identity, refused)
    text = farewell(name, last_words(refused), greeted=False, asked=data[:8] in REQUESTS)
    told: list[Step] = [ToClient(text)] if text else []
    record = Record(refused, identity.target(), Kind.CONNECTION)
    return [record, *told, Close(reset=not text)]


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
