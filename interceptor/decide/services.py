"""Services that policy opens by name: what is spoken there (`tcp`), where they are (`services`).

Both are looked up by host and port. A `tcp` entry opens another protocol than HTTP; a `services`
entry gives a name and a port a private place of its own, and opens nothing beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from interceptor.decide.hosts import HostSet
from interceptor.policy.patterns import parse_service
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


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """Where a named service is."""

    address: str
    """Canonical text."""
    port: int


class NamedServices:
    """The `services` section of a policy.

    Raises:
        ValueError: an entry is malformed (the policy loader has checked them before).
    """

    def __init__(self, services: Mapping[str, str]) -> None:
        self._ports: dict[str, dict[int, Endpoint]] = {}
        for name, place in services.items():
            entry = parse_service(name, place)
            ports = self._ports.setdefault(entry.name, {})
            ports[entry.port] = Endpoint(entry.address, entry.service_port)

    def __bool__(self) -> bool:
        return bool(self._ports)

    def __contains__(self, host: str) -> bool:
        """Tell whether `host`, lower case without trailing dot, is the name of a service."""
        return host in self._ports

    def find(self, host: str, port: int) -> Endpoint | None:
        """Return where the service of this name and port is, or None."""
        ports = self._ports.get(host)
        return None if ports is None else ports.get(port)
