"""Holds descriptors for a gateway that runs without systemd, so that they outlive it.

Run as a program, with nothing but the standard library: a process that only waits. Its standard
input is a listening unix socket of sequenced packets. One client at a time says

    put NAME      with descriptors: keep them under NAME, in place of those before
    remove NAME   forget them
    all           answered by `fds NAME` with descriptors, once for each name, then `end`

and `put` and `remove` are answered by `done`. It ends when a client goes and nothing is kept.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys

_LARGEST = 4096
_DESCRIPTORS = 8


def hold(listener: socket.socket) -> None:
    """Serve until a client goes and nothing is kept."""
    kept: dict[bytes, list[int]] = {}
    while True:
        client, _ = listener.accept()
        with client:
            # struct ucred of unix(7): whoever is not our own user gets nothing.
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", credentials)[1] == os.geteuid():
                with contextlib.suppress(OSError):
                    _serve(client, kept)
        if not kept:
            return


def _serve(client: socket.socket, kept: dict[bytes, list[int]]) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(client, _LARGEST, _DESCRIPTORS)
        if not message:
            return
        word, _, name = message.partition(b" ")
        if word == b"all":
            for each, those in kept.items():
                socket.send_fds(client, [b"fds " + each], those)
            client.send(b"end")
            continue
        for descriptor in kept.pop(name, []):
            os.close(descriptor)
        if word == b"put":
            kept[name] = list(descriptors)
        else:
            for descriptor in descriptors:
                os.close(descriptor)
        client.send(b"done")


if __name__ == "__main__":
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    hold(socket.socket(fileno=os.dup(0)))
    sys.exit(0)
