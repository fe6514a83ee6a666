"""Landlock's scopes on this kernel: what a domain's processes cannot reach, and still can."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from netns import landlock, namespaces

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(namespaces.landlock_version() < 6, reason="no scopes in this kernel"),
]


def outcome(parent: int, name: bytes, *, scoped: bool) -> str:
    """In a child: signal the parent (with 0: a look) and connect to its abstract socket."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = []
        try:
            if scoped:
                assert landlock.scope()
            attempts: tuple[Callable[[], object], ...] = (
                lambda: os.kill(parent, 0),
                lambda: socket.socket(socket.AF_UNIX).connect(name),
                lambda: os.kill(os.getpid(), 0),
                lambda: namespaces.unshare(namespaces.Namespace.MOUNT),
                lambda: namespaces.mount(
                    None, "/", flags=namespaces.MountFlag.REC | namespaces.MountFlag.PRIVATE
                ),
            )
            for attempt in attempts:
                try:
                    attempt()
                    said.append("yes")
                except OSError:
                    said.append("no")
            os.write(writer, " ".join(said).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read().decode()
    os.waitpid(child, 0)
    return answer


def test_a_domain_reaches_nobody_outside() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        name = b"\0egressguard-landlock-" + str(os.getpid()).encode()
        listener.bind(name)
        listener.listen()
        assert outcome(os.getpid(), name, scoped=False) == "yes yes yes yes yes"  # control
        assert outcome(os.getpid(), name, scoped=True) == "no no yes yes yes"
