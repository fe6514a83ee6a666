"""Plays attempts: each one beside the jail, then inside, and looks at what arrived outside."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from netns.escapes.attempt import Attempt, Event, Proof
from netns.escapes.channel import Channel, Evidence

SETTLE: Final = 0.4
"""Seconds after the last attempt in which a packet that did get out would be on record."""
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
