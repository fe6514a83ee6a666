"""What the bench runs on, and what it needs: programs by apt, mitmproxy by pip."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.lab.programs import ROOT, search_path

PROXY_CORE, CLIENT_CORE = 1, 0
PLACE = Path("/var/cache/egressguard/bench")
"""Where mitmproxy's environment is kept; the lab mounts nothing over it."""
_WANTED = "mitmproxy>=11"
_PRIORITY = -19


class BenchError(Exception):
    """The bench cannot run, or a measurement failed; the text says why and what to do."""


def check() -> None:
    """Raise BenchError where nothing can be measured."""
    cores = os.sched_getaffinity(0)
    if not {PROXY_CORE, CLIENT_CORE} <= cores:
        raise BenchError(f"needs the cores 0 and 1, has {sorted(cores)}")


def install_programs() -> None:
    """Install what is missing: the upstream and those who load it."""
    packages = {
        "wrk": "wrk",
        "h2load": "nghttp2-client",
        "curl": "curl",
        "nginx": "nginx-light",
        "taskset": "util-linux",
    }
    absent = [
        package
        for program, package in packages.items()
        if shutil.which(program, path=search_path()) is None
    ]
    if not absent:
        return
    say(f"installing {' '.join(absent)} (apt)")
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    install = [*apt, "install", "--no-install-recommends", *absent]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (install, [*apt, "update"], install):
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode == 0 and command is install:
            if "nginx-light" in absent and Path("/run/systemd/system").exists():
                # The package starts a server on the machine's port 80, which nobody asked for.
                stop = ["systemctl", "disable", "--now", "nginx"]
                subprocess.run(stop, capture_output=True, check=False)
            return
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    raise BenchError(
        f"cannot install {' '.join(absent)}:\n{text[-800:]}\n"
        f"  Fix: sudo apt-get install {' '.join(absent)}"
    )


def mitmproxy() -> Path:
    """Path of `mitmdump`, installed into an environment of its own at first use.

    EGRESSGUARD_BENCH_MITMPROXY names another `mitmdump`.
    """
    if chosen := os.environ.get("EGRESSGUARD_BENCH_MITMPROXY"):
        return Path(chosen)
    environment = PLACE / f"mitmproxy-{sys.version_info[0]}.{sys.version_info[1]}"
    program = environment / "bin" / "mitmdump"
    stamp = environment / ".complete"
    if stamp.exists() and program.exists():
        return program
    say("installing mitmproxy into an environment of its own (pip), once")
    shutil.rmtree(environment, ignore_errors=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    for command in (
        [sys.executable, "-I", "-m", "venv", str(environment)],
        [*pip, "-q", "--prefer-binary", _WANTED],
    ):
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            text = (done.stdout + done.stderr).decode("utf-8", "replace")
            raise BenchError(
                f"cannot install mitmproxy:\n{text[-800:]}\n"
                "  Fix: make the package index reachable, or set EGRESSGUARD_BENCH_MITMPROXY"
            )
    stamp.touch()
    return program


def describe(mitmdump: Path) -> dict[str, Any]:
    """Machine and versions, for the report."""
    from importlib import metadata

    import interceptor

    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cores": os.cpu_count(),
        "model": model,
        "kernel": os.uname().release,
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
        "egressguard": interceptor.__version__,
        "revision": _first(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]),
        "uvloop": metadata.version("uvloop"),
        "cryptography": metadata.version("cryptography"),
        "mitmproxy": _first([str(mitmdump), "--version"]).removeprefix("Mitmproxy: "),
        "nginx": _first(["nginx", "-v"]).rpartition("/")[2],
        "wrk": _first(["wrk", "-v"]).partition(" [")[0].removeprefix("wrk "),
    }


def prefer(pids: Iterable[int]) -> None:
    """Let these processes go before others, whatever else the machine does.

    Priorities count within a session's group only (sched(7), "The autogroup feature"), so the
    group's is raised too.
    """
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(_PRIORITY), "ascii")
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(task.name), _PRIORITY)


def load_average() -> float:
    """Processes that wanted to run, over the last minute."""
    return os.getloadavg()[0]


def say(line: str) -> None:
    """Show progress."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _first(argv: list[str]) -> str:
    """First line of what a program says about itself."""
    environment = {**os.environ, "PATH": search_path()}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, check=False)
    except OSError:
        return "unknown"
    return ((done.stdout or done.stderr).decode("utf-8", "replace").splitlines() or ["unknown"])[0]
