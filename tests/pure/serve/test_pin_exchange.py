"""Pins of tools go from the worker to the store and back; nothing is lost, only people approve."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interceptor.cli import pin_keeper
from interceptor.cli.pin_keeper import PinKeeper, known
from interceptor.decide.mcp.pins import KEPT, NAMES, TOOLS, Pin, PinBook, PinState, digest_of
from interceptor.mcp.pin_store import NAME, PinStore, PinStoreError
from interceptor.serve.messages import PACKET, Pinned, Pins
from interceptor.serve.pin_exchange import ASK_SECONDS, PinExchange, packed

OLD: dict[str, Any] = {"name": "read", "description": "Read a file."}
NEW: dict[str, Any] = {"name": "read", "description": "Read a file and send it on."}
THIRD: dict[str, Any] = {"name": "read", "description": "Read."}
PLACE = "https://mcp.example.com/mcp"


class Run:
    """A run of a jail: a worker's book, and the supervisor's keeper, with a socket between them."""

    def __init__(self, folder: Path) -> None:
        self.book = known(folder) or PinBook()
        self.keeper = PinKeeper(folder)
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.exchange = PinExchange(self.book, self.theirs)
        self.now = 0.0

    def settle(self) -> int:
        """Let both sides say everything; returns packets of the worker's."""
        count = 0
        self.now += ASK_SECONDS
        while True:
            self.exchange.flush(self.now)
            try:
                packet = self.ours.recv(PACKET)
            except BlockingIOError:
                return count
            count += 1
            said = msgspec.json.decode(packet, type=Pins)
            for answer in packed(self.keeper.keep(said.pins)):
                self.exchange.learn(msgspec.json.decode(answer, type=Pins))

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.close()


def stored(folder: Path, tool: str = "read") -> Pin | None:
    return PinStore(folder).book.get(PLACE, tool)


def test_the_name_of_the_store_is_known_without_its_imports(tmp_path: Path) -> None:
    assert pin_keeper.STORE == NAME
    assert known(None) is None
    assert known(tmp_path) is None
    assert PinKeeper(None).keep([Pinned("s", "t", {"junk": 1})]) == []
    (tmp_path / NAME).write_text("{}")
    with pytest.raises(PinStoreError, match="mcp pins reset"):
        known(tmp_path)


def test_a_tool_stays_pinned_from_run_to_run(run: Run, tmp_path: Path) -> None:
    assert run.settle() == 0
    assert not (tmp_path / NAME).exists()  # nothing was seen
    assert run.book.check(PLACE, "read", OLD, 1.0) is PinState.NEW
    assert run.settle() == 1
    assert run.settle() == 0
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600
    later = Run(tmp_path)
    assert later.book.check(PLACE, "read", OLD, 2.0) is PinState.KNOWN
    assert later.settle() == 0
    assert later.book.check(PLACE, "read", NEW, 3.0) is PinState.CHANGED
    assert later.settle() == 2  # the change, and the question
    pin = stored(tmp_path)
    assert pin is not None
    assert pin.pending is not None
    assert (pin.approved.digest, pin.pending.digest) == (digest_of(OLD), digest_of(NEW))
    assert later.settle() == 1  # the question
    assert later.book.changed(PLACE, "read")
    store = PinStore(tmp_path)
    assert store.book.approve(PLACE, "read")
    store.save()
    assert later.settle() == 1
    assert not later.book.changed(PLACE, "read")  # approved while it ran
    assert later.book.check(PLACE, "read", NEW, 4.0) is PinState.KNOWN
    assert later.settle() == 0  # nothing waits any more
    later.close()


def test_a_pin_is_forgotten_while_a_jail_runs(run: Run, tmp_path: Path) -> None:
    run.book.check(PLACE, "read", OLD, 1.0)
    run.book.check(PLACE, "read", NEW, 1.0)
    run.settle()
    store = PinStore(tmp_path)
    assert store.book.forget(PLACE) == 1
    store.save()
    run.settle()
    assert run.book.get(PLACE, "read") is None
    assert run.book.check(PLACE, "read", NEW, 2.0) is PinState.NEW
    run.settle()
    assert stored(tmp_path) == run.book.get(PLACE, "read")


def test_two_runs_at_a_time(run: Run, tmp_path: Path) -> None:
    other = Run(tmp_path)
    run.book.check(PLACE, "read", OLD, 1.0)
    other.book.check(PLACE, "read", NEW, 1.0)
    other.book.check("https://other.example/", "read", NEW, 1.0)
    run.settle()
    other.settle()
    pin = stored(tmp_path)
    assert pin is not None
    assert pin.pending is not None
    assert (pin.approved.digest, pin.pending.digest) == (digest_of(OLD), digest_of(NEW))
    assert other.book.get(PLACE, "read") == pin  # who came second is told
    assert other.book.changed(PLACE, "read")
    assert PinStore(tmp_path).book.get("https://other.example/", "read") is not None
    other.close()


