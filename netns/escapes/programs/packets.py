"""Out with packets: every protocol, family and option that programs can ask for."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from netns.escapes.task import Task

_SECONDS = 0.12
_MPTCP, _DCCP, _UDPLITE, _SCTP = 262, 33, 136, 132
_SO_MARK, _IP_FREEBIND, _IP_TRANSPARENT, _MSG_FASTOPEN = 36, 15, 19, 0x20000000


def _address(task: Task, default: str = "public4") -> str:
    address: str = task.world[task.args.get("to", default)]
    return address


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _dialled(end: socket.socket, address: str, port: int, payload: bytes) -> str:
    """Send one datagram and wait a moment for what comes of it."""
    end.settimeout(_SECONDS)
    where = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0][4]
    end.connect(where)
    end.send(payload)
    with contextlib.suppress(TimeoutError):
        end.recv(2048)
        return "answered"
    return "sent, no answer"


def udp(task: Task) -> str:
    """Send a datagram."""
    address = _address(task)
    prefix = bytes.fromhex(task.args.get("hex", ""))
    with socket.socket(_family(address), socket.SOCK_DGRAM) as end:
        return _dialled(end, address, task.args["port"], prefix + task.nonce)


def udp_loose(task: Task) -> str:
    """Send without connecting, so that no error is waited for."""
    address = _address(task)
    with socket.socket(_family(address), socket.SOCK_DGRAM) as end:
        if task.args.get("broadcast"):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        where = socket.getaddrinfo(address, task.args["port"], type=socket.SOCK_DGRAM)[0][4]
        end.sendto(task.nonce, where)
    return "sent"


def tcp(task: Task) -> str:
    """Connect and speak first."""
    address = _address(task)
    payload = bytes.fromhex(task.args.get("hex", "")) + task.nonce + b"\r\n"
    with socket.socket(_family(address), socket.SOCK_STREAM) as end:
        return _spoken(end, address, task.args["port"], payload)


def _spoken(end: socket.socket, address: str, port: int, payload: bytes) -> str:
    end.settimeout(1.5)
    end.connect(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][4])
    end.sendall(payload)
    with contextlib.suppress(TimeoutError):
        return f"answered: {end.recv(60)!r}"
    return "connected, no answer"


def mapped(task: Task) -> str:
    """An IPv4 address in IPv6 clothes."""
    address = "::ffff:" + task.world["public4"]
    kind = getattr(socket, task.args["kind"])
    with socket.socket(socket.AF_INET6, kind) as end:
        end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if kind == socket.SOCK_STREAM:
            return _spoken(end, address, 4444, task.nonce)
        return _dialled(end, address, 4444, task.nonce)


def link_local(task: Task) -> str:
    """A link-local neighbour, on every device there is."""
    saw = "no device"
    for index, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as end:
            end.settimeout(_SECONDS)
            try:
                end.connect((task.args["address"], 4444, 0, index))
                end.send(task.nonce)
                end.recv(100)
                saw = "answered"
            except TimeoutError:
                saw = f"sent on {name}"
            except OSError as error:
                saw = f"{name}: {os.strerror(error.errno or 0)}"
    return saw


def mptcp(task: Task) -> str:
    """Multipath TCP."""
    address = _address(task)
    with socket.socket(_family(address), socket.SOCK_STREAM, _MPTCP) as end:
        return _spoken(end, address, 4444, task.nonce)


def fast_open(task: Task) -> str:
    """Data in the SYN: TCP Fast Open (RFC 7413)."""
    address = _address(task)
    with socket.socket(_family(address), socket.SOCK_STREAM) as end:
        end.sendto(task.nonce, _MSG_FASTOPEN, (address, 4444))
        end.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            return f"answered: {end.recv(60)!r}"
    return "sent"


def udp_lite(task: Task) -> str:
    """UDP-Lite (RFC 3828)."""
    address = _address(task)
    with socket.socket(_family(address), socket.SOCK_DGRAM, _UDPLITE) as end:
        end.settimeout(_SECONDS)
        end.connect((address, 4444))
        end.send(task.nonce)
        with contextlib.suppress(TimeoutError):
            end.recv(10)
    return "sent"


def sctp(task: Task) -> str:
    """SCTP (RFC 9260), by the kernel."""
    address = _address(task)
    with socket.socket(_family(address), socket.SOCK_STREAM, _SCTP) as end:
        return _spoken(end, address, 4444, task.nonce)


def dccp(task: Task) -> str:
    """DCCP (RFC 4340), by the kernel."""
    with socket.socket(socket.AF_INET, 6, _DCCP) as end:
        return _spoken(end, _address(task), 4444, task.nonce)


def own_option(task: Task) -> str:
    """A datagram with an option that routing rules and exemptions look at."""
    option, address = task.args["option"], _address(task)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        if option == "mark":
            end.setsockopt(socket.SOL_SOCKET, _SO_MARK, task.args.get("value", 1))
        elif option == "device":
            device = task.world["device"].encode()
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        elif option == "transparent":
            end.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
            end.bind(("203.0.113.77", 0))
        elif option == "freebind":
            end.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            end.bind((task.world["source4"], 0))
        elif option == "source":
            end.bind((task.world["source4"], 0))
        elif option == "port":
            end.bind(("", task.args["value"]))
        elif option == "dontroute":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
            address = task.world["neighbour4"]
        return _dialled(end, address, 4444, task.nonce)


# --- without a transport ----------------------------------------------------------------------


def sum16(data: bytes) -> int:
    """Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~(total + (total >> 16)) & 0xFFFF)


