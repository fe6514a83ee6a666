"""A process outside, of the agent's own user: what a debugger would attach to, what signals reach.

It says on stdout, a line each, what was done to it. Run by `netns.escapes.oracle`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import struct
import sys
import threading
import time

from netns.escapes.programs.calls import LIBC, call

NAME = "eg-standin"


def _watch(mark: ctypes.Array[ctypes.c_char]) -> None:
    seen = b""
    while True:
        time.sleep(0.01)
        now = mark.raw.strip(b"\0")
        if now != seen:
            seen = now
            _say({"memory": now.decode("latin-1")})


def _say(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Be there until stdin ends."""
    secret, key, door, uid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    signals = {*range(signal.SIGRTMIN, signal.SIGRTMAX + 1)}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    with contextlib.suppress(OSError):
        if uid:
            # In a user namespace it was started with capabilities, and would be out of reach.
            LIBC.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT_CLEAR_ALL
            call("capset", ctypes.c_char_p(struct.pack("=Ii", 0x20080522, 0)), bytes(24))
        LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        LIBC.prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which the change of user took away
        LIBC.prctl(0x59616D61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)  # PR_SET_PTRACER, anybody
    with open("/proc/self/comm", "w") as name:
        name.write(NAME)
    mark = ctypes.create_string_buffer(1024)
    kept = ctypes.create_string_buffer(secret.encode(), 64)
    held = ""
    try:
        text = ctypes.c_char_p(key.encode())
        call(
            "add_key",
            ctypes.c_char_p(b"user"),
            text,
            ctypes.c_char_p(secret.encode()),
            len(secret),
            -4,
        )
    except OSError as error:
        held = os.strerror(error.errno or 0)
    os.set_blocking(door, False)
    threading.Thread(target=_watch, args=(mark,), daemon=True).start()
    _say(
        {
            "pid": os.getpid(),
            "uid": uid,
            "name": NAME,
            "group": os.getpgrp(),
            "address": ctypes.addressof(mark),
            "secret_address": ctypes.addressof(kept),
            "secret": secret,
            "door": door,
            "keyring": held or "held",
        }
    )

    def forget() -> None:
        sys.stdin.read()
        with contextlib.suppress(OSError):
            found = call(
                "keyctl", 10, -4, ctypes.c_char_p(b"user"), ctypes.c_char_p(key.encode()), 0
            )
            call("keyctl", 9, found, -4)
        os._exit(0)

    threading.Thread(target=forget, daemon=True).start()
    while True:
        _say({"signal": int(signal.sigwait(signals))})


if __name__ == "__main__":
    main()
