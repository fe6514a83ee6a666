"""The lab's internet: builds the two network namespaces, then serves everything in them.

Runs as one process in three stages: `build` makes the namespaces and the veth pair with every link
down, the `Lab` checks that they are sealed, and only then `open` sets the links up.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import os
import socket
import ssl
import subprocess
from asyncio import sslproto
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pyroute2 import IPRoute

from netns.namespaces import Namespace, unshare
from tests.lab import control, endpoints, git_server, oracle, world
from tests.lab.certificates import Authority
from tests.lab.dns_server import Names, UdpResolver, tcp_resolver
from tests.lab.listening import bound_socket
from tests.lab.records import Book
from tests.lab.web_server import WebServer

_SYSCTL = Path("/proc/sys/net")


def _settle_ipv6() -> None:
    """IPv6 on, without the second that duplicate address detection takes."""
    for scope in ("all", "default"):
        (_SYSCTL / f"ipv6/conf/{scope}/disable_ipv6").write_text("0")
        (_SYSCTL / f"ipv6/conf/{scope}/accept_dad").write_text("0")
        (_SYSCTL / f"ipv6/conf/{scope}/accept_ra").write_text("0")


class Internet:
    """Owner of both network namespaces. Construct it inside the host's."""

    def __init__(self, authority: Authority, names: Mapping[str, world.Answer]) -> None:
        self._authority = authority
        self._book = Book()
        self._names = Names(names, self._book)
        self._web = WebServer(self._book, endpoints.answer)
        self._held: list[object] = []

    def build(self) -> tuple[int, int]:
        """Make the internet's namespace and the veth, all down.

        :returns: descriptors of the host's and the internet's network namespaces
        """
        _settle_ipv6()
        self._host = IPRoute()
        self._host.link("set", index=1, state="up")
        self._own_services = oracle.host_listeners()
        host = os.open("/proc/self/ns/net", os.O_RDONLY)
        unshare(Namespace.NET)
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        # servers that know nothing of AnyIP (nginx) bind to any address too
        (_SYSCTL / "ipv6/ip_nonlocal_bind").write_text("1")
        _settle_ipv6()
        self._internet = IPRoute()
        peer = {"ifname": world.INTERNET_LINK, "net_ns_fd": own}
        self._host.link("add", ifname=world.HOST_LINK, kind="veth", peer=peer)
        return host, own

    def open(self) -> None:
        """Set the links up and give them addresses and routes."""
        v4 = (socket.AF_INET, world.LAN_V4, world.GATEWAY_V4, world.HOST_V4)
        v6 = (socket.AF_INET6, world.LAN_V6, world.GATEWAY_V6, world.HOST_V6)
        host, inner = self._host, self._internet
        near = host.link_lookup(ifname=world.HOST_LINK)[0]
        far = inner.link_lookup(ifname=world.INTERNET_LINK)[0]
        inner.link("set", index=1, state="up")
        inner.link("set", index=far, state="up")
        host.link("set", index=near, state="up")
        for family, length, gateway, address in (v4, v6):
            host.addr("add", index=near, address=address, prefixlen=length, family=family)
            inner.addr("add", index=far, address=gateway, prefixlen=length, family=family)
            host.route("add", family=family, dst="default", gateway=gateway, oif=near)
            every = "0.0.0.0/0" if family == socket.AF_INET else "::/0"
            # AnyIP: every address is this namespace's own
            inner.route("add", family=family, dst=every, oif=1, type="local", table=254, scope=254)
        subprocess.run(["nft", "-f", "-"], input=nft_rules(), text=True, check=True)

    async def serve(self, channel: socket.socket) -> None:
        """Answer the `Lab` until it closes the channel."""
        reader, writer = await asyncio.open_connection(sock=channel)
        await self._listen()
        writer.write(control.frame({"ok": None}))
        try:
            while True:
                head = await reader.readexactly(control.HEADER_SIZE)
                message = msgspec.msgpack.decode(await reader.readexactly(control.length(head)))
                try:
                    answer: dict[str, Any] = {"ok": await self._obey(message)}
                except (LookupError, ValueError, OSError, subprocess.SubprocessError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(control.frame(answer))
                await writer.drain()
        except (EOFError, OSError):
            return

    async def _obey(self, message: dict[str, Any]) -> object:
        match message["op"]:
            case "arrivals":
                return self._book.arrivals
            case "requests":
                return self._book.requests
            case "questions":
                return self._book.questions
            case "dials":
                return self._book.dials
            case "repository":
                git_server.make_repository()
            case "clear":
                self._book.clear()
            case "name":
                self._names.set(message["name"], msgspec.convert(message["answer"], world.Answer))
            case "page":
                endpoints.PAGES[message["name"]] = message["kind"], message["content"]
            case "leaf":
                return self._authority.leaf(message["name"], message.get("fault", ""))
            case other:
                raise LookupError(f"unknown operation {other!r}")
        return None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        _send_alerts()
        sniffer = oracle.Sniffer(self._book)
        sniffer.start(loop)
        inside = oracle.TcpOracle(self._book, self._authority, "internet")
        own = oracle.TcpOracle(self._book, self._authority, "host")
        udp: list[tuple[socket.socket, asyncio.DatagramProtocol]] = []
        for listener in self._own_services:
            if listener.type == socket.SOCK_STREAM:
                own.start(loop, listener)
            else:
                udp.append((listener, oracle.UdpOracle(self._book)))
        for address in ("0.0.0.0", "::"):
            inside.start(loop, bound_socket(address, oracle.TCP_PORT))
            every = bound_socket(address, oracle.UDP_PORT, socket.SOCK_DGRAM)
            udp.append((every, oracle.UdpOracle(None)))
        for address in (world.RESOLVER_V4, world.RESOLVER_V6):
            udp.append((bound_socket(address, 53, socket.SOCK_DGRAM), UdpResolver(self._names)))
            self._held.append(
                await asyncio.start_server(
                    tcp_resolver(self._names), sock=bound_socket(address, 53)
                )
            )
        for bound, protocol in udp:
            pair = await loop.create_datagram_endpoint(
                lambda chosen=protocol: chosen,  # type: ignore[misc]
                sock=bound,
            )
            self._held.append(pair)
        legacy = self._authority.legacy_listener("tls11.tls.example")
        modern = self._authority.listener("example.com")
        newer = self._authority.listener("h2.example.com", ("h2", "http/1.1"))
        newest = self._authority.listener("h2only.example.com", ("h2",))
        sites: tuple[tuple[tuple[str, ...], ssl.SSLContext, tuple[str, ...]], ...] = (
            ((*world.WEB, *world.ATTACKER, *world.GIT), modern, ("HTTP/1.1",)),
            (world.LEGACY_TLS, legacy, ("HTTP/1.1",)),
            (world.HTTP2, newer, ("HTTP/2", "HTTP/1.1")),
            (world.HTTP2_ONLY, newest, ("HTTP/2",)),
        )
        for addresses, context, versions in sites:
            for address, port in itertools.product(addresses, world.WEB_PORTS):
                secure = None if port == 80 else context
                self._held.append(await self._web.listen(address, port, secure, versions))
        self._held += [sniffer, inside, own]


def _send_alerts() -> None:
    """Make asyncio send the alert of a handshake that failed, which it otherwise drops."""
    protocol: Any = sslproto.SSLProtocol
    done = protocol._on_handshake_complete

    def complete(self: Any, error: BaseException | None) -> None:
        if error is not None:
            self._process_outgoing()
        done(self, error)

    protocol._on_handshake_complete = complete


def nft_rules() -> str:
    """Rules of the internet's namespace: every port that nobody serves leads to the oracle."""
    lines = ["table inet lab {", " chain prerouting {"]
    lines.append("  type nat hook prerouting priority dstnat; policy accept;")
    lines.append(f'  iifname != "{world.INTERNET_LINK}" accept')
    for protocol, address, port in sorted(world.served()):
        lines.append(f"  {_family(address)} daddr {address} {protocol} dport {port} accept")
    for address in world.REFUSING:  # nobody listens: the kernel answers with a reset
        lines.append(f"  {_family(address)} daddr {address} accept")
    lines.append(f"  meta l4proto tcp redirect to :{oracle.TCP_PORT}")
    lines.append(f"  meta l4proto udp redirect to :{oracle.UDP_PORT}")
    lines += [" }", " chain silent {", "  type filter hook prerouting priority raw;"]
    for address in world.SILENT:
        lines.append(f"  {_family(address)} daddr {address} drop")
    return "\n".join([*lines, " }", "}", ""])


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


def now() -> dt.datetime:
    """The time for certificates."""
    return dt.datetime.now(dt.UTC)
