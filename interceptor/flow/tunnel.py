"""Tunnels that an agent asks for by CONNECT or SOCKS: who is inside, and what speaks against it."""

from __future__ import annotations

from typing import Final

from interceptor.decide.judge import Judge
from interceptor.flow.context import FlowContext, Identity
from interceptor.model import Target
from interceptor.verdict import Reason, Verdict

_DEPTH_LIMIT: Final = 4
"""Tunnels within tunnels; a real client needs two at most."""


def identify(context: FlowContext, scheme: str, host: str, port: int, now: float) -> Identity:
    """Identity of a host that a client named itself; a synthetic address stands for its name."""
    name = context.name_of(host, now) or host
    verdict = context.judge.connection(Target(scheme, name, port))
    return Identity(scheme, name, port, None if verdict.allowed else verdict)


def bad_name(judge: Judge, host: str) -> Verdict | None:
    """Judge a name that came from elsewhere than DNS; addresses are judged as such, not here."""
    if is_address(host):
        return None
    verdict = judge.name(host)
    return None if verdict.allowed else verdict


def is_address(host: str) -> bool:
    """True for the text of an address, and for what only looks like one."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def tunnel(
    judge: Judge, outer: Identity, inner: Identity, asked: str = ""
) -> tuple[Identity, Verdict | None]:
    """Identity of what will be inside a tunnel, or why there is none.

    What policy has against the host inside is no reason: it is told inside, where the agent's
    client shows it.

    Args:
        judge: of the jail.
        outer: the connection on which the tunnel was asked for.
        inner: the host that was named.
        asked: its name as the agent wrote it; secrets may need its capitals.
    """
    refused = bad_name(judge, asked or inner.host)
    if refused is None and outer.depth >= _DEPTH_LIMIT:
        refused = judge.refuse(Reason.LIMIT_EXCEEDED, f"more than {_DEPTH_LIMIT} tunnels")
    if refused is None and outer.scheme == "https":
        refused = outer.refused
    depth = outer.depth + 1
    inside = Identity("tcp", inner.host, inner.port, inner.refused, proxying=True, depth=depth)
    return inside, refused
