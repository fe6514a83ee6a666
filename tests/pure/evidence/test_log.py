"""The evidence log on real files: order, numbering, failures, recovery."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.evidence import log as log_module
from interceptor.evidence.log import EvidenceError, EvidenceLog
from interceptor.evidence.place import open_evidence
from interceptor.evidence.schema import Event, decode
from interceptor.flow.steps import Finished, Record
from interceptor.model import Origin, Target
from interceptor.verdict import Action, Reason, Verdict

ORIGIN = Origin("box", "f1", "198.18.0.7", 443, "api.example.com")
TARGET = Target("https", "api.example.com", 443, "GET", "/v1/models")
ALLOWED = Record(Verdict(Action.ALLOW, Reason.ALLOWED), TARGET, "http_request", 1)
REFUSED = Record(Verdict(Action.BLOCK, Reason.HOST_DENIED), TARGET, "http_request", 2)
NOW = 1_767_225_600.25  # 2026-01-01T00:00:00.25Z


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.jsonl"


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    opened = open_evidence(path)
    yield opened
    os.close(opened)


@pytest.fixture
def file_size_limit() -> Iterator[None]:
    """Restores the limit that stands for a full disk: EFBIG instead of ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def finished(exchange: int = 1) -> Finished:
    return Finished(exchange, 200, 10, 20, "203.0.113.9", 0.5, "", "api.example.com")


def test_a_decision_is_in_the_file_when_write_returns(path: Path, descriptor: int) -> None:
    EvidenceLog(descriptor, "box", "p1").write(ALLOWED, ORIGIN, NOW)
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line) == {
        "event": "decision",
        "time": "2026-01-01T00:00:00.250000Z",
        "seq": 1,
        "jail": "box",
        "flow": "f1",
        "exchange": 1,
        "kind": "http_request",
        "process": None,
        "host": "api.example.com",
        "port": 443,
        "address": "198.18.0.7",
        "scheme": "https",
        "method": "GET",
        "path": "/v1/models",
        "action": "allow",
        "reason": "allowed",
        "rule": "",
        "detail": "",
        "findings": [],
        "policy": "p1",
    }


def test_completions_go_out_with_the_next_decision(path: Path, descriptor: int) -> None:
    log = EvidenceLog(descriptor, "box")
    log.write(ALLOWED, ORIGIN, NOW)
    log.finished(finished(), ORIGIN, NOW)
    assert len(path.read_bytes().splitlines()) == 1
    log.write(REFUSED, ORIGIN, NOW)
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [(event["event"], event["seq"]) for event in events] == [
        ("decision", 1),
        ("finished", 2),
        ("decision", 3),
    ]
    assert (log.decisions, log.refused, log.lost) == (2, 1, 0)
    assert events[1]["address"] == "203.0.113.9"


def test_flush_writes_what_waits(path: Path, descriptor: int) -> None:
    log = EvidenceLog(descriptor, "box")
    log.flush()
    assert path.read_bytes() == b""
    log.finished(finished(), ORIGIN, NOW)
    log.flush()
    assert json.loads(path.read_bytes())["event"] == "finished"


def test_waiting_completions_are_bounded(path: Path, descriptor: int) -> None:
    log = EvidenceLog(descriptor, "box")
    for _ in range(1000):
        log.finished(finished(), ORIGIN, NOW)
    assert len(log._waiting) <= log_module.WAITING
    log.flush()
    assert len(path.read_bytes().splitlines()) == 1000


def test_waiting_completions_are_bounded_when_nothing_can_be_written() -> None:
    log = EvidenceLog(os.open("/dev/full", os.O_WRONLY), "box")
    for _ in range(10_000):
        log.finished(finished(), ORIGIN, NOW)
    assert len(log._waiting) == log_module.BACKLOG
    os.close(log._descriptor)


def test_a_full_disk_raises_and_nothing_is_counted_as_written() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log = EvidenceLog(descriptor, "box")
    with pytest.raises(EvidenceError, match="No space left"):
        log.write(ALLOWED, ORIGIN, NOW)
    assert (log.decisions, log.lost, log.sequence) == (0, 1, 0)
    os.close(descriptor)


