"""Limits by control groups, against trees of plain files that look like those of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from netns import limits
from netns.limits import Group, Hierarchies, LimitError, Limits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("512M", 512 << 20),
        ("2g", 2 << 30),
        ("2GiB", 2 << 30),
        ("1T", 1 << 40),
        ("1048576K", 1 << 30),
        ("100000000", 100_000_000),
    ],
)
def test_size(text: str, value: int) -> None:
    assert limits.size(text) == value


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1G", "2X", "2 G x", "0x10M", "١G", "1" * 30])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        limits.size(text)


def test_too_little() -> None:
    for text in ("1", "0", "63M"):
        with pytest.raises(ValueError, match="64M or more"):
            limits.size(text)


MIXED = """\
22 1 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
23 22 0:22 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
24 22 0:23 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
25 22 0:24 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
26 22 0:25 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup rw
"""
OWN = """\
9:name=systemd:/user.slice
4:memory:/mine
1:cpu,cpuacct:/
0::/user.slice/session-1.scope
"""


def test_hierarchies() -> None:
    found = limits.hierarchies(MIXED, OWN)
    assert found.unified == Path("/sys/fs/cgroup/unified")
    assert found.own == "/user.slice/session-1.scope"
    assert found.legacy["memory"] == Path("/sys/fs/cgroup/memory/mine")
    assert found.legacy["cpu"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert "pids" not in found.legacy
    alone = limits.hierarchies(
        "30 1 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n", "0::/\n"
    )
    assert alone == Hierarchies(Path("/sys/fs/cgroup"), "/", {})


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    """A tree of version 2; the kernel would make the files of a new group itself."""
    for folder, given in (("", "memory pids"), ("user.slice", "memory"), ("user.slice/own", "")):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "cgroup.controllers").write_text("cpu memory pids io\n")
        (place / "cgroup.subtree_control").write_text(given)
    return tmp_path


def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have a new directory hold what a new group does."""
    folders: list[Path] = []
    ordinary = Path.mkdir

    def mkdir(path: Path) -> None:
        ordinary(path)
        folders.append(path)
        (path / "cgroup.procs").write_text("")

    def rmdir(path: Path) -> None:
        for file in path.iterdir():
            file.unlink()
        ordinary_rmdir(path)

    ordinary_rmdir = Path.rmdir
    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", rmdir)
    return folders


def test_version_2(unified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = made(monkeypatch)
    found = Hierarchies(unified, "/user.slice/own", {})
    group = limits.limited(Limits(memory=1 << 30, cpus=1.5), "dev", found)
    (path,) = folders
    # Beside our own group, whose processes keep it from handing anything out.
    assert path.parent == unified / "user.slice"
    assert (unified / "user.slice/cgroup.subtree_control").read_text() == "+cpu"
    assert (path / "memory.max").read_text() == str(1 << 30)
    assert (path / "cpu.max").read_text() == "150000 100000"
    assert not (path / "pids.max").exists()
    assert len(group.descriptors) == 1
    assert group.notes() == []
    (path / "memory.events").write_text("low 0\noom 2\noom_kill 3\n")
    assert group.notes() == ["--memory: the kernel has ended 3 processes of the jail"]
    group.close()
    assert not path.exists()
    group.close()


def test_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = made(monkeypatch)
    legacy = {name: tmp_path / name for name in ("memory", "pids", "cpu")}
    for place in legacy.values():
        place.mkdir()
    folders.clear()
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.controllers").write_text("")
    folders.clear()
    found = Hierarchies(tmp_path / "unified", "/", legacy)
    group = limits.limited(Limits(64 << 20, 100, 0.5), "dev", found)
    memory, pids, cpu = folders
    assert (memory / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert not (memory / "memory.memsw.limit_in_bytes").exists()  # only where the kernel has it
    assert (pids / "pids.max").read_text() == "100"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "50000"
    assert len(group.descriptors) == 3
    (pids / "pids.events").write_text("max 7\n")
    assert group.notes() == ["--pids: 7 processes could not be started"]
    group.close()
    assert not any(path.exists() for path in folders)
    assert limits.described(found) == "version 1: memory, pids, cpu"


def test_what_cannot_be_limited_is_refused(
    unified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LimitError, match="no control group here limits pids"):
        limits.limited(Limits(pids=100), "dev", Hierarchies(None, "/", {"memory": tmp_path}))
    with pytest.raises(OSError, match="no control group has"):
        limits.described(Hierarchies(None, "/", {}))
    # In a container the first group has processes, and the kernel says EBUSY.
    folders = made(monkeypatch)
    ordinary = Path.write_text

    def busy(path: Path, text: str, *rest: str) -> int:
        if path.name == "cgroup.subtree_control":
            raise OSError(16, "Device or resource busy")
        return ordinary(path, text, *rest)

    monkeypatch.setattr(Path, "write_text", busy)
    with pytest.raises(LimitError, match=r"do not hand cpu.*busy"):
        limits.limited(Limits(cpus=1), "dev", Hierarchies(unified, "/", {}))
    assert folders == []


def test_nothing_is_left_when_a_setting_fails(
    unified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = made(monkeypatch)
    ordinary = Path.write_text

    def refused(path: Path, text: str, *rest: str) -> int:
        if path.name == "memory.max":
            raise OSError(22, "Invalid argument")
        return ordinary(path, text, *rest)

    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(LimitError, match="cannot be set"):
        limits.limited(Limits(memory=1 << 30), "dev", Hierarchies(unified, "/", {}))
    assert len(folders) == 1
    assert not folders[0].exists()


def test_groups_of_the_dead_are_removed(unified: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch)
    alive, dead = unified / "egressguard-a.1", unified / "egressguard-b.4194304999"
    for path in (alive, dead):
        path.mkdir()
    group: Group = limits.limited(Limits(pids=99), "c", Hierarchies(unified, "/", {}))
    assert alive.exists()
    assert not dead.exists()
    group.close()
