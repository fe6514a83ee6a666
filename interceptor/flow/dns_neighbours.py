"""Multicast DNS (RFC 6762) and LLMNR (RFC 4795): questions to neighbours that a jail does not have.

They are recorded and not answered, as neither protocol has a negative answer that a client would
take. Who asks neighbours asks ordinary DNS as well, which answers every name.
"""

from __future__ import annotations

from typing import Final

from interceptor.decide.encrypted_dns import explained
from interceptor.flow.steps import Record
from interceptor.model import Kind, Target
from interceptor.verdict import Reason, Verdict

GROUPS: Final = {
    5353: ("multicast DNS", "224.0.0.251", "ff02::fb"),
    5355: ("LLMNR", "224.0.0.252", "ff02::1:3"),
}
"""By port: the protocol, and its groups in IPv4 and IPv6, which stand for all multicast there."""
WINDOW: Final = 60.0
"""Seconds in which one of a kind is recorded: some programs never stop asking."""


class Neighbours:
    """What an agent asks its neighbours. One object a jail."""

    def __init__(self) -> None:
        self._recorded: dict[tuple[int, bool], float] = {}

    def asked(self, port: int, now: float, *, ipv6: bool) -> Record | None:
        """Return the record of a datagram to `port`, or None while its like was just recorded."""
        last = self._recorded.get((port, ipv6))
        if last is not None and now - last < WINDOW:
            return None
        self._recorded[port, ipv6] = now
        name, *groups = GROUPS[port]
        verdict = Verdict(reason=Reason.DNS_BYPASS, rule="dns", detail=explained(name))
        return Record(verdict, Target("dns", groups[ipv6], port), Kind.DNS_QUERY.value)
