"""Out through files that others read, and descriptors and terminals that others hold."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios

from netns.escapes.task import Task


def _path(task: Task) -> str:
    path: str = task.args.get("path") or task.world[task.args["at"]]
    path = path.replace("NONCE", task.nonce.decode()).replace("UID", str(os.getuid()))
    return os.path.expanduser(path)


def write(task: Task) -> str:
    """Write a file where somebody outside reads it."""
    path = _path(task)
    if task.args.get("make"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as file:
        file.write(task.nonce + b"\n")
    return "written"


def replace(task: Task) -> str:
    """Put another file in the place of one: rename(2)."""
    path = _path(task)
    fresh = f"{path}-{task.nonce.decode()}"
    with open(fresh, "wb") as file:
        file.write(task.nonce)
    os.replace(fresh, path)
    return "replaced"


def read(task: Task) -> str:
    """Read what belongs to the operator."""
    path, loot = _path(task), b""
    if os.path.isdir(path):
        for name in os.listdir(path):
            with contextlib.suppress(OSError), open(os.path.join(path, name), "rb") as file:
                loot += name.encode() + b"\n" + file.read(4096)
        if not loot:
            return "nothing in it"
    else:
        with open(path, "rb") as file:
            loot = file.read(65536)
    return task.took(loot)


def change_product(task: Task) -> str:
    """Open a file of ours for writing, and write nothing."""
    changed = 0
    saw = "none found"
    for top in task.world["product"]:
        for folder in (top, f"{top}/interceptor", f"{top}/netns", f"{top}/bin"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                for name in sorted(os.listdir(folder)):
                    path = os.path.join(folder, name)
                    if not os.path.isfile(path) or os.path.islink(path):
                        continue
                    try:
                        os.close(os.open(path, os.O_WRONLY))
                        changed += 1
                    except OSError as error:
                        saw = os.strerror(error.errno or 0)
    return task.gain(f"{changed} files can be changed") if changed else saw


def inherited(task: Task) -> str:
    """Write to every descriptor that was left open."""
    written = 0
    for number in os.environ.get("EGX_DESCRIPTORS", "").split() or range(3, 1024):
        with contextlib.suppress(OSError):
            if int(number) in task.args.get("except", ()):
                continue
            kind = os.readlink(f"/proc/self/fd/{number}")
            if kind.startswith("pipe:") and not task.args.get("pipes"):
                continue  # the runner's own
            os.write(int(number), task.nonce)
            written += 1
    return f"{written} written to"


def standard_streams(task: Task) -> str:
    """Is one of the three streams a socket, that more can be asked of than bytes?"""
    kinds = [os.readlink(f"/proc/{os.getppid()}/fd/{number}") for number in range(3)]
    if any(kind.startswith("socket:") for kind in kinds):
        return task.gain(", ".join(kinds))
    return ", ".join(kind.partition(":")[0] for kind in kinds)


# --- terminals --------------------------------------------------------------------------------


def type_ahead(task: Task) -> str:
    """TIOCSTI: type into one's terminal as if the operator had."""
    return _typed(task, termios.TIOCSTI)


def type_ahead_wide(task: Task) -> str:
    """The same with bits above an int, which a careless filter compares and the kernel ignores."""
    return _typed(task, termios.TIOCSTI | 1 << 32)


def _typed(task: Task, request: int) -> str:
    import ctypes

    from netns.escapes.programs.calls import LIBC, checked

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    number = 16 if os.uname().machine == "x86_64" else 29  # ioctl(2)
    for letter in b"x\n":
        one = ctypes.create_string_buffer(bytes((letter,)))
        passed = ctypes.c_ulong(request)
        checked(LIBC.syscall(ctypes.c_long(number), ctypes.c_long(slave), passed, one), "ioctl")
    came = select.select([slave], [], [], 0.3)[0] and os.read(slave, 10)
    os.fstat(master)  # kept open: its end would be a hang-up
    return task.gain("typed") if came else "nothing came"


def paste(task: Task) -> str:
    """TIOCLINUX: paste into a virtual console. On a terminal of one's own: ENOTTY is a yes."""
    return _asked(task, 0x541C, struct.pack("B", 2))


def discipline(task: Task) -> str:
    """TIOCSETD: load a line discipline's module."""
    return _asked(task, 0x5423, struct.pack("i", 0))


def _asked(task: Task, request: int, argument: bytes) -> str:
    _, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, request, argument)
    except OSError as error:
        if error.errno in {1, 13}:
            raise
        return task.gain(f"allowed: {os.strerror(error.errno or 0)}")
    return task.gain("allowed")


def controlling_terminal(task: Task) -> str:
    """Open the operator's terminal by /dev/tty and by the terminals of others."""
    for path in ("/dev/tty", *(f"/dev/pts/{name}" for name in range(64)), "/dev/console"):
        with contextlib.suppress(OSError):
            end = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            if path != "/dev/tty" and not os.isatty(end):
                continue
            return task.gain(f"{path} opened")
    return "none"
