"""Frames, roster, unit, and what is kept of a guest."""

from __future__ import annotations

import datetime as dt
import os
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from interceptor.gateway import frames, unit
from interceptor.gateway.messages import LENGTH, Add, Answer, Fault, Guest, List, Request, check
from interceptor.gateway.roster import Roster, RosterError
from interceptor.gateway.store import Holder, memory
from interceptor.serve.gateway_worker import last_sequence
from interceptor.serve.keepsake import Keepsake, KeepsakeError

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)


def test_frames_in_any_cut_bring_their_descriptors() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asked = msgspec.json.encode(Request(Add(Guest("a"))))
        other = msgspec.json.encode(Request(List()))
        data = LENGTH.pack(len(asked)) + asked + LENGTH.pack(len(other)) + other
        for size in (1, 2, 5, len(data)):
            reader = frames.Reader(1000)
            found = []
            left, right = socket.socketpair()
            with left, right:
                for at in range(0, len(data), size):
                    right.sendall(data[at : at + size])
                    reader.receive(left)
                    while frame := reader.frame():
                        found.append(msgspec.json.decode(frame[0], type=Request).ask)
            assert found == [Add(Guest("a")), List()]
        frames.send(theirs, asked, (theirs.fileno(),))
        reader = frames.Reader(1000)
        reader.receive(ours)
        frame = reader.frame()
        assert frame is not None
        assert len(frame[1]) == 1
        os.close(frame[1][0])
        theirs.sendall(LENGTH.pack(1001))
        reader.receive(ours)
        with pytest.raises(frames.FrameError):
            reader.frame()


def test_what_is_no_guest_is_told() -> None:
    assert not check(Guest("a-1", policy="/p", evidence="/e"))
    for name in ("A", "a/b", "", "a" * 49, "-a"):
        assert check(Guest(name))
    for wrong in (Guest("a", policy="p"), Guest("a", evidence="e"), Guest("a", policy="/\0")):
        assert check(wrong)
    fault = Fault("name", "taken")
    assert msgspec.json.decode(msgspec.json.encode(fault), type=Answer) == fault


def test_the_roster_keeps_guests_and_says_what_is_none(tmp_path: Path) -> None:
    roster = Roster(tmp_path / "state")
    guest = Guest("a", policy="/p", keep_authority=True)
    roster.save(guest)
    (tmp_path / "state" / "b.json").write_text("{")
    (tmp_path / "state" / "c.json").write_bytes(msgspec.json.encode(guest))  # of another name
    guests, wrong = roster.guests()
    assert guests == [guest]
    assert len(wrong) == 2
    descriptor = roster.open_kept("a")
    os.fchmod(descriptor, 0o644)
    os.close(descriptor)
    with pytest.raises(RosterError, match="holds a key"):
        roster.open_kept("a")
    roster.forget("a")
    assert roster.guests()[0] == []
    assert not (tmp_path / "state" / "a.kept").exists()
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(RosterError, match="chmod 700"):
        Roster(tmp_path / "open")


def test_authority_and_leases_go_on_in_another_worker() -> None:
    descriptor = memory("test")
    try:
        first = Keepsake(descriptor, "a", NOW)
        assert first.fresh
        names = [f"host-{number}.example" for number in range(50)]
        given = [first.leases.lease(name, 1.0) for name in names]
        os.write(descriptor, b"torn.exam")  # a crash in the middle of a line
        second = Keepsake(descriptor, "a", NOW + dt.timedelta(days=400))
        assert not second.fresh
        assert second.key == first.key
        assert second.authority.certificate_pem == first.authority.certificate_pem
        assert [second.leases.lease(name, 1.0) for name in names] == given
        assert second.authority.leaf("a.example").name == "a.example"
        # What cannot be told from two lines ends the keeping, not the leasing.
        second.leases.lease("a\nb", 1.0)
        third = Keepsake(descriptor, "a", NOW)
        assert len(third.leases) == 0
        assert third.authority.certificate_pem == first.authority.certificate_pem
    finally:
        os.close(descriptor)


def test_what_was_kept_and_is_damaged_is_not_used() -> None:
    for data in (
        b"{}\n",
        b"x",
        b'{"version":2,"key":"","seed":"","root":{"key":"","certificate":""}}\n',
    ):
        descriptor = memory("test")
        try:
            os.write(descriptor, data)
            with pytest.raises(KeepsakeError):
                Keepsake(descriptor, "a", NOW)
        finally:
            os.close(descriptor)


def test_evidence_is_numbered_on(tmp_path: Path) -> None:
    path = tmp_path / "e"
    line = b'{"event":"gap","time":"","seq":%d,"jail":"%s","lost":1,"since":""}\n'
    path.write_bytes(line % (7, b"a") + line % (3, b"b") + b'{"event":"gap","seq":9')
    with path.open("rb") as file:
        assert [last_sequence(file.fileno(), name) for name in "abc"] == [7, 3, 0]


def test_the_holder_gives_back_what_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "holder.sock"
    first = Holder(path)
    descriptor = memory("kept")
    os.write(descriptor, b"something")
    first.put("a.net", [descriptor])
    first.put("b.net", [descriptor, descriptor])
    os.close(descriptor)
    first.remove("b.net")
    first.close()
    second = Holder(path)
    assert list(second.found) == ["a.net"]
    (kept,) = second.found["a.net"]
    assert os.pread(kept, 100, 0) == b"something"
    os.close(kept)
    second.remove("a.net")
    second.close()  # it holds nothing, and ends


def test_the_unit_is_one(tmp_path: Path) -> None:
    text = unit.text(("/bin/true", "with space", 'quo"te', "per%cent", "dol$lar"))
    assert 'ExecStart=/bin/true "with space" "quo\\"te" "per%%cent" "dol$$lar" gateway run' in text
    for line in (
        "WatchdogSec=",
        "FileDescriptorStoreMax=",
        "NoNewPrivileges=yes",
        "Restart=always",
    ):
        assert line in text
    path = tmp_path / "egressguard-gateway.service"
    path.write_text(unit.text(("/bin/true",)))
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(path)], capture_output=True, check=False, timeout=60
        )
    except FileNotFoundError:
        return
    said = [line for line in done.stderr.decode().splitlines() if path.name in line]
    assert not said, said
