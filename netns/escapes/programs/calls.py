"""System calls that Python does not offer, by number where the C library has no name for them."""

from __future__ import annotations

import ctypes
import os
from typing import Any

LIBC: Any = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

_X86_64 = os.uname().machine == "x86_64"

# <asm/unistd.h>: x86-64 has numbers of its own below 424, arm64 and others share theirs.
NUMBERS = {
    "add_key": 248 if _X86_64 else 217,
    "keyctl": 250 if _X86_64 else 219,
    "bpf": 321 if _X86_64 else 280,
    "perf_event_open": 298 if _X86_64 else 241,
    "userfaultfd": 323 if _X86_64 else 282,
    "init_module": 175 if _X86_64 else 105,
    "syslog": 103 if _X86_64 else 116,
    "process_vm_readv": 310 if _X86_64 else 270,
    "process_vm_writev": 311 if _X86_64 else 271,
    "open_by_handle_at": 304 if _X86_64 else 265,
    "fanotify_init": 300 if _X86_64 else 262,
    "mq_open": 240 if _X86_64 else 180,
    "mq_timedsend": 242 if _X86_64 else 182,
    "mq_timedreceive": 243 if _X86_64 else 183,
    "shmget": 29 if _X86_64 else 194,
    "msgget": 68 if _X86_64 else 186,
    "quotactl": 179 if _X86_64 else 60,
    "acct": 163 if _X86_64 else 89,
    "capset": 126 if _X86_64 else 91,
    "kcmp": 312 if _X86_64 else 272,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "open_tree": 428,
    "fsopen": 430,
    "pidfd_open": 434,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "landlock_create_ruleset": 444,
}


def call(name: str, *arguments: Any) -> int:
    """Make a system call; raises OSError. Integers are passed as 64 bits."""
    passed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return checked(LIBC.syscall(ctypes.c_long(NUMBERS[name]), *passed), name)


def checked(result: int, name: str) -> int:
    """Return `result`, or raise OSError when it is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return int(result)
