"""What is checked before a jail is begun, and how its faults are told."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from interceptor.cli.main import EXIT_SETUP, EXIT_USAGE

if TYPE_CHECKING:
    from netns.identity import Identity
    from netns.limits import Limits

_DESCRIPTORS: Final = 64
"""Open descriptors that a start needs; the interceptor raises its own limit itself."""


class Fault(click.ClickException):
    """One clear line and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = exit_code

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """Exit code of the process."""
        return self.code

    def show(self, file: object = None) -> None:  # noqa: ARG002
        """Print it as every message of ours."""
        tell(self.message)


def tell(line: str) -> None:
    """Print a line for the operator."""
    with contextlib.suppress(OSError, AttributeError):  # closed, or never there: nobody reads
        sys.stderr.write(f"egressguard: {line.rstrip()}\n")
        sys.stderr.flush()


def paths(evidence: str | None, shown: tuple[str, ...]) -> None:
    """Find what is wrong with paths of the command line before anything starts."""
    if evidence == "":
        raise Fault(
            "--evidence: the path is empty; leave the option out for the default", EXIT_USAGE
        )
    for path in shown:
        if not os.path.exists(path):  # noqa: PTH110 - does not raise
            raise Fault(f"{path}: cannot be shown in the jail: it does not exist", EXIT_USAGE)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _DESCRIPTORS:
        raise Fault(
            f"too few descriptors are allowed: ulimit -n {_DESCRIPTORS} or more", EXIT_SETUP
        )


def rights(*, rootless: bool) -> None:
    """Say early that root is missing, or not wanted, or that this is a jail already."""
    from netns.launch import GATE

    if os.path.exists(GATE):  # noqa: PTH110 - does not raise
        raise Fault(
            "this is inside a jail already, and jails do not nest: run the command as it is, it is "
            "enclosed",
            EXIT_SETUP,
        )
    root = os.geteuid() == 0
    if rootless and root:
        raise Fault("--rootless is for ordinary users: leave it out, or leave sudo out", EXIT_USAGE)
    if not rootless and not root:
        raise Fault("needs root: put sudo before it, or add --rootless", EXIT_USAGE)


def limits(memory: str | None, pids: int | None, cpus: float | None, *, rootless: bool) -> Limits:
    """Read the options that limit resources."""
    from netns.limits import Limits, size

    try:
        asked = Limits(size(memory) if memory is not None else None, pids, cpus)
    except ValueError as error:
        raise Fault(f"--memory: {error}", EXIT_USAGE) from None
    if rootless and asked.controllers:
        raise Fault(
            "--memory, --pids and --cpus need root. Without it, let systemd limit the whole: "
            "systemd-run --user --scope -p MemoryMax=2G -p TasksMax=500 -p CPUQuota=150% "
            "egressguard jail --rootless ...",
            EXIT_USAGE,
        )
    return asked


def working_directory(who: Identity, home: str) -> str:
    """Return the working directory, which `who` must be able to enter.

    `home` is `--home`: a private one has no directories of others on the way.
    """
    try:
        cwd = Path.cwd()
    except FileNotFoundError:
        raise Fault(
            "the working directory does not exist any more: cd to another one", EXIT_SETUP
        ) from None
    on_the_way = [cwd] if home == "private" else [cwd, *cwd.parents]
    if os.geteuid() or all(each.stat().st_mode & 0o001 for each in on_the_way):
        return str(cwd)
    if not _enters(who, cwd, whole=home != "private"):
        closed = next((each for each in reversed(on_the_way) if _closed(who, each)), cwd)
        why = "; root in a jail has no capabilities" if who.uid == 0 else ""
        raise Fault(
            f"{closed}: {who.name} may not enter it (mode {_mode(closed)}, of user "
            f"{closed.stat().st_uid}){why}: cd to another directory, or name its owner with --user",
            EXIT_USAGE,
        )
    return str(cwd)


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def _closed(who: Identity, path: Path) -> bool:
    """Say whether the permission bits alone keep `who` out of a directory."""
    about = path.stat()
    if about.st_uid == who.uid:
        return not about.st_mode & 0o100
    if about.st_gid in (who.gid, *who.groups):
        return not about.st_mode & 0o010
    return not about.st_mode & 0o001


def _enters(who: Identity, cwd: Path, *, whole: bool) -> bool:
    """Try it in a child that has become `who`, without capabilities: access lists count too."""
    from netns import namespaces

    place = os.open(cwd, os.O_PATH | os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups(who.groups)
            os.setresgid(who.gid, who.gid, who.gid)
            os.setresuid(who.uid, who.uid, who.uid)
            namespaces.drop_capabilities()
            if whole:
                os.chdir(cwd)
            else:
                os.fchdir(place)
            code = 0
        finally:
            os._exit(code)
    os.close(place)
    return os.waitpid(child, 0)[1] == 0
