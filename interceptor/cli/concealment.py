"""Taking secrets out of what /proc shows of our own processes.

The operator's environment arrives in memory that proc(5) shows as /proc/PID/environ for as long as
the process lives, and `--env NAME=VALUE` in /proc/PID/cmdline. The agent's variables are copied
once, and go to it through a socket; nothing else of ours has a use for them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

_KEPT: Final = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "PWD", "TMPDIR"),
        *("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"),
        *("SUDO_UID", "SUDO_GID", "SSL_CERT_FILE", "SSL_CERT_DIR", "JAVA_HOME"),
    )
)
_KEPT_BEGINNINGS: Final = ("LC_", "XDG_", "EGRESSGUARD_", "PYTHON")

_Change = Callable[[bytes], bytes]


def kept(name: str) -> bool:
    """Say whether our own processes have a use for a variable."""
    return name in _KEPT or name.startswith(_KEPT_BEGINNINGS)


def conceal_environment(given: Iterable[str] = ()) -> None:
    """Forget the variables that are not ours, here and in what proc(5) shows.

    Args:
        given: values of --env; what stands behind `=` is blotted out in the command line.
    """
    for name in [name for name in os.environ if not kept(name)]:
        del os.environ[name]
    # A kernel that forbids writing here shows what its administrator wanted shown.
    with contextlib.suppress(OSError, ValueError):
        arguments, environment = _places()
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            values = [os.fsencode(item.partition("=")[2]) for item in given]
            _rewrite(memory.fileno(), arguments, lambda entry: _without(entry, values))
            _rewrite(memory.fileno(), environment, _unkept)


def _places() -> tuple[tuple[int, int], tuple[int, int]]:
    """Return first and last address of arguments and of environment; proc_pid_stat(5), 48-51."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    first, last, start, end = (int(field) for field in fields[45:49])
    return (first, last), (start, end)


def _rewrite(memory: int, place: tuple[int, int], change: _Change) -> None:
    start, end = place
    if not 0 < start < end:
        return
    entries = os.pread(memory, end - start, start).split(b"\0")
    # Of the same length, so that no pointer into it goes astray.
    os.pwrite(memory, b"\0".join(map(change, entries)), start)


def _without(entry: bytes, values: Iterable[bytes]) -> bytes:
    for value in values:
        if value and entry.endswith(b"=" + value):
            return entry[: -len(value)] + b"*" * len(value)
    return entry


def _unkept(entry: bytes) -> bytes:
    name, equals, value = entry.partition(b"=")
    if not equals or kept(os.fsdecode(name)):
        return entry
    return name + equals + b"*" * len(value)
