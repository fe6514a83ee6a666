"""The filter for 32-bit programs: as bytes, and in force in a process of its own."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from netns import seccomp, seccomp_compat
from netns.escapes.programs import compat
from netns.seccomp_rules import Condition, Denial, Profile, denials

ROOT = Path(__file__).resolve().parents[3]
_X86_64, _I386 = 0xC000003E, 0x40000003


def judged(code: bytes, architecture: int, number: int, *arguments: int) -> int | None:
    """What a program of classic BPF returns; None when it falls through its end."""
    words = [value for each in (*arguments, *(0,) * 6) for value in (each & 0xFFFFFFFF, each >> 32)]
    data = struct.pack("<IIQ12I", number, architecture, 0, *words[:12])
    place, accumulator = 0, 0
    while place < len(code) // 8:
        operation, when, otherwise, value = struct.unpack_from("=HBBI", code, place * 8)
        place += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            place += when if accumulator == value else otherwise
        elif operation == 0x35:
            place += when if accumulator >= value else otherwise
        elif operation == 0x05:
            place += value
        else:
            assert operation == 0x06
            return int(value)
    return None


def test_another_architecture_falls_through() -> None:
    rules = [Denial(("a",), errno.EPERM, "why")]
    code = seccomp_compat.program(rules, lambda call: 7 if call == "a" else -1, _I386)
    assert judged(code, _I386, 7) == 0x00050000 | errno.EPERM
    assert judged(code, _I386, 8) == 0x7FFF0000
    assert judged(code, _X86_64, 7) is None
    assert seccomp_compat.program(rules, lambda _: 7, None) == b""


def test_every_condition_must_hold_and_the_first_rule_decides() -> None:
    rules = [
        Denial(("a",), 11, "both", (Condition(0, 5), Condition(2, 3, 0xF))),
        Denial(("a",), 12, "one", (Condition(0, 5),)),
        Denial(("a",), 13, "from 46 on", (Condition(0, 46, 0),)),
    ]
    code = seccomp_compat.program(rules, lambda call: 7 if call == "a" else -1, _I386)
    for arguments, error in (
        ((5, 0, 0x83), 11),
        ((5, 0, 4), 12),
        ((6, 0, 3), None),
        ((45,), None),
        ((46,), 13),
        ((0xFFFFFFFF,), 13),
    ):
        wanted = 0x7FFF0000 if error is None else 0x00050000 | error
        assert judged(code, _I386, 7, *arguments) == wanted, arguments


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of i386")
def test_the_agent_s_rules_hold_for_i386() -> None:
    code = seccomp_compat.program(
        denials(Profile.AGENT), seccomp._compat_number, seccomp_compat.ARCHITECTURE
    )
    for family in range(60):
        left = family in {1, 2, 10, 16}
        assert (judged(code, _I386, 359, family, 1) == 0x7FFF0000) is left, family
        assert (judged(code, _I386, 360, family, 1) == 0x7FFF0000) is left, family
    denied = {"raw": (359, 2, 3), "mptcp": (359, 2, 1, 262), "netfilter": (359, 16, 3, 12)}
    denied |= {"socketcall": (102, 1), "pair": (102, 8), "stime": (25,), "oldumount": (22,)}
    denied |= {"clock64": (404,), "tiocsti": (54, 0, 0x5412), "uring": (425,), "clone3": (435,)}
    for name, call in denied.items():
        assert judged(code, _I386, *call) != 0x7FFF0000, name
    allowed = {"read": (3,), "connect by socketcall": (102, 3), "fork": (120, 17), "tty": (54, 0)}
    for name, call in allowed.items():
        assert judged(code, _I386, *call) == 0x7FFF0000, name
    known = {call for rule in denials(Profile.AGENT) for call in rule.calls}
    lost = {call for call in known if seccomp._compat_number(call) < 0}
    assert lost <= {"socket", "socketpair", "kexec_file_load"}


_TRY = """
import ctypes, errno, os, sys
from netns import seccomp
from netns.escapes.programs import compat
if sys.argv[1] == "filtered":
    fd = seccomp.program(seccomp.Profile.AGENT)
    code = os.read(fd, 1 << 16)
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))) == 0
for calls in ([(20,)], [(359, 40, 1, 0)], [(310, 0x10000000)], [(425, 1, 0)]):
    print(errno.errorcode.get(compat.run(calls), "done"))
child = os.fork()
if child == 0:
    # The x32 form of getpid: its number has bit 30 set.
    ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39))
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_32_bit_programs_run_under_the_same_denials() -> None:
    try:
        compat.run([(20,)])  # getpid
    except OSError as error:
        pytest.skip(f"no 32-bit programs here: {error}")

    def tried(how: str) -> list[str]:
        command = [sys.executable, "-c", _TRY, how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert tried("filtered") == ["done", "EAFNOSUPPORT", "EPERM", "ENOSYS", "-31"]
    free = tried("free")
    assert (free[0], free[4]) == ("done", "0")
    assert "EAFNOSUPPORT" not in free[1:2] or not Path("/dev/vsock").exists()
