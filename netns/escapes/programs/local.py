"""Out through what processes of one machine share: unix sockets, IPC objects, keyrings."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator

from netns.escapes.programs.calls import LIBC, call, checked
from netns.escapes.task import Task

_SECONDS = 1.0


def _path(task: Task) -> str:
    path: str = task.args.get("path") or task.world["sockets"][task.args["socket"]]
    return path.replace("UID", str(os.getuid()))


def stream(task: Task) -> str:
    """Connect to a socket file and write."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(_SECONDS)
        end.connect(_path(task))
        end.sendall(task.nonce)
    return "written"


def datagram(task: Task) -> str:
    """Send to a datagram socket file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(_SECONDS)
        end.sendto(task.nonce, _path(task))
    return "sent"


def packet(task: Task) -> str:
    """Connect to a sequenced packet socket file and send."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as end:
        end.settimeout(_SECONDS)
        end.connect(_path(task))
        end.send(task.nonce)
    return "sent"


def pair_sendto(task: Task) -> str:
    """Send from one end of a socketpair to a socket file: no socket() to filter."""
    end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with end, other:
        end.settimeout(_SECONDS)
        end.sendto(task.nonce, _path(task))
    return "sent"


def pair_connect(task: Task) -> str:
    """Connect one end of a socketpair to a socket file."""
    end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with end, other:
        end.settimeout(_SECONDS)
        end.connect(_path(task))
        end.send(task.nonce)
    return "sent"


def by_descriptor(task: Task) -> str:
    """Open the socket file with O_PATH and connect through /proc/self/fd."""
    handle = os.open(_path(task), os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(_SECONDS)
        end.connect(f"/proc/self/fd/{handle}")
        end.sendall(task.nonce)
    return "written"


def every_socket(task: Task) -> str:
    """Walk the file system and write to every socket that is found."""
    written = tried = 0
    # Only where the stand-ins are: beside the jail, sockets of others are left alone.
    for place in task.world["walk"]:
        for path in _files(place):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mode & 0o170000 != 0o140000:
                    continue
                tried += 1
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
                    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as end:
                        end.settimeout(_SECONDS)
                        end.connect(path)
                        end.send(task.nonce)
                        written += 1
                        break
    return f"{tried} sockets found, {written} written to"


def _files(place: str) -> Iterator[str]:
    for top, folders, names in os.walk(place):
        if top.count("/") > 6:
            folders[:] = []
        for name in names:
            yield os.path.join(top, name)


def environment(task: Task) -> str:
    """Connect to what a variable of the environment names."""
    name = task.args["variable"]
    value = os.environ.get(name)
    if value is None:
        return f"{name} is not set"
    path = value.partition("path=")[2] or value.removeprefix("unix://").partition(",")[0]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(_SECONDS)
        end.connect(path)
        end.sendall(task.nonce)
    return "written"


def abstract(task: Task) -> str:
    """Reach an abstract socket of the host."""
    kind = getattr(socket, task.args["kind"])
    with socket.socket(socket.AF_UNIX, kind) as end:
        end.settimeout(_SECONDS)
        end.connect("\0" + task.world["abstract"][task.args["kind"]])
        end.send(task.nonce)
    return "sent"


def abstract_pair(task: Task) -> str:
    """Send from a socketpair to an abstract socket."""
    end, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with end, other:
        end.settimeout(_SECONDS)
        end.sendto(task.nonce, "\0" + task.world["abstract"]["SOCK_DGRAM"])
    return "sent"


def vsock(task: Task) -> str:
    """Get a socket towards the hypervisor. Nothing is sent: there is no lab behind it."""
    kind = getattr(socket, task.args.get("kind", "SOCK_STREAM"))
    with socket.socket(socket.AF_VSOCK, kind) as end:
        if kind == socket.SOCK_STREAM:
            end.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
    return task.gain("the kernel gave a socket")


def vsock_wide(task: Task) -> str:
    """The same with bits above an int, which a careless filter compares and the kernel ignores."""
    number = 41 if os.uname().machine == "x86_64" else 198  # socket(2)
    family = ctypes.c_ulong(0x100000000 + socket.AF_VSOCK)
    end = LIBC.syscall(ctypes.c_long(number), family, ctypes.c_long(1), ctypes.c_long(0))
    os.close(checked(end, "socket"))
    return task.gain("the kernel gave a socket")


# --- System V and POSIX IPC -------------------------------------------------------------------


class _Message(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_long), ("text", ctypes.c_char * 128))


def message_queue(task: Task) -> str:
    """Put a message into a System V queue of the host."""
    queue = checked(LIBC.msgget(ctypes.c_int(task.world["ipc"]), 0), "msgget")
    message = _Message(1, task.nonce)
    checked(LIBC.msgsnd(queue, ctypes.byref(message), 128, 0o4000), "msgsnd")
    return "sent"


def shared_memory(task: Task) -> str:
    """Write into a System V shared memory segment of the host."""
    segment = checked(LIBC.shmget(ctypes.c_int(task.world["ipc"]), 0, 0), "shmget")
    LIBC.shmat.restype = ctypes.c_void_p
    place = LIBC.shmat(segment, None, 0)
    if place in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    ctypes.memmove(place, task.nonce, len(task.nonce))
    return "written"


def semaphore(task: Task) -> str:
    """Find a System V semaphore of the host: one bit at a time is enough."""
    checked(LIBC.semget(ctypes.c_int(task.world["ipc"]), 0, 0), "semget")
    return task.gain("found")


def posix_queue(task: Task) -> str:
    """Put a message into a POSIX queue of the host."""
    name = task.world["queue"].lstrip("/").encode()
    queue = call("mq_open", ctypes.c_char_p(name), os.O_WRONLY | os.O_NONBLOCK, 0, None)
    call("mq_timedsend", queue, ctypes.c_char_p(task.nonce), len(task.nonce), 0, None)
    return "sent"


def keyring(task: Task) -> str:
    """Read a key from the keyring of the user outside."""
    kind, name = ctypes.c_char_p(b"user"), ctypes.c_char_p(task.world["key"].encode())
    user_keyring, search, read = -4, 10, 11  # keyctl(2)
    key = call("keyctl", search, user_keyring, kind, name, 0)
    data = ctypes.create_string_buffer(4096)
    size = call("keyctl", read, key, data, 4096, 0)
    return task.took(data.raw[:size])


def add_key(task: Task) -> str:
    """Leave a key where processes of the user outside find it."""
    data = ctypes.c_char_p(task.nonce)
    name = ctypes.c_char_p(b"egressguard-escape-note")
    key = call("add_key", ctypes.c_char_p(b"user"), name, data, len(task.nonce), -4)
    call("keyctl", 9, key, -4)  # KEYCTL_UNLINK
    return task.gain("kept")
