"""Processes that are named so surely that they can be killed later: pid and start time."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import msgspec


class Process(msgspec.Struct, frozen=True):
    """One process of a jail, in a form that survives the reuse of its pid."""

    role: str
    """`supervisor`, `interceptor`, `agent`, `socket maker`."""
    pid: int
    started: int
    """Start time in clock ticks since boot; proc_pid_stat(5), field 22."""


def start_time(pid: int) -> int | None:
    """Start time of `pid` in clock ticks since boot, None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    return int(text[text.rindex(b")") + 2 :].split()[19])


def process(role: str, pid: int) -> Process:
    """Describe a running process.

    Raises:
        ProcessLookupError: it is gone already.

    """
    started = start_time(pid)
    if started is None:
        raise ProcessLookupError(f"{role} process {pid} is gone")
    return Process(role, pid, started)


def signal_process(target: Process, number: int) -> bool:
    """Send a signal to `target` if it is still the process that was recorded.

    Returns:
        False when it had ended.

    Raises:
        PermissionError: it is somebody else's.

    """
    try:
        handle = os.pidfd_open(target.pid)
    except (ProcessLookupError, OverflowError):
        return False
    try:
        # First the handle, then the check: whatever the handle means had this start time.
        if start_time(target.pid) != target.started:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def readable(handle: int, seconds: float) -> bool:
    """Wait until a descriptor can be read, or its other end is gone; False when neither comes.

    By poll(2): select(2) knows no descriptor above 1023, and a gateway has thousands.
    """
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def kill_process(target: Process, seconds: float = 2.0) -> str:
    """Kill `target` if it is still the process that was recorded.

    Returns:
        `gone` when it had ended (or its pid is somebody else's now), `killed`, or `survived`
        when it was killed but did not end within `seconds`.

    """
    try:
        handle = os.pidfd_open(target.pid)
    except (ProcessLookupError, OverflowError):
        return "gone"
    try:
        # First the handle, then the check: whatever the handle means had this start time.
        if start_time(target.pid) != target.started:
            return "gone"
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return "gone"
        return "killed" if readable(handle, seconds) else "survived"
    finally:
        os.close(handle)
