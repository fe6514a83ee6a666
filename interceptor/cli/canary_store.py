"""Planted canaries: what lies where, in a file that only its owner can read and no jail shows.

Everything here touches files of a user's, and runs in a process with that user's rights
(`interceptor.cli.as_user`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from interceptor.cli.decoys import Bait
from interceptor.scan.worth import worth

FOLDER: Final = ".local/state/egressguard"
"""Below the home of the agent's user; the jail hides it."""
_NAME: Final = "canaries.json"
_BIGGEST: Final = 1024 * 1024
MOST: Final = 500
"""Canaries of one user."""
_SHORTEST: Final = 16


class StoreError(Exception):
    """The store cannot be used; the message names it and the cause."""


class Canary(msgspec.Struct, frozen=True):
    """One planted decoy."""

    name: str
    value: str

    @property
    def digest(self) -> str:
        """Digest that tells one value from another and gives none away: they are random."""
        return hashlib.blake2b(self.value.encode(), digest_size=8).hexdigest()

    def __repr__(self) -> str:
        return f"Canary(name={self.name!r})"


class Planted(msgspec.Struct, frozen=True):
    """One file of decoys, or decoys that were printed."""

    path: str
    """Empty if they were printed."""
    digest: str
    """SHA-256 of what was written."""
    folders: tuple[str, ...]
    """Directories that were made for it, the outermost first."""
    canaries: tuple[Canary, ...]


class _File(msgspec.Struct, frozen=True):
    version: int
    planted: tuple[Planted, ...] = ()


def store_of(home: str) -> Path:
    """Path of the store."""
    return Path(home, FOLDER, _NAME)


def load(home: str) -> tuple[Planted, ...]:
    """Read the store; nothing where there is none.

    Raises:
        StoreError: it is damaged, or somebody else could have written it.
    """
    path = store_of(home)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise StoreError(f"{path}: is not an ordinary file of this user's")
        if status.st_mode & 0o077:
            raise StoreError(f"{path}: others may read it: chmod 600, and plant new ones")
        data = file.read(_BIGGEST + 1)
    try:
        found = msgspec.json.decode(data, type=_File)
    except msgspec.MsgspecError:
        raise StoreError(f"{path}: is damaged; plant new ones once it is deleted") from None
    if found.version != 1 or len(data) > _BIGGEST:
        raise StoreError(f"{path}: is of another version or too large")
    return found.planted


def canaries(planted: Iterable[Planted]) -> Iterator[tuple[str, str]]:
    """Yield name and value of what can be recognised without mistaking anything for it."""
    count = 0
    for entry in planted:
        for canary in entry.canaries:
            value = canary.value.encode("utf-8", "replace")
            if count < MOST and len(value) >= _SHORTEST and not worth(value):
                count += 1
                yield canary.name, canary.value


def plant(home: str, folder: str, baits: Iterable[Bait]) -> list[Planted]:
    """Write decoys below `folder` where no file is, and note them. Returns what was planted.

    Raises:
        StoreError, OSError: what was written until then is noted, and can be removed.
    """
    known = list(load(home))
    done: list[Planted] = []
    for bait in baits:
        for place in bait.places:
            path = Path(folder, place)
            if os.path.lexists(path):
                continue
            shown = f"~/{place}" if folder == home else str(path)
            entry = Planted(
                str(path),
                hashlib.sha256(bait.content.encode()).hexdigest(),
                tuple(map(str, _missing(path.parent))),
                tuple(Canary(f"{shown}:{key}", value) for key, value in bait.canaries),
            )
            # Noted first: a decoy that lies there unknown would be worse than one that is missing.
            _save(home, (*known, *done, entry))
            for missing in entry.folders:
                Path(missing).mkdir(mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(bait.content)
            done.append(entry)
            break
    return done


def note(home: str, values: Iterable[tuple[str, str]]) -> None:
    """Note decoys that were printed, for a person to place.

    Raises:
        StoreError, OSError: they are not noted.
    """
    entry = Planted("", "", (), tuple(Canary(name, value) for name, value in values))
    _save(home, (*load(home), entry))


def remove(home: str) -> list[tuple[str, str]]:
    """Take away what was planted and is unchanged, and forget all. Returns (path, what became).

    Raises:
        StoreError, OSError: nothing is forgotten.
    """
    done: list[tuple[str, str]] = []
    kept: list[Planted] = []
    for entry in load(home):
        state = state_of(entry)
        if state == "planted":
            Path(entry.path).unlink()
            state = "removed"
        if state == "changed":
            # It holds a decoy still, and perhaps more: a person decides.
            kept.append(entry)
        else:
            for folder in reversed(entry.folders):
                with contextlib.suppress(OSError):  # not empty: others use it now
                    Path(folder).rmdir()
        done.append((entry.path, state))
    if kept:
        _save(home, kept)
    else:
        store_of(home).unlink(missing_ok=True)
    return done


def state_of(entry: Planted) -> str:
    """Say what became of a file: `planted`, `changed`, `gone`; `printed` if there is none."""
    if not entry.path:
        return "printed"
    try:
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return "gone"
    except OSError:
        return "changed"
    with open(descriptor, "rb") as file:
        data = file.read(_BIGGEST)
    return "planted" if hashlib.sha256(data).hexdigest() == entry.digest else "changed"


def _missing(folder: Path) -> list[Path]:
    found: list[Path] = []
    while not os.path.lexists(folder):
        found.insert(0, folder)
        folder = folder.parent
    return found


def _save(home: str, planted: Iterable[Planted]) -> None:
    path = store_of(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(_File(1, tuple(planted)))))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
