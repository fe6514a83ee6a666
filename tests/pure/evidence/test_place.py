"""Opening the evidence file: nobody can point it elsewhere, and every fault names its fix."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interceptor.evidence.log import EvidenceError
from interceptor.evidence.place import default_path, directory, open_evidence


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "box.jsonl"
    descriptor = open_evidence(path)
    os.write(descriptor, b"{}\n")
    os.close(descriptor)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    again = open_evidence(path)
    os.write(again, b"{}\n")
    os.close(again)
    assert path.read_bytes() == b"{}\n{}\n"


def test_a_lax_mode_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    path.touch(mode=0o666)
    path.chmod(0o666)
    os.close(open_evidence(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "box.jsonl"
    path.write_bytes(b'{}\n{"event":"deci')
    for _ in range(2):
        os.close(open_evidence(path))
    assert path.read_bytes() == b'{}\n{"event":"deci\n'


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    (tmp_path / "box.jsonl").symlink_to(victim)
    with pytest.raises(EvidenceError, match=r"symbolic link; name the file itself"):
        open_evidence(tmp_path / "box.jsonl")
    assert victim.read_text() == "keep"


def test_a_hard_link_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    victim.chmod(0o640)
    (tmp_path / "box.jsonl").hardlink_to(victim)
    with pytest.raises(EvidenceError, match="more than one name"):
        open_evidence(tmp_path / "box.jsonl")
    assert victim.read_text() == "keep"
    assert victim.stat().st_mode & 0o777 == 0o640


@pytest.mark.timeout(5)
def test_a_fifo_is_refused_and_nobody_waits_for_its_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "box.jsonl")
    with pytest.raises(EvidenceError, match="Fix:"):
        open_evidence(tmp_path / "box.jsonl")
    reader = os.open(tmp_path / "box.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(EvidenceError, match="not an ordinary file"):
        open_evidence(tmp_path / "box.jsonl")
    os.close(reader)


@pytest.mark.parametrize("name", ["", "file/box.jsonl", "x" * 300])
def test_bad_paths_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvidenceError, match=r"evidence file .*: .*Fix: "):
        open_evidence(tmp_path / name)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "box.jsonl").symlink_to("/nowhere")
    (tmp_path / "victim").touch()
    (tmp_path / "hard").hardlink_to(tmp_path / "victim")
    for name in ("box.jsonl", "hard"):
        with pytest.raises(EvidenceError):
            open_evidence(tmp_path / name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_path("box") == Path("/var/log/egressguard/box.jsonl")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert directory({"XDG_STATE_HOME": "/s"}) == Path("/s/egressguard")
    home = {"HOME": "/home/dev"}
    expected = Path("/home/dev/.local/state/egressguard")
    assert directory(home) == expected
    assert directory(home | {"XDG_STATE_HOME": "relative"}) == expected
