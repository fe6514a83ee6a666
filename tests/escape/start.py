"""Scenes around the start of a jail: races, and what it loads."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from netns.escapes.report import Line
from tests.escape.stage import SHARED, LabStage
from tests.escape.violence import children, drawn

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
    control, nonces = drawn(), []
    stage.lab.run(["/usr/bin/python3", "-I", "-S", "-c", _EARLY, control, "once"], user="dev")
    ends = []
    for number, victim in enumerate(("supervisor", "child", "last", "none") * 2):
        nonces.append(drawn())
        program = stage.lab.start_jail(["/usr/bin/python3", "-I", "-S", "-c", _EARLY, nonces[-1]])
        time.sleep(0.05 + 0.12 * number)
        with contextlib.suppress(OSError, ValueError, IndexError):
            (supervisor,) = children(program.pid)
            ours = children(supervisor)
            target = {"supervisor": supervisor, "child": ours[0], "last": ours[-1]}
            if victim in target:
                os.kill(target[victim], signal.SIGKILL)
        time.sleep(0.1)
        with contextlib.suppress(OSError, ValueError):
            for pid in children(program.pid):
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
    control, inside = drawn(), drawn()
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