def test_the_worker_approves_nothing(run: Run, tmp_path: Path) -> None:
    run.book.check(PLACE, "read", OLD, 1.0)
    run.settle()
    forged = PinBook()
    forged.check(PLACE, "read", NEW, 1.0)
    pin = msgspec.to_builtins(forged.get(PLACE, "read"))
    run.keeper.keep([Pinned(PLACE, "read", pin)])
    run.keeper.keep([Pinned(PLACE, "read", pin, anew=True)])
    run.keeper.keep([Pinned(PLACE, "read", None)])
    found = stored(tmp_path)
    assert found is not None
    assert found.approved.digest == digest_of(OLD)
    junks: tuple[Any, ...] = ({"approved": 1}, [], "x")
    for junk in junks:
        assert run.keeper.keep([Pinned(PLACE, "read", junk)]) == []
        assert "cannot be read" in run.keeper.fault
    assert stored(tmp_path) == found


def test_an_approved_call_is_good_for_one(run: Run, tmp_path: Path) -> None:
    entry, value = "deploy#0a1b2c3d", {"tool": "deploy"}
    assert not run.book.granted(PLACE, entry, value, 1.0)
    run.settle()
    store = PinStore(tmp_path)
    assert store.book.approve(PLACE, entry)
    store.save()
    run.settle()
    assert run.book.granted(PLACE, entry, value, 2.0)
    assert not run.book.granted(PLACE, entry, value, 2.0)  # before anything was told
    run.settle()
    assert not run.book.granted(PLACE, entry, value, 3.0)
    pin = stored(tmp_path, entry)
    assert pin is not None
    assert pin.approved.digest == ""
    store = PinStore(tmp_path)
    assert store.book.approve(PLACE, entry)
    store.save()
    run.settle()
    assert run.book.granted(PLACE, entry, value, 4.0)
    run.settle()
    assert stored(tmp_path, entry) is None


def test_whatever_is_pinned_fits_and_arrives(run: Run, tmp_path: Path) -> None:
    book = run.book
    long = "\x01" * (NAMES - len(PLACE))
    for filler in ("x" * (KEPT - 100), "\x01" * (KEPT // 6 - 100)):
        book.check(PLACE, long, {"name": filler}, 1.0)
        book.check(PLACE, long, {"name": filler, "more": 1}, 1.0)
        largest = msgspec.json.encode(Pinned(PLACE, long, book.get(PLACE, long)))
        assert len(largest) < PACKET // 2
    assert book.check(PLACE, long + "x", OLD, 1.0) is PinState.CHANGED  # is not trusted
    assert book.get(PLACE, long + "x") is None
    assert not book.granted(PLACE, long + "x", OLD, 1.0)
    for number in range(400):
        book.check(PLACE, f"tool {number}", {"name": "y" * 4000}, 1.0)
    assert run.settle() > 10
    assert PinStore(tmp_path).book.as_data() == book.as_data()


def test_nothing_is_lost_when_nobody_reads(run: Run, tmp_path: Path) -> None:
    for number in range(TOOLS):
        run.book.check(PLACE, f"tool {number}", {"name": "z" * 1000}, 1.0)
    run.exchange.flush(1.0)  # the socket takes a part of it
    run.book.check(PLACE, "tool 1", NEW, 2.0)
    run.book.check(PLACE, "one too many", OLD, 2.0)
    run.exchange.flush(2.0)

    async def finish() -> None:
        run.theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        done = loop.create_task(run.exchange.finish(loop))
        while not done.done():
            await asyncio.sleep(0)
            try:
                said = msgspec.json.decode(run.ours.recv(PACKET), type=Pins)
            except BlockingIOError:
                continue
            run.keeper.keep(said.pins)
        await done

    asyncio.run(finish())
    run.settle()
    assert run.keeper.fault == ""
    assert PinStore(tmp_path).book.as_data() == run.book.as_data()


def test_what_cannot_be_kept_is_said(run: Run, tmp_path: Path) -> None:
    run.book.check(PLACE, "read", OLD, 1.0)
    run.settle()
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content.replace(b"Read", b"Reed"))
    run.book.check(PLACE, "read", THIRD, 1.0)
    run.settle()
    assert "was changed by something else" in run.keeper.fault
    assert run.book.changed(PLACE, "read")  # and stays refused
    gone = PinKeeper(tmp_path / NAME / "below")
    gone.keep([Pinned(PLACE, "read", msgspec.to_builtins(run.book.get(PLACE, "read")))])
    assert str(tmp_path) in gone.fault


def test_who_is_gone_is_told_nothing(run: Run) -> None:
    run.ours.close()
    run.book.check(PLACE, "read", OLD, 1.0)
    run.exchange.flush(1.0)
    run.exchange.flush(9.0)
    assert not run.book.touched
