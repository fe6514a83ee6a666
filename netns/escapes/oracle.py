"""The outside, live: sockets, queues, files, processes and sniffers that record what arrives.

A process of its own: `python -m netns.escapes.oracle` with a `Furniture` as JSON. It answers
questions on stdin: whose nonces have arrived, and where. Nothing is forgotten while it lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from netns.escapes.furniture import Furniture, module
from netns.escapes.programs.calls import LIBC, call

_FRAME: Final = 65_536
_ANSWER: Final = b"you reached the oracle\n"
_PLACE: Final = 4 << 20
"""Bytes kept of each place; more is not needed to find a nonce that has just arrived."""


class Oracle:
    """The objects, and the record."""

    def __init__(self, wanted: Furniture) -> None:
        self._wanted = wanted
        self._selector = selectors.DefaultSelector()
        self._seen: dict[str, bytearray] = {}
        self._held: list[Any] = []
        self.faults: list[str] = []
        self.victims: dict[str, dict[str, Any]] = {}

    def build(self) -> None:
        """Make everything; what cannot be made is in `faults`."""
        wanted = self._wanted
        # First: the C library of a program that starts may ask a stand-in, and wait for an answer.
        for uid in wanted.victims:
            self._guarded(f"process of {uid}", lambda u=uid: self._victim(u))
        if wanted.sniff:
            self._sniff()
        kinds = (
            (wanted.streams, socket.SOCK_STREAM),
            (wanted.datagrams, socket.SOCK_DGRAM),
            (wanted.packets, socket.SOCK_SEQPACKET),
        )
        for paths, kind in kinds:
            for name, path in paths.items():
                self._guarded(f"socket {path}", lambda n=name, p=path, k=kind: self._file(n, p, k))
        for name, text in wanted.abstract.items():
            end = socket.socket(socket.AF_UNIX, getattr(socket, name))
            end.bind("\0" + text)
            self._listen(f"abstract {name}", end)
        for port in wanted.tcp:
            for family in (socket.AF_INET, socket.AF_INET6):
                self._guarded(f"port {port}", lambda f=family, p=port: self._port(f, p))
        if wanted.ipc:
            self._guarded("System V IPC", self._ipc)
        if wanted.queue:
            self._guarded("POSIX queue", self._queue)

    def _guarded(self, what: str, make: Any) -> None:
        try:
            make()
        except OSError as error:
            self.faults.append(f"{what}: {error}")

    def _sniff(self) -> None:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._read("packets", end)

    def _file(self, name: str, path: str, kind: int) -> None:
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        end = socket.socket(socket.AF_UNIX, kind)
        end.bind(path)
        place.chmod(0o777)
        with contextlib.suppress(PermissionError):
            os.chown(path, self._wanted.owner, self._wanted.owner)
        self._listen(f"socket {name}", end)

    def _port(self, family: int, port: int) -> None:
        end = socket.socket(family, socket.SOCK_STREAM)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        end.bind(("", port))
        self._listen(f"port {port}", end)

    def _listen(self, name: str, end: socket.socket) -> None:
        end.setblocking(False)  # noqa: FBT003
        if end.type == socket.SOCK_DGRAM:
            self._read(name, end)
            return
        end.listen(64)
        self._selector.register(end, selectors.EVENT_READ, ("accept", name))

    def _read(self, name: str, end: Any) -> None:
        if isinstance(end, socket.socket):
            end.setblocking(False)  # noqa: FBT003
        self._selector.register(end, selectors.EVENT_READ, ("read", name))

    def _ipc(self) -> None:
        key = ctypes.c_int(self._wanted.ipc)
        create = 0o1000 | 0o666  # IPC_CREAT
        self._message_queue = LIBC.msgget(key, create)
        self._segment = LIBC.shmget(key, ctypes.c_size_t(4096), create)
        self._semaphore = LIBC.semget(key, 1, create)
        LIBC.shmat.restype = ctypes.c_void_p
        self._memory = LIBC.shmat(self._segment, None, 0)
        if min(self._message_queue, self._segment, self._semaphore) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _queue(self) -> None:
        name = ctypes.c_char_p(self._wanted.queue.lstrip("/").encode())
        old = os.umask(0)
        try:
            self._posix = call(
                "mq_open", name, os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK, 0o666, None
            )
        finally:
            os.umask(old)

    def _victim(self, uid: int) -> None:
        door_read, door_write = os.pipe()
        os.fchown(door_write, uid, -1)  # who may open it again by /proc/PID/fd
        secret = os.urandom(12).hex()
        command = [*module("netns.escapes.victim"), f"loot-{secret}"]
        process = subprocess.Popen(
            [*command, self._wanted.key or "egressguard-escape", str(door_write), str(uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(door_write,),
            start_new_session=True,
        )
        os.close(door_write)
        assert process.stdout is not None  # noqa: S101
        self.victims[str(uid)] = json.loads(process.stdout.readline())
        os.set_blocking(process.stdout.fileno(), False)
        os.set_blocking(door_read, False)
        self._read(f"process of {uid}", process.stdout)
        self._read(f"pipe of {uid}", door_read)
        self._held.append(process)

    # --- recording

    def serve(self) -> None:
        """Record, and answer questions, until stdin ends."""
        self._selector.register(sys.stdin.buffer, selectors.EVENT_READ, ("ask", ""))
        os.set_blocking(sys.stdin.fileno(), False)
        pending = b""
        while True:
            for key, _ in self._selector.select():
                what, name = key.data
                if what == "ask":
                    piece = os.read(sys.stdin.fileno(), 1 << 20)
                    if not piece:
                        self.close()
                        return
                    pending += piece
                    *lines, pending = pending.split(b"\n")
                    for line in lines:
                        self._drain()
                        self._answer(json.loads(line))
                else:
                    self._take(what, name, key.fileobj)

    def _take(self, what: str, name: str, source: Any) -> None:
        if what == "accept":
            with contextlib.suppress(OSError):
                accepted, _ = source.accept()
                self._read(name, accepted)
            return
        for _ in range(512):
            try:
                if isinstance(source, socket.socket):
                    data = source.recv(_FRAME)
                else:
                    number = source if isinstance(source, int) else source.fileno()
                    data = os.read(number, _FRAME)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                if name != "packets":
                    self._selector.unregister(source)
                return
            self._note(name, data)
            if isinstance(source, socket.socket) and name != "packets":
                with contextlib.suppress(OSError):
                    source.send(_ANSWER)
                if source.family == socket.AF_UNIX and source.type != socket.SOCK_DGRAM:
                    # The C library may have asked; it must not wait for another answer.
                    self._selector.unregister(source)
                    source.close()
                    return

    def _drain(self) -> None:
        """Read what has arrived but was not looked at yet."""
        for _ in range(64):
            ready = [key for key, _ in self._selector.select(0) if key.data[0] != "ask"]
            if not ready:
                return
            for key in ready:
                self._take(key.data[0], key.data[1], key.fileobj)

    def _note(self, name: str, data: bytes) -> None:
        place = self._seen.setdefault(name, bytearray())
        place += data + b"\n"
        if len(place) > 2 * _PLACE:
            del place[: len(place) - _PLACE]

    def _answer(self, question: dict[str, Any]) -> None:
        self._look()
        found = {}
        for nonce in question["nonces"]:
            text = nonce.encode()
            where = sorted(name for name, data in self._seen.items() if text in data)
            if where:
                found[nonce] = where
        sys.stdout.write(json.dumps({"found": found}) + "\n")
        sys.stdout.flush()

    def _look(self) -> None:
        """Read what does not report by itself: files, queues, memory."""
        for path in self._wanted.files:
            place = Path(path)
            with contextlib.suppress(OSError):
                each = [place] if place.is_file() else sorted(place.rglob("*"))
                text = b""
                for file in each:
                    with contextlib.suppress(OSError):
                        text += file.name.encode() + b"\n"
                        if file.is_file():
                            text += file.read_bytes()[-_FRAME:]
                self._note(f"file {path}", text)
        if self._wanted.ipc and not any("System V" in fault for fault in self.faults):
            message = ctypes.create_string_buffer(256)
            while LIBC.msgrcv(self._message_queue, message, 200, 0, 0o14000) >= 0:
                self._note("System V queue", message.raw)
            self._note("System V memory", ctypes.string_at(self._memory, 4096).rstrip(b"\0"))
        if self._wanted.queue and not any("POSIX" in fault for fault in self.faults):
            text_buffer = ctypes.create_string_buffer(8192)
            with contextlib.suppress(OSError):
                while True:
                    call("mq_timedreceive", self._posix, text_buffer, 8192, None, None)
                    self._note("POSIX queue", text_buffer.value)

    def close(self) -> None:
        """Take away what has a name and does not end with this process."""
        for process in self._held:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
        if self._wanted.ipc and not any("System V" in fault for fault in self.faults):
            LIBC.msgctl(self._message_queue, 0, None)
            LIBC.shmctl(self._segment, 0, None)
            LIBC.semctl(self._semaphore, 0, 0)


def main() -> None:
    """Build, say so, serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o022)
    oracle = Oracle(msgspec.json.decode(sys.argv[1], type=Furniture))
    oracle.build()
    answer = {
        "pid": os.getpid(),
        "victims": oracle.victims,
        "faults": oracle.faults,
        "network": os.stat("/proc/self/ns/net").st_ino,  # noqa: PTH116
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    oracle.serve()


if __name__ == "__main__":
    main()
