"""All conversations of `tests/conversations` over standard input and output, through the wrapper.

A process of its own for each: the wrapper as the command line has it, but with a judge that was
made before, because making it 200 times would take a minute.
"""

from __future__ import annotations

import gc
import json
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from interceptor.cli import mcp_run
from interceptor.cli.scan_setup import Options, prepare
from interceptor.decide.judge import Judge
from interceptor.evidence.log import EvidenceLog
from interceptor.evidence.place import open_evidence
from interceptor.mcp.pin_store import PinStore
from interceptor.mcp.process import ServerProcess
from tests.conversations import Talk, Turn, load
from tests.mcp_peers.client import PATIENCE

TALKS = [talk for talk in load() if talk.protocol == "mcp"]
OTHER_SESSIONS = {"read-with-one-server-send-with-another"}
"""A wrapper for each server: none knows what was read through another one (docs/mcp-usage.md)."""


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    made = prepare(Options()).items.judge
    gc.freeze()  # collections in the children need not look at all that pytest has
    yield made
    gc.unfreeze()


class End:
    """What one side of a wrapper reads and writes: lines."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self._rest = b""

    def say(self, line: bytes) -> None:
        data = line + b"\n"
        while data:
            data = data[os.write(self.writing, data) :]

    def hear(self) -> bytes:
        until = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            left = max(0.0, until - time.monotonic())
            assert select.select([self.reading], [], [], left)[0], "nothing comes"
            data = os.read(self.reading, 1 << 20)
            assert data, "it has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def until(self, mark: bytes) -> list[bytes]:
        """All lines before the one that has `mark` in it."""
        found = []
        while mark not in (line := self.hear()):
            found.append(line)
        return found

    def close(self) -> None:
        os.close(self.reading)
        os.close(self.writing)


class Wrapper(NamedTuple):
    """One wrapper, with both of its sides in our hands."""

    client: End
    server: End
    pid: int
    log: Path


def start(judge: Judge, name: str, folder: Path) -> Wrapper:
    folder.mkdir(exist_ok=True)
    log = folder / f"{name}.jsonl"
    said, heard = folder / f"{name}.said", folder / f"{name}.heard"
    for fifo in (said, heard):
        os.mkfifo(fifo)
    to_us, from_client = os.pipe()
    to_client, from_us = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(to_us, 0)
        os.dup2(from_us, 1)
        os.closerange(3, 4096)  # also the ends of other wrappers
        become(judge, name, folder, ["/bin/sh", "-c", COPY, "sh", str(said), str(heard)])
    os.close(to_us)
    os.close(from_us)
    server = End(os.open(heard, os.O_RDONLY), os.open(said, os.O_WRONLY))
    return Wrapper(End(to_client, from_client), server, pid, log)


COPY = 'cat "$1" & exec cat > "$2"'
"""A server that says what comes from one FIFO, and puts what it hears into another."""


def become(judge: Judge, name: str, folder: Path, server: list[str]) -> NoReturn:
    code = 1
    try:
        mcp_run._judge = lambda *_: judge
        evidence = EvidenceLog(open_evidence(folder / f"{name}.jsonl"), name)
        pins = PinStore(folder / "pins")
        process = ServerProcess(server)
        code = mcp_run._serve(process, evidence, pins, judge.policy, None, name, name, None)
        process.close()
    finally:
        os._exit(code)


def data_of(turn: Turn) -> bytes:
    if isinstance(turn.message, bytes):
        return turn.message
    return json.dumps(turn.message, ensure_ascii=False, separators=(",", ":")).encode()


def pings(prefix: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(a ping, its answer, what tells both from all else)"""
    for number in range(10_000):
        ident = f'"{prefix}-{number}-sync"'.encode()
        yield (
            b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % ident,
            b'{"jsonrpc":"2.0","id":%b,"result":{}}' % ident,
            ident,
        )


def drive(talk: Talk, judge: Judge, folder: Path) -> tuple[list[str], list[str], bytes]:
    """Return (reasons of refusals, why, all that got through to the other side)."""
    wrappers: dict[str, Wrapper] = {}
    through = b""
    unheard: set[object] = set()
    sync = {"client": pings("c"), "server": pings("s")}
    for turn in talk.turns:
        wrapper = wrappers.get(turn.server)
        if wrapper is None:
            wrapper = wrappers[turn.server] = start(judge, turn.server, folder)
        data = data_of(turn)
        message: Any = turn.message if isinstance(turn.message, dict) else {}
        if turn.side == "server" and "method" not in message and message.get("id") in unheard:
            continue  # it was never asked
        mine, other = wrapper.client, wrapper.server
        if turn.side == "server":
            mine, other = other, mine
        mine.say(data)
        ping, pong, mark = next(sync[turn.side])
        mine.say(ping)
        forwarded = other.until(mark)
        other.say(pong)
        answers = mine.until(mark)
        if turn.side == "client" and "method" in message and not forwarded:
            unheard.add(message.get("id"))
            assert "id" not in message or any(b'"error"' in line for line in answers), talk.name
        if not talk.stopped:
            assert forwarded == [data], (talk.name, forwarded, answers)
            assert not answers
        through += b"\n".join(forwarded)
    reasons, why = [], []
    for wrapper in wrappers.values():
        wrapper.client.close()
        wrapper.server.close()
        os.waitpid(wrapper.pid, 0)
        for line in wrapper.log.read_text().splitlines():
            event = json.loads(line)
            if event.get("action", "allow") != "allow":
                reasons.append(event["reason"])
                why.append(f"{event['rule']} {event['detail']}")
    return reasons, why, through


def test_every_attack_is_stopped_for_its_reason(judge: Judge, tmp_path: Path) -> None:
    wrong = []
    driven = [talk for talk in TALKS if talk.stopped and talk.name not in OTHER_SESSIONS]
    for talk in driven:
        reasons, why, through = drive(talk, judge, tmp_path / talk.name)
        if talk.stopped not in reasons or (talk.harm and talk.harm.encode() in through):
            wrong.append((talk.name, talk.stopped, reasons, why))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(driven) >= 60


def test_no_honest_conversation_is_disturbed(judge: Judge, tmp_path: Path) -> None:
    wrong = []
    driven = [talk for talk in TALKS if not talk.stopped]
    for talk in driven:
        reasons, why, _ = drive(talk, judge, tmp_path / talk.name)
        if reasons:
            wrong.append((talk.name, reasons, why))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(driven) >= 60
