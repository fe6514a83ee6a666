"""Compiled databases on disk, so that a start takes milliseconds.

A cached database is native data that the matcher trusts, so it is read only from a file and
folders that nobody but root or this process's own user could have written. Anything
doubtful, missing or damaged means compiling again; the cache is never a reason to fail.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

MAX_BYTES = 64 * 1024 * 1024
_MAGIC = b"egressguard-db-1\n"
_DIGEST = 32


def load(folder: Path, key: str) -> bytes | None:
    """Return what was stored under `key`, or None.

    Args:
        folder: cache directory.
        key: hexadecimal content hash.
    """
    path = _path(folder, key)
    try:
        if not _safe(path):
            return None
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        return None
    head = len(_MAGIC) + _DIGEST
    if len(data) > MAX_BYTES or len(data) <= head or not data.startswith(_MAGIC):
        return None
    body = data[head:]
    if data[len(_MAGIC) : head] != _seal(key, body):
        return None
    return body


def store(folder: Path, key: str, body: bytes) -> bool:
    """Store `body` under `key` atomically; returns False if that was not possible."""
    path = _path(folder, key)
    temporary = path.with_suffix(".new")
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as stream:
            temporary.chmod(0o644)
            stream.write(_MAGIC + _seal(key, body) + body)
        temporary.replace(path)
    except (OSError, ValueError):
        return False
    return True


def _path(folder: Path, key: str) -> Path:
    return folder / f"rules-{key}.db"


def _seal(key: str, body: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + b"\n" + body, digest_size=_DIGEST).digest()


def _safe(path: Path) -> bool:
    """Say whether only root or our own user can have written the file at `path`."""
    # /proc/self belongs to our effective user; for a process that is not dumpable to root, which
    # only makes this stricter.
    owners = {0, Path("/proc/self").stat().st_uid}
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode) or info.st_uid not in owners or info.st_mode & 0o022:
        return False
    for parent in path.parent.resolve(strict=True).joinpath("x").parents:
        info = parent.stat()
        shared = info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX
        if info.st_uid not in owners or shared:
            return False
    return True
