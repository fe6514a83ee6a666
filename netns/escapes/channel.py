"""How the player talks to programs, and how it reads the evidence of a jail."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

_PATIENCE: Final = 15.0


class PlayError(Exception):
    """A runner or an oracle has ended, or does not answer."""


class Channel:
    """A program that answers a line of JSON with a line of JSON."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, errors: Path | None = None):
        """`process` has pipes for stdin and stdout."""
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        self.process, self._name, self._errors = process, name, errors
        self._in: IO[bytes] = process.stdin
        self._out: IO[bytes] = process.stdout

    def say(self, message: Mapping[str, Any]) -> None:
        """Send without expecting an answer."""
        try:
            self._in.write(json.dumps(message).encode() + b"\n")
            self._in.flush()
        except BrokenPipeError:
            raise PlayError(f"{self._name} has ended{self._said()}") from None

    def hear(self, seconds: float = _PATIENCE) -> dict[str, Any]:
        """Return the next line.

        Raises:
            PlayError: none came.
        """
        if not select.select([self._out], [], [], seconds)[0]:
            raise PlayError(f"{self._name} says nothing for {seconds:g} s{self._said()}")
        line = self._out.readline()
        if not line:
            raise PlayError(f"{self._name} has ended{self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send, and return the answer."""
        self.say(message)
        return self.hear()

    def close(self, seconds: float = _PATIENCE) -> int:
        """End its input and wait; returns the exit code."""
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self._out.close()

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            if self._errors is not None and (text := self._errors.read_text("utf-8", "replace")):
                return f": {text.strip()[-1500:]}"
        return ""


class Evidence:
    """The events of a jail, as they are written."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._rest = path, 0, b""
        self.broken: list[bytes] = []
        """Lines that are no JSON."""
        self.packets: dict[tuple[str, int], str] = {}
        """Refused packets: address and port -> reason."""

    def fresh(self) -> list[dict[str, Any]]:
        """Blocking events since the last call."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            found = []
            for line in lines:
                try:
                    event = json.loads(line)
                except ValueError:
                    self.broken.append(line)
                    continue
                if event.get("action") != "block":
                    continue
                if event.get("kind") == "packet":
                    # The packet guard names packets when it has time: `Player.match`.
                    place = str(event.get("address", "")), int(event.get("port", 0))
                    self.packets.setdefault(place, str(event["reason"]))
                else:
                    found.append(event)
            return found
        return []
