"""Limits of memory, processes and processor time for a whole jail, by control groups.

One group for each jail, below or beside that of whoever starts it, so that limits that hold already
keep holding: cgroups(7), Documentation/admin-guide/cgroup-v2.rst. Version 2 where it has the
controllers; where the machine keeps them in version 1, that. What cannot be limited is refused:
an option is never ignored.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_PREFIX: Final = "egressguard-"
_PERIOD: Final = 100_000  # microseconds in which the processor time is shared out
_SUFFIXES: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_PATIENCE: Final = 2.0
SMALLEST_MEMORY: Final = 64 << 20
"""Bytes; with less, what starts the agent does not fit in."""


class LimitError(OSError):
    """A limit cannot be had here. The message names the fix."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a jail may use; None is no limit."""

    memory: int | None = None
    """Bytes."""
    pids: int | None = None
    """Processes and threads at one time."""
    cpus: float | None = None
    """Processors' worth of time."""

    @property
    def controllers(self) -> tuple[str, ...]:
        """Names of the controllers that are needed."""
        wanted = (("memory", self.memory), ("pids", self.pids), ("cpu", self.cpus))
        return tuple(name for name, value in wanted if value is not None)


def size(text: str) -> int:
    """Read an amount of memory, such as `512M` or `2G`, in units of 1024.

    Raises:
        ValueError: it is none, or too small to start anything.
    """
    word = text.strip().upper().removesuffix("B").removesuffix("I")
    number, suffix = (word[:-1], word[-1]) if word and word[-1].isalpha() else (word, "")
    if not (number.isascii() and number.isdecimal()) or suffix not in _SUFFIXES or len(number) > 15:
        raise ValueError(f"{text!r} is not a size: write 512M or 2G")
    value = int(number) << _SUFFIXES[suffix]
    if value < SMALLEST_MEMORY:
        raise ValueError(
            f"{text} is too little to start anything: {SMALLEST_MEMORY >> 20}M or more"
        )
    return value


class Hierarchies(NamedTuple):
    """Where the control groups of a process lie."""

    unified: Path | None
    """Mount point of version 2."""
    own: str
    """The process's group in it, such as `/user.slice/session-1.scope`."""
    legacy: Mapping[str, Path]
    """Controller -> the process's group in version 1."""


def hierarchies(mountinfo: str, cgroup: str) -> Hierarchies:
    """Read the texts of /proc/PID/mountinfo and /proc/PID/cgroup; proc(5), cgroups(7)."""
    own: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    unified: Path | None = None
    legacy: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        point = Path(before.split()[4].replace("\\040", " "))
        if kind == "cgroup2" and unified is None:
            unified = point
        elif kind == "cgroup":
            for name in options.split(","):
                if name in own and name not in legacy:
                    legacy[name] = point / own[name].lstrip("/")
    return Hierarchies(unified, own.get("", "/"), legacy)


def here() -> Hierarchies:
    """Those of the calling process."""
    mountinfo, cgroup = (
        Path(f"/proc/self/{name}").read_text("utf-8", "surrogateescape")
        for name in ("mountinfo", "cgroup")
    )
    return hierarchies(mountinfo, cgroup)


def described(found: Hierarchies) -> str:
    """Say what would be used for limits.

    Raises:
        OSError: nothing can be.
    """
    wanted = ("memory", "pids", "cpu")
    known = _words(found.unified / "cgroup.controllers") if found.unified else frozenset()
    second = [name for name in wanted if name in known]
    first = [name for name in wanted if name not in known and name in found.legacy]
    if not second and not first:
        raise OSError("no control group has memory, pids or cpu")
    parts = []
    if second:
        parts.append(f"version 2 at {found.unified}: {', '.join(second)}")
    if first:
        parts.append(f"version 1: {', '.join(first)}")
    return "; ".join(parts)


