"""The attempts that need no lab: what `egressguard self-test` tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netns.escapes.attempt import Attempt, Event, Proof

_SIGNAL, _LOOT, _GRANT = Proof.SIGNAL, Proof.LOOT, Proof.GRANT
_BLOCK, _PACKET = Event.BLOCK, Event.PACKET


def _local(row: int, id: str, title: str, socket: str, how: str = "stream", **more: Any) -> Attempt:
    args = {"socket": socket}
    return Attempt(id=id, row=row, title=title, program=f"local.{how}", args=args, **more)


_SOCKETS = (
    _local(1, "docker", "docker's socket", "docker"),
    _local(1, "containerd", "containerd's socket", "containerd"),
    _local(1, "podman", "podman's socket", "podman"),
    _local(1, "libvirt", "libvirt's socket", "libvirt"),
    _local(1, "snapd", "snapd's socket", "snapd"),
    _local(1, "dbus-system", "D-Bus system bus", "dbus"),
    _local(1, "stray-socket", "a socket in the working directory", "work"),
    _local(1, "stray-by-handle", "the same through /proc/self/fd", "work", "by_descriptor"),
    _local(1, "stray-packet", "a sequenced packet socket in the working directory", "work-packet",
           "packet"),
    Attempt(id="every-socket", row=1, title="every socket file that a walk finds",
            program="local.every_socket", seconds=8.0),
    _local(2, "resolved-varlink", "systemd-resolved by varlink", "varlink"),
    _local(2, "nscd", "the name service cache", "nscd"),
    _local(2, "userdb", "systemd-userdbd by varlink", "userdb"),
    _local(3, "pair-sendto", "socketpair, then sendto a socket file", "log", "pair_sendto"),
    _local(3, "pair-connect", "socketpair, then connect to a socket file", "log", "pair_connect"),
    _local(3, "datagram", "a datagram socket file", "log", "datagram"),
    Attempt(id="uring-tcp", row=3, title="io_uring: socket, connect, send", program="ring.tcp"),
    Attempt(id="uring-unix", row=3, title="io_uring to a socket file", program="ring.local"),
    Attempt(id="uring-setup", row=3, title="io_uring_setup alone", program="ring.setup",
            proof=_GRANT),
    *(Attempt(id=f"abstract-{short}", row=4, title=f"abstract socket, {short}",
              program="local.abstract", args={"kind": kind})
      for short, kind in (("stream", "SOCK_STREAM"), ("datagram", "SOCK_DGRAM"),
                          ("seqpacket", "SOCK_SEQPACKET"))),
    Attempt(id="abstract-pair", row=4, title="socketpair to an abstract socket",
            program="local.abstract_pair"),
    _local(5, "ssh-agent", "ssh-agent by its path", "ssh-agent"),
    _local(5, "gpg-agent", "gpg-agent by its path", "gpg-agent"),
    _local(5, "x11", "X server by its path", "x11"),
    _local(5, "wayland", "Wayland compositor", "wayland"),
    _local(5, "tmux", "tmux server", "tmux"),
    _local(5, "screen", "screen session", "screen"),
    _local(5, "editor", "an editor's IPC socket", "editor"),
    _local(5, "dbus-session", "D-Bus session bus", "dbus-session"),
    *(Attempt(id=f"environment-{name.lower().replace('_', '-')}", row=5,
              title=f"what ${name} names", program="local.environment", args={"variable": name})
      for name in ("SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "TMUX", "DOCKER_HOST")),
    Attempt(id="vsock-stream", row=6, title="vsock, stream (nothing is sent)",
            program="local.vsock", proof=_GRANT),
    Attempt(id="vsock-datagram", row=6, title="vsock, 64-bit family number",
            program="local.vsock_wide", proof=_GRANT),
)  # fmt: skip

_PROTOCOLS = ((2, "IGMP"), (4, "IP in IP"), (33, "DCCP by hand"), (41, "IPv6 in IP"), (47, "GRE"),
              (50, "IPsec ESP"), (51, "IPsec AH"), (89, "OSPF"), (103, "PIM"), (112, "VRRP"),
              (115, "L2TP"), (132, "SCTP by hand"), (136, "UDP-Lite by hand"))  # fmt: skip


def _udp(row: int, id: str, title: str, port: int, to: str = "public4", **more: Any) -> Attempt:
    hexed = more.pop("hex", "")
    args = {"port": port, "to": to, "hex": hexed}
    return Attempt(id=id, row=row, title=title, program="packets.udp", args=args, event=_PACKET,
                   **more)  # fmt: skip


def _tcp(row: int, id: str, title: str, port: int, to: str = "public4", **more: Any) -> Attempt:
    hexed = more.pop("hex", "")
    args = {"port": port, "to": to, "hex": hexed}
    return Attempt(id=id, row=row, title=title, program="packets.tcp", args=args, event=_BLOCK,
                   **more)  # fmt: skip


def _option(row: int, id: str, title: str, option: str, value: int = 0, *, rights: bool = False,
            ) -> Attempt:  # fmt: skip
    args = {"option": option, "value": value}
    event = Event.NONE if rights or option == "device" else _PACKET
    return Attempt(id=id, row=row, title=title, program="packets.own_option", args=args,
                   rights=rights, event=event)  # fmt: skip


_WIREGUARD = "01000000" + "00" * 40
_QUIC = "c300000001" + "08" + "11" * 8 + "00" * 8

_PACKETS = (
    *(Attempt(id=f"frame-{short}", row=7, title=f"Ethernet frame, {kind}", program="packets.frame",
              args={"kind": kind}, rights=True)
      for short, kind in (("raw", "SOCK_RAW"), ("cooked", "SOCK_DGRAM"))),
    Attempt(id="sniff", row=7, title="packet socket that listens", program="packets.sniff",
            proof=_GRANT, rights=True),
    Attempt(id="every-protocol", row=8, title="all 256 IP protocol numbers",
            program="packets.every_protocol", rights=True),
    Attempt(id="every-next-header", row=8, title="all next headers of IPv6",
            program="packets.every_protocol_six", rights=True),
    *(Attempt(id=f"protocol-{number}", row=8, title=title, program="packets.protocol",
              args={"number": number, "hex": "00" * 8}, rights=True)
      for number, title in _PROTOCOLS),
    Attempt(id="icmp-raw", row=8, title="ICMP echo with a payload", program="packets.echo_raw",
            rights=True),
    Attempt(id="icmp-reply", row=8, title="ICMP echo reply with a payload",
            program="packets.echo_raw", args={"type": 0}, rights=True),
    Attempt(id="icmpv6-raw", row=8, title="ICMPv6 echo with a payload", program="packets.echo_raw",
            args={"to": "public6"}, rights=True),
    Attempt(id="icmp-datagram", row=8, title="ICMP echo without rights",
            program="packets.echo_datagram"),
    Attempt(id="icmpv6-datagram", row=8, title="ICMPv6 echo without rights",
            program="packets.echo_datagram", args={"to": "public6"}),
    Attempt(id="mdns", row=10, title="mDNS to its group", program="services.group_query",
            args={"group": "224.0.0.251", "port": 5353}, event=_BLOCK),
    Attempt(id="mdns6", row=10, title="mDNS to its group, IPv6", program="services.group_query",
            args={"group": "ff02::fb", "port": 5353}, event=_BLOCK),
    Attempt(id="llmnr", row=10, title="LLMNR to its group", program="services.group_query",
            args={"group": "224.0.0.252", "port": 5355}, event=_BLOCK),
    _tcp(11, "dot", "port 853 of a resolver (DoT)", 853),
    _udp(11, "doq", "UDP port 853 of a resolver (DoQ)", 853),
    _udp(19, "quic", "QUIC to port 443", 443, hex=_QUIC),
    _udp(19, "quic-odd-port", "QUIC to another port", 4443, hex=_QUIC),
    _udp(20, "udp6", "UDP over IPv6", 4444, "public6"),
    _tcp(20, "tcp6", "TCP over IPv6", 4444, "public6"),
    *(Attempt(id=f"mapped-{short}", row=20, title=f"IPv4 in an IPv6 socket, {short.upper()}",
              program="packets.mapped", args={"kind": kind}, event=event)
      for short, kind, event in (("tcp", "SOCK_STREAM", _BLOCK), ("udp", "SOCK_DGRAM", _PACKET))),
    Attempt(id="all-nodes", row=20, title="all nodes of the link, ff02::1",
            program="packets.link_local", args={"address": "ff02::1"}, event=_PACKET),
    _tcp(21, "metadata", "cloud metadata address", 80, "metadata4"),
    _tcp(21, "metadata6", "cloud metadata address, IPv6", 80, "metadata6"),
    _tcp(22, "lan", "an address of the LAN", 80, "lan4"),
    _tcp(22, "lan6", "an address of the LAN, IPv6", 80, "lan6"),
    _udp(22, "lan-udp", "an address of the LAN, UDP", 5000, "lan4"),
    _tcp(24, "host-address", "a service on the host's own address", 8080, "host4"),
    Attempt(id="host-loopback", row=24, title="a service on the host's 127.0.0.1",
            program="packets.tcp", args={"port": 8080, "to": "loopback4"}),
    Attempt(id="host-loopback6", row=24, title="a service on the host's ::1",
            program="packets.tcp", args={"port": 8080, "to": "loopback6"}),
    Attempt(id="own-localhost", row=25, title="work: the agent's own localhost",
            program="services.own_service", proof=_GRANT, work=True),
    _option(36, "mark", "SO_MARK", "mark", 1, rights=True),
    _option(36, "mark-of-rules", "the mark that our own rules use", "mark", 0x6567, rights=True),
    _option(36, "bind-device", "SO_BINDTODEVICE", "device"),
    _option(36, "transparent", "IP_TRANSPARENT, another's address", "transparent", rights=True),
    _option(36, "freebind", "IP_FREEBIND, the host's address", "freebind"),
    _option(36, "source-port", "source port of our listener", "port", 20053),
    Attempt(id="mptcp", row=37, title="MPTCP", program="packets.mptcp"),
    Attempt(id="mptcp6", row=37, title="MPTCP over IPv6", program="packets.mptcp",
            args={"to": "public6"}),
    Attempt(id="fast-open", row=37, title="TCP Fast Open, data in the SYN",
            program="packets.fast_open", event=_BLOCK),
    Attempt(id="udp-lite", row=37, title="UDP-Lite", program="packets.udp_lite"),
    Attempt(id="sctp", row=37, title="SCTP", program="packets.sctp", loads=True),
    Attempt(id="dccp", row=37, title="DCCP", program="packets.dccp", loads=True),
    *(_tcp(38, f"tcp-{port}", f"TCP port {port}", port) for port in (22, 25, 4444)),
    _tcp(38, "not-http", "no HTTP on port 80", 80, hex="00ff00ff"),
    _tcp(38, "not-tls", "no TLS on port 443", 443, hex="00ff00ff"),
    _udp(38, "udp", "UDP to any port", 4444),
    Attempt(id="udp-loose", row=38, title="UDP without connect", program="packets.udp_loose",
            args={"port": 4444}, event=_PACKET),
    Attempt(id="broadcast", row=38, title="UDP broadcast", program="packets.udp_loose",
            args={"port": 4444, "to": "broadcast4", "broadcast": True}, event=_PACKET),
    _udp(38, "ntp", "NTP", 123, hex="23" + "00" * 47),
    _udp(38, "stun", "STUN", 3478, hex="000100002112a442" + "00" * 12),
    _udp(38, "wireguard", "WireGuard", 51820, hex=_WIREGUARD),
)  # fmt: skip


def all_local() -> Iterator[Attempt]:
    """Every attempt that needs no lab, in the order of the threat model's rows."""
    from netns.escapes.attempts_system import SYSTEM

    yield from sorted((*_SOCKETS, *_PACKETS, *SYSTEM), key=lambda each: each.row)
