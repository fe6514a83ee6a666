"""What is measured: a direct connection, egressguard and mitmproxy, each with a client's shell.

Client and upstream share core 0; the proxy has core 1. The client of egressguard runs inside a
real jail, as its user, knowing nothing of a proxy. mitmproxy runs in reverse mode, as wrk cannot
speak to a proxy: it does the same work on both sides and is spared the CONNECT.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.machine import CLIENT_CORE, PROXY_CORE, BenchError
from tests.lab import Lab
from tests.lab.programs import JAIL_ENVIRONMENT
from tests.lab.world import DEV_WORK

EVIDENCE = "/run/bench-evidence.jsonl"
_MARK = "-- bench: done "
_PORT = 18443
MITMPROXY_OPTIONS = (
    *("-q", "--set", "flow_detail=0", "--set", "termlog_verbosity=error"),
    *("--set", "stream_large_bodies=1m", "--set", "upstream_cert=false"),
    *("--set", "validate_inbound_headers=false", "--set", "confdir=/run/mitmproxy"),
    *("--set", "ssl_verify_upstream_trusted_ca=/etc/ssl/certs/ca-certificates.crt"),
)


@dataclass
class Subject:
    """One way from the client to the upstream."""

    name: str
    url: str
    """Base URL as the client uses it."""
    shell: Shell
    pid: int = 0
    """The proxy's process, as seen from the machine; 0 when there is none."""
    notes: dict[str, str] = field(default_factory=dict)

    def cpu(self) -> float:
        """CPU seconds the proxy has used."""
        if not self.pid:
            return 0.0
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text("ascii").split()[0]) for task in tasks) / 1e9

    def peak(self) -> int:
        """Largest resident size in bytes since the start or the last `forget_peak`."""
        return self._size("VmHWM:")

    def resident(self) -> int:
        """Resident size in bytes."""
        return self._size("VmRSS:")

    def _size(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
        raise BenchError(f"{self.name} has ended")

    def forget_peak(self) -> None:
        """Begin a new peak (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", "ascii")


class Shell:
    """A shell that runs one command after the other where a subject's client runs."""

    def __init__(self, program: subprocess.Popen[bytes]) -> None:
        """Take `program`: a `sh` on pipes, or one behind a jail."""
        self._program = program

    def run(self, command: str, timeout: float = 60.0) -> str:
        """Output, standard error included, of a command that must succeed."""
        program = self._program
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(f"{{ {command}; }} 2>&1; echo '{_MARK}'$?\n".encode())
        program.stdin.flush()
        end = time.monotonic() + timeout
        shown = b""
        mark = _MARK.encode()
        while mark not in shown or not shown.endswith(b"\n"):
            if not select.select([program.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise BenchError(f"no answer in {timeout:g} s: {command}\n{shown.decode()[-500:]}")
            piece = os.read(program.stdout.fileno(), 65536)
            if not piece:
                raise BenchError(f"the shell has ended: {command}\n{self._last_words()}")
            shown += piece
        text, _, code = shown.decode("utf-8", "replace").partition(_MARK)
        if int(code):
            raise BenchError(f"exit {int(code)}: {command}\n{text[-800:]}")
        return text

    def close(self) -> None:
        """End the shell, and the jail around it."""
        assert self._program.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._program.stdin.close()
        try:
            self._program.wait(20)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()
        for pipe in (self._program.stdout, self._program.stderr):
            if pipe is not None:
                pipe.close()

    def _last_words(self) -> str:
        assert self._program.stderr is not None
        return self._program.stderr.read().decode("utf-8", "replace")[-1500:]


@contextlib.contextmanager
def direct(lab: Lab, url: str) -> Iterator[Subject]:
    """The client speaks to the upstream itself."""
    shell = _shell(lab)
    try:
        yield Subject("direct", url, shell)
    finally:
        shell.close()


@contextlib.contextmanager
def ours(lab: Lab, url: str, command: list[str] | None = None) -> Iterator[Subject]:
    """The client runs in a jail: policy `balanced`, scan and evidence on.

    `command` stands for the start of the command line, up to the program's `jail`.
    """
    inside = ["taskset", "-c", str(CLIENT_CORE), "sh"]
    line = lab.jail_command(inside, "--quiet", "--preset", "balanced", "--evidence", EVIDENCE)
    if command is not None:
        line = command + line[line.index("jail") :]
    program = lab.popen(
        line, env=JAIL_ENVIRONMENT, cwd=DEV_WORK, cpu=PROXY_CORE, stdin=subprocess.PIPE
    )
    shell = Shell(program)
    try:
        shell.run("true")
        yield Subject("egressguard", url, shell, _interceptor(lab))
    finally:
        shell.close()


@contextlib.contextmanager
def mitmproxy(lab: Lab, url: str, mitmdump: Path, *, http2: bool = False) -> Iterator[Subject]:
    """The client speaks to mitmdump in reverse mode, which verifies the upstream."""
    options = [*MITMPROXY_OPTIONS, "--set", f"http2={str(http2).lower()}"]
    server = lab.popen(
        [
            *(str(mitmdump), "--mode", f"reverse:{url}@{_PORT}", "--listen-host", "127.0.0.1"),
            *options,
        ],
        cpu=PROXY_CORE,
        stdout=None,
        stderr=None,
    )
    shell = _shell(lab)
    try:
        base = f"https://127.0.0.1:{_PORT}"
        end = time.monotonic() + 30
        while True:
            try:
                shell.run(f"curl -ksfo /dev/null {base}/1k")
                break
            except BenchError:
                if server.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.1)
        found = [p.pid for p in lab.processes() if str(mitmdump) in p.command[:2]]
        if len(found) != 1:
            raise BenchError(f"mitmdump has {len(found)} processes")
        notes = {"options": " ".join(options), "mode": "reverse"}
        yield Subject("mitmproxy", base, shell, found[0], notes)
    finally:
        shell.close()
        server.kill()
        server.wait()


def _shell(lab: Lab) -> Shell:
    return Shell(
        lab.popen(["sh"], user="dev", cpu=CLIENT_CORE, cwd=DEV_WORK, stdin=subprocess.PIPE)
    )


def _interceptor(lab: Lab) -> int:
    """Pid of the jail's interceptor: the one that has given up its rights, in the host's network.

    Packet guard and witness are in the captive namespace.
    """
    found = []
    network = Path(f"/proc/{lab.first_pid}/ns/net").stat().st_ino
    for process in lab.processes():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process.pid}/ns/net").stat().st_ino != network:
                continue
            status = Path(f"/proc/{process.pid}/status").read_text("ascii")
            uid = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1]
            if "jail" in process.command and EVIDENCE in process.command and uid != "0":
                found.append(process.pid)
    if len(found) != 1:
        raise BenchError(f"the jail has {len(found)} interceptors")
    return found[0]
