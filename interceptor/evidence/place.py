"""Where evidence lies, and how its file is opened so that nobody can steer or read it.

The supervisor opens the file before privileges are dropped; the interceptor gets the descriptor and
never a path.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from interceptor.evidence.log import EvidenceError

MODE = 0o600


def directory(environ: Mapping[str, str] | None = None) -> Path:
    """Directory of evidence and crash reports of the running user; it need not exist.

    Root's is `/var/log/egressguard`; another user's follows the XDG base directory specification.
    """
    if os.geteuid() == 0:
        return Path("/var/log/egressguard")
    environ = os.environ if environ is None else environ
    state = environ.get("XDG_STATE_HOME", "")
    # The specification: a relative path is invalid and to be ignored.
    base = Path(state) if state.startswith("/") else Path(environ.get("HOME", "/")) / ".local/state"
    return base / "egressguard"


def default_path(jail: str, environ: Mapping[str, str] | None = None) -> Path:
    """The file that a jail's evidence goes to unless the user names another."""
    return directory(environ) / f"{jail}.jsonl"


def open_evidence(path: Path) -> int:
    """Open `path` for appending and return the descriptor; the file's directory is made if missing.

    The file must be an ordinary one of this user with a single name: not a symbolic link, a FIFO or
    a device, nor a hard link that would send evidence into, or lie inside, somebody else's file. It
    is made readable by this user alone. A torn last line, left by a crash, is closed.

    Raises:
        EvidenceError: the file cannot be used; names the path, the cause and the fix.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # O_NONBLOCK: opening a FIFO would wait for its reader; it means nothing for a file.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags | os.O_NONBLOCK, MODE)
    except OSError as error:
        message = f"cannot open the evidence file {path}: {error.strerror}. Fix: {_fix(error)}"
        raise EvidenceError(message) from error
    try:
        _check(descriptor, path)
        os.fchmod(descriptor, MODE)
        _close_torn_line(descriptor, path)
    except OSError as error:
        os.close(descriptor)
        message = f"cannot use the evidence file {path}: {error.strerror}. Fix: {_fix(error)}"
        raise EvidenceError(message) from error
    except EvidenceError:
        os.close(descriptor)
        raise
    return descriptor


def _check(descriptor: int, path: Path) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        fault = "it is not an ordinary file"
    elif status.st_uid != os.geteuid():
        fault = f"it belongs to user {status.st_uid}"
    elif status.st_nlink != 1:
        fault = "it has more than one name (hard link)"
    else:
        return
    message = f"cannot use the evidence file {path}: {fault}. Fix: name another file."
    raise EvidenceError(message)


def _close_torn_line(descriptor: int, path: Path) -> None:
    if os.fstat(descriptor).st_size == 0:
        return
    reader = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        same = os.path.sameopenfile(reader, descriptor)
        last = os.pread(reader, 1, os.fstat(reader).st_size - 1)
    finally:
        os.close(reader)
    if same and last != b"\n":
        os.write(descriptor, b"\n")


def _fix(error: OSError) -> str:
    match type(error).__name__:
        case "PermissionError":
            return "use a directory that you may write, or run as root."
        case "NotADirectoryError" | "FileExistsError":
            return "a part of the path is not a directory; name another."
    if error.errno == 40:  # ELOOP: O_NOFOLLOW met a symbolic link, open(2)
        return "it is a symbolic link; name the file itself."
    if error.errno == 28:  # ENOSPC
        return "free some space on that disk."
    return "name another file."
