"""A WebSocket client that sends exactly the frames it is told to: `talk.py URL FRAMES`.

FRAMES is JSON: `[{"opcode", "payload", "fin", "rsv1"}]`. Prints JSON: the status of the handshake,
the code of the close frame, what was echoed. Runs by itself, with the system's Python.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

_OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9}


def frame(plan: dict[str, object]) -> bytes:
    """One masked frame (RFC 6455 section 5.2), short payloads only."""
    payload = str(plan["payload"]).encode()
    first = _OPCODES[str(plan["opcode"])] | (128 if plan.get("fin", True) else 0)
    first |= 64 if plan.get("rsv1") else 0
    size = len(payload)
    length = bytes((128 | size,)) if size < 126 else bytes((254,)) + size.to_bytes(2, "big")
    mask = os.urandom(4)
    return bytes((first,)) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def main() -> None:
    """Talk."""
    url, frames = urlsplit(sys.argv[1]), json.loads(sys.argv[2])
    host = url.hostname or ""
    raw = socket.create_connection((host, 443), 10)
    raw.settimeout(10)
    end = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    end.sendall(
        f"GET {url.path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    data = b""
    while b"\r\n\r\n" not in data:
        data += end.recv(4096) or b"\r\n\r\n"
    head, _, data = data.partition(b"\r\n\r\n")
    found = {"status": int(head.split(b" ")[1]), "code": 0, "echo": ""}
    if found["status"] == 101:
        end.sendall(b"".join(map(frame, frames)))
        try:
            while len(data) < 2 or len(data) < 2 + (data[1] & 127):
                piece = end.recv(4096)
                if not piece:
                    break
                data += piece
        except (TimeoutError, OSError):
            pass
        if data[:1] == b"\x88":
            found["code"] = int.from_bytes(data[2:4], "big")
        elif data[:1] in (b"\x81", b"\x82"):
            found["echo"] = data[2:].decode("utf-8", "replace")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
