"""Which processes belong to a PID namespace and those below it, and what they leave on a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

_NS_GET_PARENT = 0xB702  # ioctl_ns(2)


class Process(msgspec.Struct, frozen=True):
    """A process of the lab as the machine sees it."""

    pid: int
    """In the caller's PID namespace: `os.kill` takes it."""
    inner: int
    """In its own PID namespace."""
    command: tuple[str, ...]


class Traces(msgspec.Struct, frozen=True):
    """What a run could leave on the lab's host; two are compared by `==`."""

    processes: frozenset[int]
    namespaces: frozenset[str]
    """Every namespace that a process of the lab is in, or that is bound somewhere in its mounts."""
    mounts: tuple[str, ...]
    rules: str
    """`nft list ruleset` on the host."""
    network: tuple[str, ...]
    """Its links and routes."""
    files: frozenset[str]
    """Everything below /run, /tmp and /home."""

    def without_files(self) -> Traces:
        """The same without the files."""
        return msgspec.structs.replace(self, files=frozenset())

    def changes(self, before: Traces) -> list[str]:
        """What is here and was not before, and the other way round; for messages."""
        found = []
        for name in self.__struct_fields__:
            new, old = getattr(self, name), getattr(before, name)
            if isinstance(new, str):
                new, old = new.splitlines(), old.splitlines()
            found += [f"+ {name}: {entry}" for entry in new if entry not in old]
            found += [f"- {name}: {entry}" for entry in old if entry not in new]
        return found


def members(namespace: int) -> list[Process]:
    """Processes of a PID namespace (its inode) and of all PID namespaces below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _below(entry / "ns" / "pid", namespace):
                status = (entry / "status").read_text("utf-8", "replace")
                if "\nState:\tZ" in status:
                    continue
                inner = next(row for row in status.splitlines() if row.startswith("NSpid"))
                command = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                words = tuple(command.rstrip("\0").split("\0"))
                found.append(Process(int(entry.name), int(inner.split()[-1]), words))
    return found


def _below(path: Path, wanted: int) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while os.fstat(descriptor).st_ino != wanted:
            try:
                parent = fcntl.ioctl(descriptor, _NS_GET_PARENT)
            except OSError:  # EPERM: the parent is not ours to see
                return False
            os.close(descriptor)
            descriptor = parent
        return True
    finally:
        os.close(descriptor)


def namespaces(
    processes: list[Process], kinds: tuple[str, ...] = ("net", "mnt", "pid", "user")
) -> frozenset[str]:
    """Namespaces that processes are in, as `net:[4026532000]`."""
    found = set()
    for process in processes:
        for kind in kinds:
            with contextlib.suppress(OSError):
                found.add(os.readlink(f"/proc/{process.pid}/ns/{kind}"))  # noqa: PTH115
    return frozenset(found)
