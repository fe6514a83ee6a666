"""Sockets that a program of the host binds while the jail runs, in places that the jail shows.

What was bound before is found and hidden. What comes later is not (docs/threat-model.md): no filter
can read a path, and no mount option refuses connect(2). What does hold, holds here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from netns.escapes.report import Line
from tests.escape.stage import SHARED, LabStage
from tests.escape.violence import drawn, end_of, order, tried
from tests.lab.world import DEV_HOME, DEV_WORK

_LISTEN = """
import os, socket, sys
for path in sys.argv[1:]:
    print("binding", flush=True)
    sys.stdin.readline()
    if os.path.exists(path):
        os.unlink(path)
    end = socket.socket(socket.AF_UNIX)
    end.bind(path)
    os.chmod(path, 0o777)
    end.listen()
print("ready", flush=True)
while True:
    print(end.accept()[0].recv(100).decode(), flush=True)
"""


class _Case(NamedTuple):
    id: str
    title: str
    folder: str
    options: tuple[str, ...] = ()
    before: bool = False
    """The same program had bound a socket there before the jail was started."""
    held: bool = True
    """Not a known limit."""


_CASES = (
    _Case("late-socket", "a socket bound in a shown place while the jail runs", SHARED, held=False),
    _Case("late-again", "a server's socket, made again in a directory of sockets", f"{SHARED}/run",
          before=True),
    _Case("late-overlay", "a socket bound in the home while the jail runs (with --home overlay)",
          DEV_HOME, ("--home", "overlay")),
    _Case("late-private", "a socket bound in the home while the jail runs (with --home private)",
          DEV_HOME, ("--home", "private")),
    _Case("late-none", "a socket bound in the work while the jail runs (with --no-unix-sockets)",
          DEV_WORK, ("--no-unix-sockets",)),
)  # fmt: skip


def _played(stage: LabStage, case: _Case) -> Line:
    path = f"{case.folder}/late-{drawn()}.sock"
    stage.lab.run(["mkdir", "-p", case.folder])
    made, beside = drawn(), drawn()
    paths = [path, path] if case.before else [path]
    command = ["/usr/bin/python3", "-I", "-S", "-c", _LISTEN, *paths]
    listener = stage.lab.popen(command, stdin=-1)
    assert listener.stdin is not None
    assert listener.stdout is not None

    def heard(word: bytes) -> None:
        assert listener.stdout is not None
        assert listener.stdout.readline() == word + b"\n"

    def bind() -> None:
        assert listener.stdin is not None
        listener.stdin.write(b"\n")
        listener.stdin.flush()

    try:
        heard(b"binding")
        if case.before:
            bind()
            heard(b"binding")
        channel, _, _ = stage.jail("user", *case.options)
        try:
            bind()
            heard(b"ready")
            dial = {"program": "local.stream", "args": {"path": path}}
            stage.controls["user"].ask(order(dial, beside))
            saw = tried(channel, dial, made)
        finally:
            end_of(channel)
    finally:
        listener.kill()
    arrived = listener.communicate()[0].decode()
    verdict = "held" if beside in arrived else "no control"
    if made in arrived:
        verdict = "escaped" if case.held else "known limit"
    return Line(
        row=1,
        id=case.id,
        title=case.title,
        without="its listener" if beside in arrived else "nothing",
        control_user="user",
        within="its listener" if made in arrived else "nothing",
        saw=saw,
        event="",
        modes={"user": verdict},
        verdict=verdict,
    )


def _scene(case: _Case) -> Callable[[LabStage], Line]:
    return lambda stage: _played(stage, case)


LATE: tuple[Callable[[LabStage], Line], ...] = tuple(_scene(case) for case in _CASES)
