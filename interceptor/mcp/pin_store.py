"""Pins of tools, kept between runs and shared by all wrappers of one user.

The file is sealed with a key that lies beside it: whoever can write the one and not read the other,
such as a server that may write files below the home, is told by that. It is replaced as a whole,
under a lock, so that no reader sees half of it and no writer loses what another has written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from interceptor.decide.mcp.pins import Pin, PinBook

NAME: Final = "mcp-pins.json"
_KEY: Final = "mcp-pins.key"
_LOCK: Final = "mcp-pins.lock"
_BIGGEST: Final = 64 * 1024 * 1024
_KEY_BYTES: Final = 32

_Pins = dict[tuple[str, str], Pin]


class PinStoreError(Exception):
    """The store cannot be used; the message names it, the cause and the fix."""


class _File(msgspec.Struct, frozen=True):
    seal: str
    book: msgspec.Raw


class PinStore:
    """The store, and the book that is read from it.

    Attributes:
        path: of the file.
        book: what is known: to be handed to who judges.
    """

    def __init__(self, folder: Path) -> None:
        """Read it; a store that is not there yet is empty.

        Raises:
            PinStoreError: it is damaged, somebody else wrote it, or it cannot be read.
        """
        self.path = folder / NAME
        self.book = PinBook()
        self._key_path = folder / _KEY
        self._base: _Pins = {}
        self._stamp: tuple[int, ...] = ()
        self._saved = 0
        self.refresh()

    def refresh(self) -> frozenset[str]:
        """Take over what other processes have written since; returns servers it is about.

        Raises:
            PinStoreError: see `__init__`.
        """
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            status = None
        except OSError as error:
            raise PinStoreError(f"{self.path}: {error.strerror}") from None
        stamp = _stamp(status)
        if stamp == self._stamp:
            return frozenset()
        theirs = self._read() if status is not None else {}
        mine = {(server, tool): pin for server, tool, pin in self.book.pins()}
        before = self.book.revision
        other: dict[str, dict[str, Any]] = {}
        for key, pin in theirs.items():
            if pin != self._base.get(key) and pin != mine.get(key):
                other.setdefault(key[0], {})[key[1]] = msgspec.to_builtins(pin)
        gone = self._base.keys() - theirs.keys()
        for server, tool in gone:
            self.book.forget(server, tool)
        if other:
            self.book.update(PinBook.from_data({"version": 1, "servers": other}))
        if self._saved == before:
            self._saved = self.book.revision  # nothing of ours waits to be written
        self._base, self._stamp = theirs, stamp
        return frozenset((*other, *(server for server, _ in gone)))

    @property
    def changed(self) -> bool:
        """True while the book holds what the file does not."""
        return self.book.revision != self._saved

    def save(self) -> None:
        """Write the book, with what others have written meanwhile.

        Raises:
            PinStoreError: it could not be written, and is as before.
        """
        try:
            with _locked(self.path.parent):
                self.refresh()
                self._write()
        except OSError as error:
            raise PinStoreError(f"{self.path}: cannot be written: {error.strerror}") from None

    # -- files -------------------------------------------------------------------------------

    def _read(self) -> _Pins:
        data = self._bytes(self.path)
        damaged = (
            f"{self.path}: was changed by something else than egressguard, or is damaged. Look at "
            "what it says, then begin anew: egressguard mcp pins reset"
        )
        try:
            found = msgspec.json.decode(data, type=_File)
            seal = self._seal(bytes(found.book))
            if not hmac.compare_digest(seal, found.seal):
                raise PinStoreError(damaged)
            book = PinBook.from_data(msgspec.json.decode(found.book))
        except (msgspec.MsgspecError, ValueError, TypeError):
            raise PinStoreError(damaged) from None
        return {(server, tool): pin for server, tool, pin in book.pins()}

    def _write(self) -> None:
        book = msgspec.json.encode(self.book.as_data())
        content = msgspec.json.encode(_File(self._seal(book), msgspec.Raw(book)))
        temporary = self.path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            self._stamp = ()
        temporary.replace(self.path)
        self._stamp = _stamp(self.path.lstat())
        self._base = {(server, tool): pin for server, tool, pin in self.book.pins()}
        self._saved = self.book.revision

    def _seal(self, book: bytes) -> str:
        return hashlib.blake2b(book, key=self._key(), digest_size=16).hexdigest()

    def _key(self) -> bytes:
        if not os.path.lexists(self._key_path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with (
                contextlib.suppress(FileExistsError),
                open(os.open(self._key_path, flags, 0o600), "wb") as file,
            ):
                file.write(os.urandom(_KEY_BYTES))
        key = self._bytes(self._key_path)
        if len(key) != _KEY_BYTES:
            raise PinStoreError(f"{self._key_path}: is damaged: remove it and {self.path}")
        return key

    @staticmethod
    def _bytes(path: Path) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise PinStoreError(f"{path}: cannot be read: {error.strerror}") from None
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise PinStoreError(f"{path}: is not an ordinary file with one name: remove it")
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PinStoreError(
                    f"{path}: others may have written or read it: look at it, then chmod 600, or "
                    "begin anew: egressguard mcp pins reset"
                )
            data = file.read(_BIGGEST + 1)
        if len(data) > _BIGGEST:
            raise PinStoreError(f"{path}: is too large: egressguard mcp pins reset")
        return data


def reset(folder: Path) -> None:
    """Remove the store, also one that is damaged.

    Raises:
        PinStoreError: it cannot be removed.
    """
    try:
        with _locked(folder):
            (folder / NAME).unlink(missing_ok=True)
            (folder / _KEY).unlink(missing_ok=True)
    except OSError as error:
        raise PinStoreError(f"{folder / NAME}: cannot be removed: {error.strerror}") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / _LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stamp(status: os.stat_result | None) -> tuple[int, ...]:
    """Tell one state of a file from the next: it is replaced, never written into."""
    if status is None:
        return (0,)
    return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_mode)