class Group:
    """The control groups of one jail."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self.descriptors: tuple[int, ...] = ()
        """A process that writes `0` to each is in the group, with all its children to come."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where they lie."""
        return tuple(map(str, self._paths))

    def open(self) -> None:
        """Open what processes join by. Raises OSError."""
        opened = []
        for path in self._paths:
            opened.append(os.open(path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
            self.descriptors = tuple(opened)

    def notes(self) -> list[str]:
        """What came of the limits, for the operator."""
        found = []
        for path in self._paths:
            for file, key, text in _EVENTS:
                with contextlib.suppress(OSError, ValueError):
                    rows = dict(row.split() for row in (path / file).read_text().splitlines())
                    if count := int(rows.get(key, 0)):
                        found.append(text.format(count=count))
        return found

    def close(self) -> None:
        """Remove the groups; their processes must have ended, or are about to."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()
        remove(self._paths)
        self._paths = []


def remove(paths: Sequence[Path]) -> None:
    """Remove groups, waiting a moment for their processes to be gone. What stays is swept later."""
    end = time.monotonic() + _PATIENCE
    left = [path for path in paths if path.name.startswith(_PREFIX)]
    while left:
        try:
            left[-1].rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            if time.monotonic() < end:
                time.sleep(0.01)
                continue
        left.pop()


_ENDED: Final = "--memory: the kernel has ended {count} processes of the jail"
_EVENTS: Final = (
    ("memory.events", "oom_kill", _ENDED),
    ("memory.oom_control", "oom_kill", _ENDED),
    ("pids.events", "max", "--pids: {count} processes could not be started"),
)


def limited(limits: Limits, jail: str, found: Hierarchies | None = None) -> Group:
    """Make the groups of a jail and set its limits.

    Args:
        limits: what it may use.
        jail: its name.
        found: the caller's hierarchies.

    Raises:
        LimitError: a limit cannot be set here; nothing is left behind.
    """
    found = found or here()
    name = f"{_PREFIX}{jail}.{os.getpid()}"
    group = Group([])
    try:
        for top, settings in _places(found, limits):
            _sweep(top)
            path = top / name
            path.mkdir()
            group._paths.append(path)  # noqa: SLF001
            for file, value, required in settings:
                if required or (path / file).exists():
                    (path / file).write_text(value)
        group.open()
    except OSError as error:
        group.close()
        if isinstance(error, LimitError):
            raise
        raise LimitError(f"the limits cannot be set: {error}") from error
    return group


_Setting = tuple[str, str, bool]


def _places(found: Hierarchies, limits: Limits) -> list[tuple[Path, list[_Setting]]]:
    """Return the directories in which groups are made, and what is written into them."""
    wanted = limits.controllers
    if found.unified is not None and set(wanted) <= _words(found.unified / "cgroup.controllers"):
        return [(_parent(found.unified, found.own, wanted), _settings(limits))]
    lost = [name for name in wanted if name not in found.legacy]
    if lost:
        raise LimitError(
            f"no control group here limits {', '.join(lost)}: leave the option out, or give this "
            "machine (or container) control groups version 2 with these controllers"
        )
    return [(found.legacy[name], _legacy_settings(name, limits)) for name in wanted]


def _settings(limits: Limits) -> list[_Setting]:
    found: list[_Setting] = []
    if limits.memory is not None:
        found += [("memory.max", f"{limits.memory}", True), ("memory.swap.max", "0", False)]
    if limits.pids is not None:
        found.append(("pids.max", f"{limits.pids}", True))
    if limits.cpus is not None:
        found.append(("cpu.max", f"{round(limits.cpus * _PERIOD)} {_PERIOD}", True))
    return found


def _legacy_settings(controller: str, limits: Limits) -> list[_Setting]:
    if controller == "memory":
        # Memory with swap may not be less than memory, so it comes second.
        limit = f"{limits.memory}"
        swap = ("memory.memsw.limit_in_bytes", limit, False)
        return [("memory.limit_in_bytes", limit, True), swap]
    if controller == "pids":
        return [("pids.max", f"{limits.pids}", True)]
    quota = f"{round((limits.cpus or 0) * _PERIOD)}"
    return [("cpu.cfs_period_us", f"{_PERIOD}", True), ("cpu.cfs_quota_us", quota, True)]


def _parent(mount: Path, own: str, wanted: tuple[str, ...]) -> Path:
    """Return the nearest group above our own that can hand out these controllers.

    A group with processes of its own cannot (cgroups(7), "no internal processes"), but the first.
    """
    start = mount / own.strip("/")
    above = [start] if start == mount else [each for each in start.parents if _in(each, mount)]
    refused = ""
    for path in above:
        missing = set(wanted) - _words(path / "cgroup.subtree_control")
        try:
            if missing:
                if not missing <= _words(path / "cgroup.controllers"):
                    continue
                more = " ".join(f"+{name}" for name in sorted(missing))
                (path / "cgroup.subtree_control").write_text(more)
        except OSError as error:
            refused = f" ({path}: {error.strerror})"
        else:
            return path
    raise LimitError(
        f"control groups version 2 do not hand {', '.join(wanted)} to this caller{refused}: leave "
        "the option out, or start it outside this container"
    )


def _in(path: Path, mount: Path) -> bool:
    return path == mount or mount in path.parents


def _words(file: Path) -> frozenset[str]:
    try:
        return frozenset(file.read_text("ascii").split())
    except OSError:
        return frozenset()


def _sweep(top: Path) -> None:
    """Remove groups whose supervisor was killed before it could."""
    for path in top.glob(f"{_PREFIX}*.*"):
        supervisor = path.name.rpartition(".")[2]
        if not Path(f"/proc/{supervisor}").exists():
            with contextlib.suppress(OSError):
                path.rmdir()
