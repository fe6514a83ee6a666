"""Plays attempts: each one beside the jail, then inside, and looks at what arrived outside."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from netns.escapes.attempt import Attempt, Event, Proof

SETTLE: Final = 0.4
"""Seconds after the last attempt in which a packet that did get out would be on record."""
_PATIENCE: Final = 15.0
_EVENT_SECONDS: Final = 1.0
_FIRST_SIGNAL: Final = 38  # above SIGRTMIN and what the C library keeps
_SIGNALS: Final = 26

# What a kernel says of something it does not have.
_ABSENT: Final = frozenset(
    {
        "EPROTONOSUPPORT",
        "EAFNOSUPPORT",
        "ENOSYS",
        "ENOENT",
        "ENODEV",
        "EOPNOTSUPP",
        "ESOCKTNOSUPPORT",
        "ENXIO",
        "FileNotFoundError",
        "ENETUNREACH",
        "EPERM",
        "EACCES",
        "EINVAL",
        "ENOTTY",
        "EROFS",
        "EIO",
    }
)


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


class Side(msgspec.Struct):
    """What one run of a program came to."""

    nonce: str
    saw: str = ""
    gained: bool = False
    looted: bool = False
    seconds: float = 0.0
    arrived: list[str] = []
    """Places of the outside where its nonce was found."""

    @property
    def reached(self) -> bool:
        """It got out."""
        return self.gained or self.looted or bool(self.arrived)

    @property
    def oracle(self) -> str:
        """What the oracle says, for people."""
        if self.arrived:
            more = f" and {len(self.arrived) - 1} more" if len(self.arrived) > 1 else ""
            return f"{self.arrived[0]}{more}"
        return "read the secret" if self.looted else "granted" if self.gained else "nothing"


class Result(msgspec.Struct, kw_only=True):
    """One attempt in one jail."""

    attempt: Attempt
    mode: str
    """`user`, `root` or `rootless`."""
    control: Side
    control_user: str
    jailed: Side
    event: str = ""
    """Reason code of the event it caused."""
    guarded: bool = False
    """A packet guard ran in this jail, so refused packets have events."""

    @property
    def verdict(self) -> str:
        """`held`, `escaped`, `unseen`, `no control` or `not applicable`."""
        if self.attempt.work:
            return "held" if self.jailed.reached else "broken"
        if self.jailed.reached:
            return "escaped"
        if not self.control.reached:
            return "not applicable" if self.reason else "no control"
        wanted = self.attempt.event is Event.BLOCK
        wanted = wanted or (self.attempt.event is Event.PACKET and self.guarded)
        if wanted and not self.event:
            return "unseen"
        return "held"

    @property
    def reason(self) -> str:
        """Why the control cannot work on this machine, or an empty text."""
        saw = self.control.saw
        word = saw.partition(":")[0].split(" ")[0]
        refused = any(text in saw for text in _REFUSALS)
        return saw if word in _ABSENT or refused else ""


_REFUSALS = (
    "not permitted",
    "not supported",
    "No such file",
    "PermissionError",
    "ProcessLookupError",
    "none found",
    "it cannot be executed",
    "empty",
    "no node",
    "not set",
    "refused",
    "Permission denied",
    "unreachable",
    "no device",
    "capabilities 0",
)


def target(attempt: Attempt, world: Mapping[str, Any]) -> tuple[str, int]:
    """Address and port of the packet that an attempt sends."""
    args = attempt.args
    address = args.get("address") or args.get("group")
    if address is None:
        name = args.get("to") or args.get("server") or "public4"
        address = world["neighbour4" if args.get("option") == "dontroute" else name]
    return str(address), int(args.get("port", 4444))


class Player:
    """Plays attempts against one jail after another, and keeps what controls came to."""

    def __init__(
        self, seen: Callable[[Sequence[str]], dict[str, list[str]]], secrets: Sequence[str]
    ) -> None:
        """`seen` finds nonces outside; `secrets` are what nobody inside may read."""
        self._seen = seen
        self._secrets = secrets
        self._controls: dict[tuple[str, str], Side] = {}
        self._signals = 0

    def play(
        self,
        attempts: Iterable[Attempt],
        *,
        mode: str,
        jail: Channel,
        controls: Mapping[str, Channel],
        evidence: Evidence,
        told: Callable[[Attempt], None] = lambda _: None,
    ) -> list[Result]:
        """Play them all.

        Args:
            mode: `user`, `root` or `rootless`.
            jail: the runner in the jail.
            controls: runners beside it, `user` and `root`.
            evidence: of this jail.
            told: called before each attempt.

        Raises:
            PlayError: a runner has ended.
        """
        results = []
        evidence.fresh()
        for attempt in attempts:
            told(attempt)
            who = "root" if attempt.rights or mode == "root" else "user"
            known = self._controls.get((attempt.id, who))
            evidence.fresh()
            # Both at once: they share nothing but the oracle, and each has its own nonce.
            order, jailed = self._ordered(attempt)
            jail.say(order)
            if known is None:
                order, known = self._ordered(attempt)
                self._fill(attempt, known, controls[who].ask(order))
                self._controls[attempt.id, who] = known
            control = known
            self._fill(attempt, jailed, jail.hear())
            event = self._event(attempt, evidence)
            results.append(
                Result(
                    attempt=attempt,
                    mode=mode,
                    control=control,
                    control_user=who,
                    jailed=jailed,
                    event=event,
                )
            )
        self.settle(results)
        return results

    def match(
        self, results: Sequence[Result], evidence: Evidence, world: Mapping[str, Any]
    ) -> None:
        """Find the events of refused packets, once the jail has ended and said all it knows."""
        evidence.fresh()
        for result in results:
            result.guarded = bool(evidence.packets)
            if result.attempt.event is Event.PACKET:
                result.event = evidence.packets.get(target(result.attempt, world), "")

    def settle(self, results: Sequence[Result]) -> None:
        """Wait until everything has arrived, and note what did."""
        time.sleep(SETTLE)
        sides = [side for result in results for side in (result.control, result.jailed)]
        wanted = {side.nonce for side in sides}
        found = self._seen(sorted(wanted))
        for side in sides:
            side.arrived = found.get(side.nonce, [])

    def _ordered(self, attempt: Attempt) -> tuple[dict[str, Any], Side]:
        """What a runner is told, and the record that its answer fills."""
        nonce = f"egx{os.urandom(8).hex()}"
        number = 0
        if attempt.proof is Proof.SIGNAL:
            number = _FIRST_SIGNAL + self._signals % _SIGNALS
            self._signals += 1
            nonce = json.dumps({"signal": number})
        order = {
            "id": attempt.id,
            "program": attempt.program,
            "args": attempt.args,
            "nonce": nonce if not number else "x",
            "signal": number,
            "seconds": attempt.seconds,
        }
        return order, Side(nonce)

    def _fill(self, attempt: Attempt, side: Side, answer: Mapping[str, Any]) -> None:
        side.saw, side.gained = str(answer["saw"]), bool(answer["gained"])
        side.seconds = float(answer["seconds"])
        if attempt.proof is Proof.LOOT:
            side.looted = any(secret in answer["loot"] for secret in self._secrets)

    def _event(self, attempt: Attempt, evidence: Evidence) -> str:
        """Reason of the event, waiting for one that must come."""
        end = time.monotonic() + (_EVENT_SECONDS if attempt.event is Event.BLOCK else 0.0)
        while True:
            if found := evidence.fresh():
                return str(found[0].get("reason", ""))
            if time.monotonic() >= end:
                return ""
            time.sleep(0.01)
