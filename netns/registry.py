"""Live jails: one JSON file each, locked for as long as its supervisor lives.

The lock (flock(2)) is the sign of life: the kernel drops it when the supervisor ends, however it
ends. A file whose lock can be had belongs to nobody; `reclaim` kills what is left of that jail
and removes the file. A process is killed only through a pidfd and only while its start time is
the recorded one, so a pid that was given to somebody else is never touched.

A file is replaced as a whole by rename(2) and the new one is locked before it is visible: a
reader sees complete JSON, and a visible file of a live jail is always locked.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from netns.naming import digest, masked, names, slug
from netns.processes import Process, kill_process

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")


class RegistryError(Exception):
    """The registry cannot be used; the message names the path, the cause and the fix."""


class Jail(msgspec.Struct, frozen=True):
    """What is known about a jail from outside. Holds no secret: the command is masked."""

    name: str
    command: tuple[str, ...]
    """Masked; see `masked`."""
    command_digest: str
    """First 16 hex digits of a BLAKE2b of the whole command, keyed at random for each jail:
    tells the supervisor's own copy from another, and gives nothing to guess against."""
    policy: str
    """Preset, such as `balanced`, or path of the policy file."""
    evidence: str
    """Path of the evidence file; empty when there is none."""
    began: float
    """Seconds since the epoch."""
    boot: str
    """Boot id of the kernel that the processes belong to; proc_sys_kernel(5)."""
    pid_namespace: int
    """Inode of the PID namespace in which the pids are meant; pid_namespaces(7)."""
    rootless: bool = False
    processes: tuple[Process, ...] = ()
    groups: tuple[str, ...] = ()
    """Paths of its control groups."""


class Reclaimed(msgspec.Struct, frozen=True):
    """What `Registry.reclaim` found and did."""

    name: str
    killed: tuple[Process, ...] = ()
    survived: tuple[Process, ...] = ()
    """Killed, but not gone within the time given (uninterruptible sleep); their jail stays."""
    note: str = ""
    """Why something was left alone; empty when all is clean."""


def default_directory() -> Path:
    """Where this user's jails are registered: /run/egressguard for root, else a private place."""
    uid = os.geteuid()
    if uid == 0:
        return Path("/run/egressguard")
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime, "egressguard")
    return Path(tempfile.gettempdir(), f"egressguard-{uid}")


