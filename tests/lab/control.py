"""The control channel between a `Lab` and its internet process: framed msgpack over a socketpair.

Each message is a 4-byte big-endian length and a msgpack value. A request is `{"op": name, ...}`;
the answer is `{"ok": value}` or `{"error": text}`.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

_LENGTH = struct.Struct(">I")
HEADER_SIZE = _LENGTH.size


def frame(value: object) -> bytes:
    """Encode one message."""
    data = msgspec.msgpack.encode(value)
    return _LENGTH.pack(len(data)) + data


def length(header: bytes) -> int:
    """Number of bytes that follow `header`."""
    size: int = _LENGTH.unpack(header)[0]
    return size


def receive(channel: socket.socket) -> Any:
    """Read one message; EOFError when the other side is gone."""
    return msgspec.msgpack.decode(_exactly(channel, length(_exactly(channel, HEADER_SIZE))))


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = channel.recv(size - len(data))
        if not piece:
            raise EOFError("the lab's internet process is gone")
        data += piece
    return bytes(data)