def _echo(task: Task, kind: int) -> bytes:
    head = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1)
    return struct.pack("!BBHHH", kind, 0, sum16(head + task.nonce), os.getpid() & 0xFFFF, 1)


def echo_raw(task: Task) -> str:
    """ICMP with a payload, from a raw socket."""
    address = _address(task)
    six = ":" in address
    protocol, kind = (socket.IPPROTO_ICMPV6, 128) if six else (socket.IPPROTO_ICMP, 8)
    kind = task.args.get("type", kind)
    with socket.socket(_family(address), socket.SOCK_RAW, protocol) as end:
        end.sendto(_echo(task, kind) + task.nonce, (address, 0))
    return "sent"


def echo_datagram(task: Task) -> str:
    """ICMP echo from a datagram socket, as ping(8) does without rights (icmp(7))."""
    address = _address(task)
    six = ":" in address
    protocol, kind = (socket.IPPROTO_ICMPV6, 128) if six else (socket.IPPROTO_ICMP, 8)
    with socket.socket(_family(address), socket.SOCK_DGRAM, protocol) as end:
        end.settimeout(_SECONDS)
        end.sendto(_echo(task, kind) + task.nonce, (address, 0))
        with contextlib.suppress(TimeoutError):
            end.recv(100)
    return "sent"


def protocol(task: Task) -> str:
    """One IP protocol, by its number, from a raw socket."""
    address = _address(task)
    payload = bytes.fromhex(task.args.get("hex", "")) + task.nonce
    with socket.socket(_family(address), socket.SOCK_RAW, task.args["number"]) as end:
        end.sendto(payload, (address, 0))
    return "sent"


def every_protocol(task: Task) -> str:
    """Every IP protocol number there is, headers written by hand."""
    address, sent, refused = task.world["public4"], 0, ""
    for number in range(256):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as end:
                head = struct.pack(
                    "!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, number, 0, b"\0\0\0\0",
                    socket.inet_aton(address),
                )  # fmt: skip
                end.sendto(head + b"\0" * 8 + task.nonce, (address, 0))
                sent += 1
        except OSError as error:
            refused = os.strerror(error.errno or 0)
    return f"{sent} of 256 sent {refused}".strip()


def every_protocol_six(task: Task) -> str:
    """Every next header of IPv6."""
    sent, refused = 0, ""
    for number in range(1, 255):
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, number) as end:
                end.sendto(b"\0" * 8 + task.nonce, (task.world["public6"], 0))
                sent += 1
        except OSError as error:
            refused = os.strerror(error.errno or 0)
    return f"{sent} of 254 sent {refused}".strip()


def frame(task: Task) -> str:
    """An Ethernet frame of an unknown type on every device."""
    kind = getattr(socket, task.args["kind"])
    sent = 0
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_PACKET, kind, socket.htons(0x88B5)) as end:
            where = (name, 0x88B5, 0, 0, b"\xff" * 6)
            head = b"\xff" * 6 + b"\x02\0\0\0\0\1\x88\xb5" if kind == socket.SOCK_RAW else b""
            with contextlib.suppress(OSError):
                end.sendto(head + task.nonce.ljust(64), where)
                sent += 1
    return f"sent on {sent} devices"


def sniff(task: Task) -> str:
    """See the traffic of others."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)):
        return task.gain("the kernel gave a socket")