@dataclasses.dataclass(slots=True)
class Registration:
    """The supervisor's hold on its entry: while it is open the jail counts as alive."""

    jail: Jail
    _directory: Path
    _lock: int
    _owner: int = dataclasses.field(default_factory=os.getpid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Name of the jail."""
        return self.jail.name

    def update(
        self,
        processes: Sequence[Process] | None = None,
        *,
        policy: str | None = None,
        evidence: str | None = None,
        groups: Sequence[str] | None = None,
    ) -> None:
        """Replace what is given and keep the rest.

        Raises:
            RegistryError: the directory cannot be written any more.

        """
        changed = msgspec.structs.replace(
            self.jail,
            processes=self.jail.processes if processes is None else tuple(processes),
            policy=self.jail.policy if policy is None else policy,
            evidence=self.jail.evidence if evidence is None else evidence,
            groups=self.jail.groups if groups is None else tuple(groups),
        )
        with _explained(self._directory):
            temporary, lock = _write(self._directory, changed)
            temporary.replace(_path(self._directory, changed.name))
        os.close(self._lock)
        self.jail, self._lock = changed, lock

    def forget_in_child(self) -> None:
        """Close the lock in a forked child, or the jail would count as alive with the child."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def close(self) -> None:
        """Remove the entry: the jail ended in order. Safe to call again."""
        if self._lock >= 0 and self._owner == os.getpid():
            _path(self._directory, self.jail.name).unlink(missing_ok=True)
        self.forget_in_child()


class Registry:
    """The jails of one directory."""

    def __init__(self, directory: Path | None = None) -> None:
        """Open the directory, making it with mode 0700 when it is missing.

        Raises:
            RegistryError: it is not a private directory of this user.

        """
        self.directory = directory or default_directory()
        with _explained(self.directory):
            self.directory.mkdir(mode=0o700, exist_ok=True)
            status = self.directory.lstat()
        private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
        if not private or status.st_uid != os.geteuid():
            raise RegistryError(
                f"{self.directory}: not a directory that only you can enter, so jails cannot be "
                f"registered in it. Fix: remove it, or chmod 700 it if it is yours"
            )

    def register(
        self,
        command: Sequence[str],
        *,
        policy: str = "",
        evidence: str = "",
        began: float,
        rootless: bool = False,
        name: str | None = None,
        processes: Sequence[Process] = (),
    ) -> Registration:
        """Enter a jail and hold its lock.

        Args:
            command: what the jail runs; only its masked form and a digest are kept.
            policy: preset or path.
            evidence: path of the evidence file; both may be filled in later by `update`.
            began: seconds since the epoch.
            rootless: whether a user namespace owns the jail.
            name: as the operator wishes; None makes one up, such as `claude-amber-otter`.
            processes: those that exist already.

        Raises:
            RegistryError: `name` is not a name or is taken by a live jail, or writing failed.

        """
        if name is not None and not _NAME.fullmatch(name):
            raise RegistryError(
                f"jail name {name!r}: only a-z, 0-9 and - are allowed, at most 48. "
                f"Fix: --name {slug(name)}"
            )
        jail = Jail(
            name or "",
            masked(command),
            digest(command),
            policy,
            evidence,
            began,
            _boot_id(),
            _pid_namespace(),
            rootless,
            tuple(processes),
        )
        if name is not None:
            for found in self.reclaim(name):
                if found.note:
                    raise RegistryError(f"jail name {name}: {found.note}. Fix: another --name")
        for candidate in [name] if name else names(command):
            jail = msgspec.structs.replace(jail, name=candidate)
            with _explained(self.directory):
                temporary, lock = _write(self.directory, jail)
                try:
                    os.link(temporary, _path(self.directory, candidate))
                except FileExistsError:
                    os.close(lock)
                else:
                    return Registration(jail, self.directory, lock)
                finally:
                    temporary.unlink(missing_ok=True)
        raise RegistryError(f"jail name {name}: a live jail has it. Fix: another --name")

    def list(self) -> tuple[Jail, ...]:
        """The live jails, oldest first. Orphans are left out; `reclaim` deals with them."""
        live = []
        for path in self._entries():
            lock = _lock_of(path)
            if lock is None:
                jail = _read(path)
                if jail is not None:
                    live.append(jail)
            elif lock >= 0:
                os.close(lock)
        return tuple(sorted(live, key=lambda jail: (jail.began, jail.name)))

    def reclaim(self, name: str | None = None) -> tuple[Reclaimed, ...]:
        """Kill what is left of jails without a supervisor and remove their entries.

        Args:
            name: only this jail.

        Returns:
            What was done; empty when there was no orphan.

        """
        done = []
        # One of thousands is looked for by its name alone.
        for path in self._entries() if name is None else (_path(self.directory, name),):
            lock = _lock_of(path)
            if lock is None or lock < 0:
                continue
            try:
                done.append(_reclaim(path))
            finally:
                os.close(lock)
        leftovers = self.directory.glob(".*.tmp") if name is None else ()
        for path in leftovers:  # a supervisor died while writing
            lock = _lock_of(path)
            if lock is not None and lock >= 0:
                path.unlink(missing_ok=True)
                os.close(lock)
        return tuple(done)

    def _entries(self) -> tuple[Path, ...]:
        return tuple(
            sorted(path for path in self.directory.glob("*.json") if _NAME.fullmatch(path.stem))
        )


def _reclaim(path: Path) -> Reclaimed:
    """Deal with one orphan whose lock the caller holds."""
    jail = _read(path)
    if jail is None:
        path.unlink(missing_ok=True)
        return Reclaimed(path.stem, note="its entry was unreadable and was removed")
    if jail.boot == _boot_id() and jail.pid_namespace != _pid_namespace():
        return Reclaimed(jail.name, note="its processes belong to another PID namespace")
    outcomes: list[tuple[Process, str]] = []
    if jail.boot == _boot_id():  # pids of another boot mean nothing
        outcomes = [(target, kill_process(target)) for target in jail.processes]
    killed = tuple(target for target, outcome in outcomes if outcome == "killed")
    survived = tuple(target for target, outcome in outcomes if outcome == "survived")
    if survived:
        return Reclaimed(jail.name, killed, survived, "some processes do not end")
    if jail.groups and jail.boot == _boot_id():
        from netns import limits

        limits.remove([Path(group) for group in jail.groups])
    path.unlink(missing_ok=True)
    return Reclaimed(jail.name, killed)


def _path(directory: Path, name: str) -> Path:
    return directory / f"{name}.json"


def _write(directory: Path, jail: Jail) -> tuple[Path, int]:
    """Write `jail` to a locked temporary file; its path and the descriptor that holds the lock."""
    temporary = directory / f".{jail.name}.{secrets.token_hex(8)}.tmp"
    lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(lock, msgspec.json.encode(jail) + b"\n")
    except BaseException:
        os.close(lock)
        temporary.unlink(missing_ok=True)
        raise
    return temporary, lock


def _lock_of(path: Path) -> int | None:
    """Take the lock of an entry: a descriptor, None when somebody lives, -1 when it is gone."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    try:
        same = os.path.samestat(os.fstat(lock), path.lstat())
    except OSError:
        same = False
    if same:
        return lock
    os.close(lock)  # replaced or removed in between, so somebody was alive to do it
    return None if path.exists() else -1


def _read(path: Path) -> Jail | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Jail)
    except (OSError, msgspec.DecodeError):
        return None


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


class _explained:  # noqa: N801 - reads as a word at its uses
    """Turn an OSError of the registry's own files into a RegistryError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise RegistryError(
                f"{self._directory}: {error.strerror or error}. "
                f"Fix: make it writable for you and leave it space"
            ) from error
