"""What a mount inside the jail can be, and how bubblewrap is told about it.

The plan of a jail's file system is a list of these values: `netns.layout` and `netns.trust` make
it, tests read it, and `arguments` is the one place that knows bwrap(1)'s spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host, shown at `target` (recursively, nosuid, nodev)."""

    source: str
    target: str
    writable: bool = False
    device: bool = False
    """Device nodes below it work. Only for the terminal."""


@dataclass(frozen=True, slots=True)
class Data:
    """A file that exists in the jail only; `content` never touches the host's file system."""

    target: str
    content: bytes
    mode: int = 0o644
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """An empty private directory."""

    target: str
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory made on a private file system."""

    target: str
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link made on a private file system."""

    target: str
    points_to: str


@dataclass(frozen=True, slots=True)
class Proc:
    """A fresh procfs of the jail's own PID namespace."""

    target: str


@dataclass(frozen=True, slots=True)
class Dev:
    """Minimal /dev: null, zero, full, random, urandom, tty, a devpts of its own."""

    target: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Make the mount at `target`, made before, read-only."""

    target: str


Mount = Bind | Data | Tmpfs | Directory | Symlink | Proc | Dev | Sealed


def arguments(mounts: Iterable[Mount], descriptor: Callable[[bytes], int]) -> list[str]:
    """Return bwrap(1)'s arguments for `mounts`, in order.

    `descriptor` turns a file's content into an inheritable descriptor that reads it from the start.
    """
    out: list[str] = []
    for mount in mounts:
        match mount:
            case Bind(source, target, writable, device):
                kind = "--dev-bind" if device else "--bind" if writable else "--ro-bind"
                out += [kind, source, target]
            case Data(target, content, mode, writable):
                kind = "--bind-data" if writable else "--ro-bind-data"
                out += ["--perms", f"{mode:04o}", kind, str(descriptor(content)), target]
            case Tmpfs(target, mode):
                out += ["--perms", f"{mode:04o}", "--tmpfs", target]
            case Directory(target, mode):
                out += ["--perms", f"{mode:04o}", "--dir", target]
            case Symlink(target, points_to):
                out += ["--symlink", points_to, target]
            case Proc(target):
                out += ["--proc", target]
            case Dev(target):
                out += ["--dev", target]
            case Sealed(target):
                out += ["--remount-ro", target]
    return out
