"""A client of MCP over the standard input and output of a process: one line at a time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
SERVER = (sys.executable, "-I", str(Path(__file__).with_name("server.py")))
PATIENCE = 60.0
"""Seconds; what takes longer hangs."""


def wrapper(*options: str) -> list[str]:
    """The command line of egressguard's wrapper, without the server's."""
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); sys.argv[0] = 'egressguard'; "
    program += "from interceptor.cli.main import main; main()"
    return [sys.executable, "-I", "-c", program, str(ROOT), "mcp", *options]


def environ(home: Path, **more: str) -> dict[str, str]:
    """Variables of a user's whose files lie in `home`."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path("~/.cache").expanduser())),
        **more,
    }


class Talk:
    """A process that is talked to."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: Path | None = None,
        stderr: int | None = subprocess.PIPE,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(env),
            cwd=cwd,
            bufsize=0,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.stderr = self.process.stderr
        self._rest = b""
        self._next = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.stdin.write(line + b"\n")

    def line(self, patience: float = PATIENCE) -> bytes:
        """The next line; b"" at the end."""
        until = time.monotonic() + patience
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no line within {patience} s")
            data = os.read(self.stdout.fileno(), 1 << 20)
            if not data:
                last, self._rest = self._rest, b""
                return last
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def receive(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The next message."""
        line = self.line(patience)
        if not line:
            raise EOFError("the process has ended its output")
        found = json.loads(line)
        assert isinstance(found, dict), found
        return found

    def request(self, method: str, params: Any = None, ident: Any = None) -> dict[str, Any]:
        """Ask, and return the answer; what is no answer to it is passed over."""
        if ident is None:
            self._next += 1
            ident = self._next
        message = {"jsonrpc": "2.0", "id": ident, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        while True:
            found = self.receive()
            if "method" not in found and found.get("id") == ident:
                return found

    def initialize(self) -> dict[str, Any]:
        info = {"name": "client", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
        found = self.request("initialize", params)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return found

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def end(self, patience: float = PATIENCE) -> int:
        """Close what the process reads, and wait for its end."""
        self.stdin.close()
        return self.process.wait(patience)

    def said(self) -> str:
        """All of its standard error, once it has ended."""
        assert self.stderr is not None
        return self.stderr.read().decode("utf-8", "replace")
