"""Descriptors that outlive the gateway: of captive namespaces, and of what guests must keep.

systemd's store (FDSTORE=1, sd_notify(3)) where the service manager offers it, else a process of its
own (`interceptor.gateway.holder`). While a namespace's descriptor is held, its addresses and rules
stay; its listeners do not, so everything in it is refused until there are new ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from interceptor.gateway import holder
from interceptor.gateway.systemd import Notifier, listen_fds

_SECONDS: Final = 5.0


class StoreError(RuntimeError):
    """Nothing can be kept over a restart; the message says why."""


class Store(Protocol):
    """Keeps descriptors by name.

    Attributes:
        kind: `systemd` or `holder`.
        found: what was kept before; whoever takes it out closes it.
    """

    kind: str
    found: dict[str, list[int]]

    def put(self, name: str, descriptors: Sequence[int]) -> None:
        """Keep descriptors under a name; it is done when this returns. Raises StoreError."""

    def remove(self, name: str) -> None:
        """Forget a name."""

    def close(self) -> None:
        """Let go of it; what it holds stays."""


def open_store(environ: MutableMapping[str, str], path: Path) -> Store:
    """Open the store that this machine has.

    Args:
        environ: of the process; what systemd has said in it is removed.
        path: socket of the holder, where there is no systemd.

    Raises:
        StoreError: see there.
    """
    notifier = Notifier(environ)
    handed = listen_fds(environ)
    # The first is systemd's own since version 254, the second our unit's.
    offered = (environ.get(name, "0") for name in ("FDSTORE", "EGRESSGUARD_FDSTORE"))
    if notifier.present and any(count != "0" for count in offered):
        return SystemdStore(notifier, handed)
    try:
        return Holder(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


class SystemdStore:
    """systemd's. The unit says FileDescriptorStoreMax=."""

    kind = "systemd"

    def __init__(self, notifier: Notifier, found: dict[str, list[int]]) -> None:
        self._notifier = notifier
        self.found = found

    def put(self, name: str, descriptors: Sequence[int]) -> None:
        """See `Store`."""
        self.remove(name)
        said = ("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0")
        if not self._notifier.send(*said, descriptors=descriptors) or not self._notifier.barrier():
            raise StoreError("systemd does not take descriptors")

    def remove(self, name: str) -> None:
        """See `Store`."""
        self._notifier.send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def close(self) -> None:
        """See `Store`."""


class Holder:
    """A process that holds them, started if there is none."""

    kind = "holder"

    def __init__(self, path: Path) -> None:
        """Connect to the one at `path`, or start it.

        Raises:
            OSError: it could not be started.
        """
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._channel.settimeout(_SECONDS)
        try:
            self._channel.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            _start(path)
            self._channel.connect(os.fspath(path))
        self.found: dict[str, list[int]] = {}
        self._channel.send(b"all")
        while True:
            message, descriptors, _, _ = socket.recv_fds(
                self._channel, 4096, 8, socket.MSG_CMSG_CLOEXEC
            )
            word, _, name = message.partition(b" ")
            if word != b"fds":
                break
            self.found[name.decode("ascii", "replace")] = list(descriptors)
        if word != b"end":
            raise OSError("the process that holds descriptors does not answer")

    def put(self, name: str, descriptors: Sequence[int]) -> None:
        """See `Store`."""
        try:
            socket.send_fds(self._channel, [f"put {name}".encode()], descriptors)
            if self._channel.recv(16) == b"done":
                return
        except OSError as error:
            raise StoreError(f"the process that holds descriptors is gone: {error}") from error
        raise StoreError("the process that holds descriptors is gone")

    def remove(self, name: str) -> None:
        """See `Store`."""
        with contextlib.suppress(OSError):
            self._channel.send(f"remove {name}".encode())
            self._channel.recv(16)

    def close(self) -> None:
        """Let go of it; what it holds stays."""
        self._channel.close()


def _start(path: Path) -> None:
    """Start the holder, in a session of its own: what ends the gateway does not end it."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        listener.listen(4)
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-E", holder.__file__],
            stdin=listener.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={},
        ).returncode = 0  # never waited for: it outlives us


def memory(name: str) -> int:
    """A file in memory that a store can hold, open for reading and appending."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor
