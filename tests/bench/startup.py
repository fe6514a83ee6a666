"""`egressguard jail -- true`, as a user starts it: wall time and memory, warm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.machine import BenchError, say
from tests.lab import Lab
from tests.lab.programs import ROOT
from tests.lab.world import DEV_WORK

_SPAWN = Path(__file__).with_name("inside") / "spawn.py"
_CAPTIVE = Path(__file__).with_name("inside") / "captive.py"
LAUNCHER = ROOT / "scripts" / "egressguard"
_JAIL = (str(LAUNCHER), "jail", "--user", "dev", "--evidence", "/run/bench-start.jsonl", "--")


def prepare() -> None:
    """Let the launcher install what it needs, outside the lab, where packages can be had."""
    done = subprocess.run([str(LAUNCHER), "--version"], capture_output=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.decode("utf-8", "replace"))


def measure(lab: Lab, times: int) -> dict[str, Any]:
    """Milliseconds and bytes of `times` runs each, after two that warm up."""
    say("egressguard jail -- true")
    _spawn(lab, "time", 2)
    walls = _spawn(lab, "time", times)
    say("its memory")
    sizes = _spawn(lab, "memory", max(3, times // 2))
    say("the captive namespace by itself")
    command = [sys.executable, str(_CAPTIVE), str(times + 1)]
    done = lab.run(command, env={"PYTHONPATH": str(ROOT)}, timeout=60)
    if done.returncode:
        raise BenchError(done.stderr.decode("utf-8", "replace"))
    captive = {key: value[1:] for key, value in json.loads(done.stdout).items()}
    return {"wall": walls, "memory": sizes, "captive": captive}


def _spawn(lab: Lab, kind: str, times: int) -> Any:
    command = [sys.executable, "-I", str(_SPAWN), kind, str(times), *_JAIL, "true"]
    done = lab.run(command, cwd=DEV_WORK, timeout=30 + 5 * times)
    if done.returncode:
        raise BenchError(f"jail -- true:\n{done.stderr.decode('utf-8', 'replace')}")
    return json.loads(done.stdout)
