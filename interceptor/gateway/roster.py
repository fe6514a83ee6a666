"""The guests that a gateway has, on disk: one JSON file each, replaced as a whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from interceptor.gateway.messages import Guest, check

_KEPT: Final = ".kept"


class RosterError(RuntimeError):
    """The directory cannot be used; names the path, the cause and the fix."""


class Roster:
    """The guests of one directory."""

    def __init__(self, directory: Path) -> None:
        """Open the directory, making it with mode 0700 when it is missing.

        Raises:
            RosterError: it is not a private directory of this user.
        """
        self.directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = directory.lstat()
        except OSError as error:
            raise RosterError(f"{directory}: {error.strerror}") from error
        private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
        if not private or status.st_uid != os.geteuid():
            raise RosterError(
                f"{directory}: not a directory that only you can enter. Fix: chmod 700 it, if it "
                "is yours"
            )

    def guests(self) -> tuple[list[Guest], list[str]]:
        """Read them, and say which files are none."""
        found, wrong = [], []
        for path in sorted(self.directory.glob("*.json")):
            try:
                guest = msgspec.json.decode(path.read_bytes(), type=Guest)
            except (OSError, msgspec.DecodeError) as error:
                wrong.append(f"{path}: not a guest: {error}")
                continue
            if guest.name != path.stem or check(guest):
                wrong.append(f"{path}: not a guest: {check(guest) or 'its name is another'}")
            else:
                found.append(guest)
        return found, wrong

    def save(self, guest: Guest) -> None:
        """Write a guest, so that it is there after a crash of the machine, or not at all.

        Raises:
            RosterError: it cannot be written.
        """
        path = self.directory / f"{guest.name}.json"
        temporary = self.directory / f".{guest.name}.new"
        try:
            temporary.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(temporary, flags, 0o600)
            try:
                os.write(descriptor, msgspec.json.encode(guest) + b"\n")
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
        except OSError as error:
            raise RosterError(f"{path}: {error.strerror}") from error

    def forget(self, name: str) -> None:
        """Remove a guest and what was kept of it."""
        for end in (".json", _KEPT):
            (self.directory / f"{name}{end}").unlink(missing_ok=True)

    def open_kept(self, name: str) -> int:
        """Open the file that keeps a guest's authority, for reading and appending.

        Raises:
            RosterError: it cannot be opened, or others may read it.
        """
        path = self.directory / f"{name}{_KEPT}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise RosterError(f"{path}: {error.strerror}") from error
        status = os.fstat(descriptor)
        if status.st_mode & 0o077 or status.st_uid != os.geteuid() or status.st_nlink != 1:
            os.close(descriptor)
            raise RosterError(f"{path}: others may read it, and it holds a key. Fix: remove it")
        return descriptor