@pytest.mark.usefixtures("file_size_limit")
def test_a_partial_line_is_taken_back_and_the_gap_is_told(path: Path, descriptor: int) -> None:
    log = EvidenceLog(descriptor, "box")
    log.write(ALLOWED, ORIGIN, NOW)
    whole = path.read_bytes()
    for room in (1, len(whole) // 2, len(whole) - 1):
        limit_file_size(len(whole) + room)
        with pytest.raises(EvidenceError, match="part of the line"):
            log.write(REFUSED, ORIGIN, NOW + 1)
        assert path.read_bytes() == whole
    limit_file_size(resource.RLIM_INFINITY)
    log.write(ALLOWED, ORIGIN, NOW + 2)
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [(event["event"], event["seq"]) for event in events] == [
        ("decision", 1),
        ("gap", 2),
        ("decision", 3),
    ]
    assert events[1]["lost"] == 3
    assert events[1]["since"] == "2026-01-01T00:00:01.250000Z"


def test_a_torn_line_in_a_pipe_stands_alone() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    log = EvidenceLog(writer, "box")
    stuffed = 0
    while True:  # fill the pipe, then leave room for a part of the next batch
        try:
            stuffed += os.write(writer, b"x" * 4096)
        except BlockingIOError:
            break
    with pytest.raises(EvidenceError):
        log.write(ALLOWED, ORIGIN, NOW)
    for _ in range(20):
        log.finished(finished(), ORIGIN, NOW)
    os.read(reader, 4096)  # one page of room: more than PIPE_BUF is waiting, so a part fits
    with pytest.raises(EvidenceError, match="part"):
        log.write(ALLOWED, ORIGIN, NOW)
    left = b""
    while True:
        try:
            left += os.read(reader, 1 << 20)
        except BlockingIOError:
            break
    log.write(REFUSED, ORIGIN, NOW)
    lines = os.read(reader, 1 << 20)
    assert lines.startswith(b"\n")
    assert all(decode(line) for line in lines[1:].splitlines())
    os.close(reader)
    os.close(writer)


def test_what_cannot_be_described_is_an_error_without_the_agents_bytes(descriptor: int) -> None:
    log = EvidenceLog(descriptor, "box")
    secret = "plan" + "ted-9917"
    broken = Record(ALLOWED.verdict, Target("https", secret, secret, "GET", "/"), "http_request")  # type: ignore[arg-type]
    log._encode = lambda _batch: 1 / 0  # type: ignore[assignment,return-value]
    with pytest.raises(EvidenceError) as caught:
        log.write(broken, ORIGIN, NOW)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


def test_jail_events(path: Path, descriptor: int) -> None:
    log = EvidenceLog(descriptor, "box", "p1")
    secret = "hun" + "ter2-4711"
    log.started(
        NOW,
        command=["/usr/bin/curl", "-u", secret],
        user="dev",
        uid=1000,
        rootless=False,
        preset="balanced",
        authority="ab" * 32,
        versions={"egressguard": "0.1.0"},
    )
    log.write(REFUSED, ORIGIN, NOW)
    log.stopped(NOW + 3, code=0, seconds=3.0)
    text = path.read_text()
    assert secret not in text
    started, _, stopped = (json.loads(line) for line in text.splitlines())
    assert started["event"] == "started"
    assert started["program"] == "curl"
    assert len(started["command"]) == 64
    assert stopped["event"] == "stopped"
    assert (stopped["decisions"], stopped["refused"], stopped["seq"]) == (1, 1, 3)


def test_every_event_is_observed_in_order(descriptor: int) -> None:
    seen: list[Event] = []
    log = EvidenceLog(descriptor, "box", observe=seen.append)
    log.write(ALLOWED, ORIGIN, NOW)
    log.finished(finished(), ORIGIN, NOW)
    log.flush()
    assert [event.seq for event in seen] == [1, 2]


def test_every_line_can_be_read_back(path: Path, descriptor: int) -> None:
    seen: list[Event] = []
    log = EvidenceLog(descriptor, "box", observe=seen.append)
    log.write(REFUSED, ORIGIN, NOW)
    log.finished(finished(), ORIGIN, NOW)
    log.stopped(NOW, code=137, seconds=1.0)
    assert [decode(line) for line in path.read_bytes().splitlines()] == seen


@pytest.mark.parametrize("line", [b"", b"{}", b'{"event":"other"}', b"[]", b"\xff", b"null"])
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not an evidence line"):
        decode(line)
