"""The link of a guest: its DHCP server and its router, on sockets of the captive namespace.

Served by the interceptor, which has no rights; the sockets were bound before. What is not
understood is not answered. There is one client and one address, so a flood costs a guest its own
answers only: both kinds of answers have a rate.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final

from interceptor.serve.messages import Addresses
from interceptor.wire import dhcp, router_advertisement

_BATCH: Final = 16
_LARGEST: Final = 2_048
_CLIENT_PORT: Final = 68
_ALL_NODES: Final = "ff02::1"
_EVERY: Final = 300.0
"""Seconds between two advertisements that nobody asked for (RFC 4861 section 6.2.1)."""
_GAP: Final = 0.5
"""Seconds between two advertisements at the least."""
_ANSWERS: Final = 20
"""DHCP answers that may go out at once, and per second."""


class GuestLink:
    """Serves one guest's link until it is closed; the sockets stay the caller's."""

    def __init__(
        self,
        addresses: Addresses,
        dhcp_socket: socket.socket,
        router_socket: socket.socket | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Begin at once.

        Args:
            addresses: what the guest is given.
            dhcp_socket: bound to port 67 of the link.
            router_socket: ICMPv6 of the link; None without IPv6.
            loop: reads the sockets.
        """
        self._loop = loop
        self._terms = dhcp.Terms(
            _octets(addresses.mac),
            addresses.ipv4,
            addresses.gateway_ipv4,
            addresses.bits_ipv4,
            addresses.mtu,
        )
        self._advertisement = router_advertisement.advertisement(
            addresses.prefix_ipv6,
            addresses.gateway_ipv6,
            _octets(addresses.router_mac),
            addresses.mtu,
        )
        self._dhcp, self._router = dhcp_socket, router_socket
        self._tokens, self._filled = float(_ANSWERS), loop.time()
        self._last = loop.time() - _GAP
        self._timer: asyncio.TimerHandle | None = None
        dhcp_socket.setblocking(False)  # noqa: FBT003
        loop.add_reader(dhcp_socket, self._questions)
        if router_socket is not None:
            router_socket.setblocking(False)  # noqa: FBT003
            loop.add_reader(router_socket, self._solicitations)
            self._advertise()

    def close(self) -> None:
        """Serve no more; safe to call again."""
        self._loop.remove_reader(self._dhcp)
        if self._router is not None:
            self._loop.remove_reader(self._router)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _questions(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._dhcp.recv(_LARGEST)
            except OSError:
                return
            try:
                answer = dhcp.answer(dhcp.parse(data), self._terms)
            except dhcp.DhcpError:
                continue
            if answer is not None and self._may_answer():
                with contextlib.suppress(OSError):
                    self._dhcp.sendto(answer.data, (answer.address, _CLIENT_PORT))

    def _may_answer(self) -> bool:
        now = self._loop.time()
        self._tokens = min(_ANSWERS, self._tokens + (now - self._filled) * _ANSWERS)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _solicitations(self) -> None:
        assert self._router is not None  # noqa: S101
        asked = False
        for _ in range(_BATCH):
            try:
                data = self._router.recv(_LARGEST)
            except OSError:
                break
            asked = asked or router_advertisement.solicited(data)
        if asked:
            # To all nodes, and all questions of a moment at once (RFC 4861 section 6.2.6).
            self._arm(max(0.0, self._last + _GAP - self._loop.time()))

    def _advertise(self) -> None:
        assert self._router is not None  # noqa: S101
        self._last = self._loop.time()
        place: tuple[Any, ...] = (_ALL_NODES, 0)
        with contextlib.suppress(OSError):  # no cable yet
            self._router.sendto(self._advertisement, place)
        self._arm(_EVERY)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._advertise)


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
