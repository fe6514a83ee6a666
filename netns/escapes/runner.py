"""Runs attempts one by one, each in a process of its own with a time limit.

A line of JSON in, a line of JSON out. The first line in is the world (`Task.world`), the first line
out says who runs. It is given to a jail as a file and run by `python3 -I -S`, as the agent.
"""

# ruff: noqa: PTH120, PTH100, BLE001
from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))  # noqa: PTH118

from netns.escapes.task import Task

_MODULES = ("compat", "files", "kernel", "local", "packets", "processes", "ring", "services")
_SECONDS = 10.0


def perform(order: Mapping[str, Any], world: Mapping[str, Any]) -> dict[str, Any]:
    """Run one program and return what it saw."""
    module, _, name = order["program"].partition(".")
    task = Task(order, world)
    try:
        program = getattr(importlib.import_module(f"netns.escapes.programs.{module}"), name)
        saw = program(task)
    except OSError as error:
        # TimeoutError and the errors of ssl have no errno of the system.
        known = errno.errorcode.get(error.errno or 0, "")
        saw = known if known and type(error).__module__ == "builtins" else _named(error)
    except Exception as error:
        saw = _named(error)
    return {"id": order["id"], "saw": saw, "gained": task.gained, "loot": task.loot[:65536]}


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def run(order: Mapping[str, Any], world: Mapping[str, Any]) -> dict[str, Any]:
    """Run one program in a child; a child that takes too long, or ends, is reported as such."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.setsid()
        os.close(read_end)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        try:
            data = json.dumps(perform(order, world)).encode()
            while data:
                data = data[os.write(write_end, data) :]
        finally:
            os._exit(0)
    os.close(write_end)
    end = time.monotonic() + float(order.get("seconds", _SECONDS))
    text = b""
    while (left := end - time.monotonic()) > 0 and select.select([read_end], [], [], left)[0]:
        piece = os.read(read_end, 65536)
        if not piece:
            break
        text += piece
    os.close(read_end)
    for target in (-child, child):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(target, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        code = os.waitstatus_to_exitcode(status)
        saw = "no answer in time" if code == -signal.SIGKILL else f"its process ended: {code}"
        return {"id": order["id"], "saw": saw, "gained": False, "loot": ""}
    return answer


def main() -> None:
    """Serve orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    world: dict[str, Any] = json.loads(sys.stdin.readline())
    # Once, and not in every child; a fork takes the longer the more there is.
    for module in (*_MODULES, *world.get("modules", ())):
        importlib.import_module(f"netns.escapes.programs.{module}")
    _say({"uid": os.geteuid(), "pid": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        begin = time.monotonic()
        answer = run(order, world)
        _say({**answer, "seconds": round(time.monotonic() - begin, 3)})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
