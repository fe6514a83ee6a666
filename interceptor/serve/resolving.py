"""What a name has that its agent may know: looked up on the host, after the verdict.

Whether it exists is asked of the dialler's resolver, which sees what a connection would see
(nsswitch, /etc/hosts) and keeps it for the connection that follows. SRV, MX and TXT records are
asked of the nameservers in /etc/resolv.conf.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from interceptor.serve.resolver import ResolveError, Resolver
from interceptor.wire import dns
from interceptor.wire.dns_records import AnswerError, Found, OtherAnswerError, question, read

ATTEMPT: Final = 2.0
"""Seconds that one nameserver has."""
ROUNDS: Final = 2
"""How often each is asked."""
SERVERS: Final = 3
"""Nameservers that are asked, as resolv.conf(5) says."""
PORT: Final = 53

_LONGEST: Final = 4_096  # bytes of resolv.conf that are read
_FAULTS: Final = (OSError, TimeoutError, EOFError, AnswerError)

Exists = Callable[[str], Awaitable[bool]]
"""Says whether a name has addresses. Raises LookupFailed where nobody knows."""


class LookupFailed(Exception):  # noqa: N818 - it says what has happened
    """Nobody has answered, or what came was no answer."""


def existence(resolver: Resolver) -> Exists:
    """Ask the dialler's resolver, whose answer then is there for the connection."""

    async def exists(name: str) -> bool:
        try:
            await resolver.resolve(name)
        except ResolveError as error:
            if error.absent:
                return False
            raise LookupFailed(error.detail) from None
        return True

    return exists


class Lookups:
    """Looks up names for a jail's DNS. One look-up for a name, however many wait for it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, exists: Exists, resolv_conf: str = "/etc/resolv.conf"
    ) -> None:
        """Ask on `loop`. The file is read each time, so that a host may change networks."""
        self._loop = loop
        self._exists = exists
        self._file = Path(resolv_conf)
        self._flights: dict[tuple[str, int], asyncio.Task[Found]] = {}

    async def look_up(self, name: str, qtype: int) -> Found:
        """Look up SRV, MX or TXT of a lower-case name, or for A whether it has any address.

        Raises:
            LookupFailed: see there.
        """
        key = (name, qtype)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = self._loop.create_task(self._ask(name, qtype))
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    def close(self) -> None:
        """Stop asking."""
        for flight in list(self._flights.values()):
            flight.cancel()

    def _landed(self, key: tuple[str, int], flight: asyncio.Task[Found]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # somebody may wait for it no more

    async def _ask(self, name: str, qtype: int) -> Found:
        if qtype == dns.A:
            return Found() if await self._exists(name) else Found(rcode=dns.NXDOMAIN)
        fault = "there is no nameserver in resolv.conf"
        servers = nameservers(self._text())
        for server in servers * ROUNDS:
            try:
                async with asyncio.timeout(ATTEMPT):
                    found = await self._over_udp(server, name, qtype)
                    if found.truncated:
                        found = await self._over_tcp(server, name, qtype)
                    return found
            except _FAULTS as error:
                fault = f"{server}: {error or 'no answer'}"
        raise LookupFailed(fault)

    def _text(self) -> str:
        try:
            with self._file.open("rb") as file:
                return file.read(_LONGEST).decode("utf-8", "replace")
        except OSError:
            return ""

    async def _over_udp(self, server: str, name: str, qtype: int) -> Found:
        answered: asyncio.Future[Found] = self._loop.create_future()
        ident = secrets.randbelow(1 << 16)
        # A port that the kernel draws, connected: nobody but this server is heard (RFC 5452).
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Asker(answered, ident, name, qtype), remote_addr=(server, PORT)
        )
        try:
            transport.sendto(question(name, qtype, ident))
            return await answered
        finally:
            transport.close()

    async def _over_tcp(self, server: str, name: str, qtype: int) -> Found:
        ident = secrets.randbelow(1 << 16)
        query = question(name, qtype, ident)
        reader, writer = await asyncio.open_connection(server, PORT)
        try:
            writer.write(len(query).to_bytes(2) + query)
            length = int.from_bytes(await reader.readexactly(2))
            found = read(await reader.readexactly(length), ident, name, qtype)
        finally:
            writer.transport.abort()
        if found.truncated:
            raise AnswerError("truncated over TCP")
        return found


class _Asker(asyncio.DatagramProtocol):
    """One query over UDP."""

    def __init__(self, answered: asyncio.Future[Found], ident: int, name: str, qtype: int) -> None:
        self._answered = answered
        self._asked = (ident, name, qtype)

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002
        """Take the answer; another one may be somebody's guess, and the true one still comes."""
        if self._answered.done():
            return
        try:
            found = read(data, *self._asked)
        except OtherAnswerError:
            return
        except AnswerError as error:
            self._answered.set_exception(error)
        else:
            self._answered.set_result(found)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there."""
        if not self._answered.done():
            self._answered.set_exception(exc)


def nameservers(text: str) -> list[str]:
    """Addresses of the nameservers in resolv.conf(5), in their order; without any, our own host's.

    A scope, as in `fe80::1%eth0`, stays.
    """
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                ipaddress.ip_address(words[1])
                found.append(words[1])
    return found[:SERVERS] or ["127.0.0.1"]
