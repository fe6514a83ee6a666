"""The way to a target that was allowed: what is asked, and what may be dialled of the answer."""

from __future__ import annotations

from interceptor.decide.judge import Judge
from interceptor.flow.steps import Dial, Resolve
from interceptor.model import Target
from interceptor.verdict import Verdict


def ask(judge: Judge, target: Target, *, fresh: bool = False, lane: int = 0) -> Resolve:
    """Return the step that finds a connection or the addresses; a named service has its own."""
    endpoint = judge.endpoint(target)
    known = "" if endpoint is None else endpoint.address
    return Resolve(target, fresh, lane, known, judge.epoch)


def dial(
    judge: Judge,
    target: Target,
    addresses: tuple[str, ...],
    canonical: str,
    alpn: tuple[str, ...],
    lane: int = 0,
) -> tuple[Verdict, Dial | None]:
    """Judge an answer; return the verdict, and the step that dials if all of it may be."""
    verdict, literals = judge.addresses(target, addresses, canonical)
    if not verdict.allowed:
        return verdict, None
    endpoint = judge.endpoint(target)
    port = 0 if endpoint is None else endpoint.port
    return verdict, Dial(target, literals, alpn, lane, port, judge.epoch)


def refused_again(judge: Judge, target: Target, address: str) -> Verdict | None:
    """Judge the address of a connection that is there already; None: it may be used.

    What was public once may not be now: a host gets addresses and networks while it runs.
    """
    verdict, _ = judge.addresses(target, (address,))
    return None if verdict.allowed else verdict
