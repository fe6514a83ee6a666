"""Who holds a socket: real processes and sockets on loopback, no root."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from netns.socket_owner import Asked, Looker, Process, open_diagnostics

_CLIENT = """
import os, socket, sys
for line in sys.stdin:
    word, _, value = line.strip().partition(" ")
    if word == "connect":
        last = socket.create_connection(("127.0.0.1", int(value)))
        held = globals().setdefault("held", []); held.append(last)
    elif word == "drop":
        held.pop().close()
    elif word == "folder":
        os.chdir(value)
    elif word == "become":
        last.set_inheritable(True)
        os.execv("/bin/sh", ["sh", "-c", "read line; exit"])
    elif word == "descriptor":
        print(last.fileno(), flush=True); continue
    print("done", flush=True)
"""


class _Client:
    """A process that connects when it is told to."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.accepted: list[socket.socket] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CLIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, order: str) -> str:
        into, out = self.process.stdin, self.process.stdout
        assert isinstance(into, IO) or into is not None
        assert out is not None
        into.write(order + "\n")
        into.flush()
        return out.readline().strip()

    def connect(self) -> Asked:
        port = self.listener.getsockname()[1]
        assert self.tell(f"connect {port}") == "done"
        accepted, source = self.listener.accept()
        self.accepted.append(accepted)
        loopback = socket.inet_aton("127.0.0.1")
        return Asked("f1", socket.IPPROTO_TCP, loopback, source[1], loopback, port)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        for accepted in self.accepted:
            accepted.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


@pytest.fixture
def clients(listener: socket.socket) -> Iterator[list[_Client]]:
    made = [_Client(listener), _Client(listener)]
    yield made
    for client in made:
        client.close()


@pytest.fixture
def looker() -> Iterator[Looker]:
    with open_diagnostics() as diagnostics:
        yield Looker(diagnostics, os.getpid(), lambda: 0.0)


def found(looker: Looker, asked: Asked) -> Process:
    process = looker.owner(asked)
    assert process is not None
    return process


def test_each_socket_has_its_own_process(clients: list[_Client], looker: Looker) -> None:
    first, second = clients
    for _ in range(3):
        for client in (first, second, second, first):
            process = found(looker, client.connect())
            assert process.pid == client.process.pid
            assert process.executable == os.path.realpath(sys.executable)
            assert process.arguments[1] == "-c"


def test_descriptors_that_are_used_again(clients: list[_Client], looker: Looker) -> None:
    client = clients[0]
    for _ in range(3):
        assert found(looker, client.connect()).pid == client.process.pid
        assert found(looker, client.connect()).pid == client.process.pid
        client.tell("drop")
        client.tell("drop")
        other = clients[1].connect()  # at the same number, in another process
        assert found(looker, other).pid == clients[1].process.pid


def test_what_changes_is_seen(clients: list[_Client], looker: Looker, tmp_path: Path) -> None:
    client = clients[0]
    asked = client.connect()
    before = found(looker, asked)
    assert before.folder == str(Path.cwd())
    client.tell(f"folder {tmp_path}")
    assert found(looker, asked).folder == os.path.realpath(tmp_path)
    assert client.process.stdin is not None
    client.process.stdin.write("become\n")
    client.process.stdin.flush()
    while (process := found(looker, asked)).executable == before.executable:
        pass
    assert os.path.basename(process.executable) in {"dash", "bash", "sh"}  # noqa: PTH119
    assert process.pid == before.pid


def test_nobody_holds_it_any_more(clients: list[_Client], looker: Looker) -> None:
    asked = clients[0].connect()
    assert found(looker, asked).pid == clients[0].process.pid
    clients[0].close()
    assert looker.owner(asked) is None
    unknown = Asked("f2", 6, asked.source, 1, asked.address, asked.port)
    assert looker.owner(unknown) is None


def test_ipv6_and_datagrams(looker: Looker) -> None:
    """Our own sockets belong to no process below us; that they are found at all is the point."""
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    diagnostics = open_diagnostics()
    own = Looker(diagnostics, os.getppid(), lambda: 0.0)
    with server, socket.create_connection(server.getsockname()[:2]) as client:
        loopback = socket.inet_pton(socket.AF_INET6, "::1")
        port, source = server.getsockname()[1], client.getsockname()[1]
        assert found(own, Asked("f", 6, loopback, source, loopback, port)).pid == os.getpid()
    with (
        diagnostics,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        two.bind(("127.0.0.1", 0))
        one.connect(two.getsockname())
        address = socket.inet_aton("127.0.0.1")
        asked = Asked("f", 17, address, one.getsockname()[1], address, two.getsockname()[1])
        assert found(own, asked).pid == os.getpid()
    assert looker.owner(asked) is None
