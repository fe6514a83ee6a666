"""TCP services that policy opens by name, port and protocol."""

from __future__ import annotations

from collections.abc import Sequence

from interceptor.decide.hosts import HostSet
from interceptor.policy.schema import TcpService


class Services:
    """The `tcp` section of a policy.

    Raises:
        ValueError: a pattern is malformed (the policy loader has checked them before).
    """

    def __init__(self, services: Sequence[TcpService]) -> None:
        self._by_port: dict[int, list[tuple[HostSet, TcpService]]] = {}
        for i, service in enumerate(services):
            hosts = HostSet((service.host,), f"tcp[{i}]")
            self._by_port.setdefault(service.port, []).append((hosts, service))

    def find(self, host: str, port: int) -> TcpService | None:
        """Return the first entry that fits, or None.

        `host` is a lower-case name without trailing dot, or canonical address text.
        """
        for hosts, service in self._by_port.get(port, ()):
            if hosts.find(host, port) is not None:
                return service
        return None
