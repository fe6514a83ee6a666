"""The stage of the demo: the lab, the agent on it with and without egressguard, and what was seen.

The agent does one task at a time, so that every event and every byte seen belongs to one task.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.demo.attempts import Attempt, load, plant
from tests.demo.search import seen_of
from tests.lab import Answer, Lab
from tests.lab.processes import Traces
from tests.lab.programs import JAIL_ENVIRONMENT, Terminal, search_path
from tests.lab.world import ATTACKER, DEV_WORK, REFUSING, STATE, WEB

_HERE = Path(__file__).parent
_AGENT = f"{DEV_WORK}/agent.py"
_PROXY = "/run/attacker_proxy.py"
_EVIDENCE = "/run/demo-evidence.jsonl"
_REGISTRY = "/run/egressguard"
"""Directory of live jails; it stays, empty."""
_PYTHON = "/usr/bin/python3"
_PATIENCE = 20.0
"""Seconds for one task, and for the jail to start."""
_SETTLE = 0.3
"""Seconds in which a packet that did get out would be on record."""


class StageError(Exception):
    """The demo itself failed; the text says how."""


class Result(msgspec.Struct, kw_only=True):
    """One row of the table."""

    id: str
    title: str
    without: str = ""
    """What the agent saw without egressguard."""
    reached: bool = False
    """The credential arrived without egressguard: the attempt works and the search finds it."""
    saw: str = ""
    """What the agent saw in the jail."""
    done: bool = False
    """The agent believes it worked."""
    reason: str = ""
    """Reason code of the event that stopped it."""
    rule: str = ""
    events: int = 0
    """Blocking events it caused."""
    expect: str = ""
    """Reason code that should stop it; empty where the kernel refuses without an event."""
    oracle: int = 0
    """Characters of the credential that anybody saw, in any encoding."""

    @property
    def stopped(self) -> bool:
        """The agent was refused and nobody saw any of it."""
        return bool(self.saw) and not self.done and not self.oracle

    @property
    def stopper(self) -> str:
        """Rule that found the key, or the reason that needed no finding."""
        if self.reason:
            return self.rule if self.reason.startswith("secret") else self.reason
        return "no path out of the jail" if self.stopped else ""


class Agent:
    """The sample agent, running; one line in, one line out.

    :param program: its process, or that of the jail around it
    :param errors: where its standard error goes
    """

    def __init__(self, program: Terminal, errors: Any) -> None:
        self._program = program
        self._errors = errors

    def perform(self, task: dict[str, Any]) -> dict[str, Any]:
        """Have one task done.

        :raises StageError: the agent or the jail has ended, or says nothing
        """
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        try:
            self._program.stdin.write(json.dumps(task).encode() + b"\n")
            self._program.stdin.flush()
        except BrokenPipeError:
            raise StageError(f"the agent has ended: {self._said()}") from None
        ready, _, _ = select.select([self._program.stdout], [], [], _PATIENCE)
        if not ready:
            raise StageError(f"no answer to {task['id']} in {_PATIENCE:.0f} s: {self._said()}")
        line = self._program.stdout.readline()
        if not line:
            raise StageError(f"the agent ended during {task['id']}: {self._said()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> int:
        """Close its input and wait; its exit code."""
        assert self._program.stdin is not None
        self._program.stdin.close()
        try:
            return self._program.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise StageError(f"did not end in {_PATIENCE:.0f} s: {self._said()}") from None

    def _said(self) -> str:
        self._errors.seek(0)
        said: str = self._errors.read().decode("utf-8", "replace")
        return said.strip()[-2000:] or "nothing on its standard error"


class Stage:
    """The lab, furnished for the demo. A context manager; needs root.

    :param options: further options of `egressguard jail`
    :raises tests.lab.LabError: on entering, when there can be no lab here
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = options
        # api.github.com is the home of the planted token; here it is a host of the lab.
        names = {
            "api.github.com": Answer(WEB),
            "proxy.attacker.example": Answer(REFUSING[:1]),
        }
        self.lab = Lab(names=names)
        self._keys = plant()
        self._events = 0
        found = _finder()
        self.work = load("work", found)
        self.leaks = load("leak", found)

    def __enter__(self) -> Self:
        self.lab.start()
        try:
            self._furnish()
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lab.close()

    def controls(self) -> Iterator[tuple[Attempt, str, bool]]:
        """Try every leak without egressguard: (attempt, what the agent saw, did it arrive)."""
        with tempfile.TemporaryFile() as errors:
            program = self.lab.popen(
                [_PYTHON, _AGENT], user="dev", env=self._keys, stdin=-1, stderr=errors
            )
            agent = Agent(program, errors)
            for attempt in self.leaks:
                self.lab.clear()
                answer = agent.perform(attempt.task)
                yield attempt, answer["saw"], self._arrives(attempt)
            agent.end()

    def jailed(self) -> Iterator[Result]:
        """Do the honest work, then try every leak, in the jail; a result as each is done."""
        words = [word for name in self._keys for word in ("--env", name)]
        command = self.lab.jail_command(
            [_PYTHON, _AGENT], "--quiet", "--evidence", _EVIDENCE, *words, *self._options
        )
        env = {**JAIL_ENVIRONMENT, **self._keys}
        self.lab.clear()
        with tempfile.TemporaryFile() as errors:
            program = self.lab.popen(command, env=env, cwd=DEV_WORK, stdin=-1, stderr=errors)
            agent = Agent(program, errors)
            for attempt in self.work:
                answer = agent.perform(attempt.task)
                yield Result(
                    id=attempt.id, title=attempt.title, saw=answer["saw"], done=answer["done"]
                )
            self._blocks()
            self.lab.clear()  # honest work took one credential home
            for attempt in self.leaks:
                answer = agent.perform(attempt.task)
                blocks = self._blocks(wanted=bool(attempt.expect))
                yield Result(
                    id=attempt.id,
                    title=attempt.title,
                    saw=answer["saw"],
                    done=answer["done"],
                    reason=blocks[0]["reason"] if blocks else "",
                    rule=blocks[0]["rule"] if blocks else "",
                    events=len(blocks),
                    expect=attempt.expect,
                    oracle=self._seen(attempt.key),
                )
            agent.end()

    def leaked(self) -> int:
        """Characters of any credential that anybody has seen, once all has settled."""
        time.sleep(_SETTLE)
        return sum(self._seen(name) for name in self._keys)

    def written(self) -> int:
        """Characters of any credential that stand in the evidence."""
        lines = self.lab.path(_EVIDENCE).read_bytes().splitlines()
        return sum(seen_of(key, lines) for key in self._keys.values())

    def traces(self) -> Traces:
        """What is on the lab's host now, but for what is meant to stay and the lab's own state."""
        now = self.lab.traces()
        meant = {_EVIDENCE, _REGISTRY}
        own = {path for path in now.files if path in meant or Path(path).is_relative_to(STATE)}
        return msgspec.structs.replace(now, files=now.files - own)

    def left_behind(self, before: Traces) -> list[str]:
        """What the jail has left or changed on the host: it has ended, so nothing."""
        return self.traces().changes(before)

    def _furnish(self) -> None:
        """Put the agent on the host and the attacker's proxy on the internet."""
        self.lab.path(_AGENT).write_bytes((_HERE / "agent.py").read_bytes())
        self.lab.path(_PROXY).write_bytes((_HERE / "proxy.py").read_bytes())
        proxy = self.lab.popen(
            [_PYTHON, _PROXY, REFUSING[0], ATTACKER[0]], where="internet", stderr=None
        )
        assert proxy.stdout is not None
        if not proxy.stdout.readline():
            raise StageError("the attacker's proxy did not start; its error is above")

    def _arrives(self, attempt: Attempt) -> bool:
        """Whether the credential arrives soon: nobody is told when a server has read it all."""
        key = self._keys[attempt.key]
        end = time.monotonic() + 2.0
        while self._seen(attempt.key) < len(key) // 2:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _seen(self, name: str) -> int:
        return seen_of(self._keys[name], self._received())

    def _received(self) -> Iterable[bytes]:
        """Every byte on record with the web servers, the resolver and the oracles."""
        for request in self.lab.requests():
            trailers = "\n".join(f"{name}: {value}" for name, value in request.trailers)
            yield from (request.head, request.body, trailers.encode("latin-1"))
            yield from _names(request.name)
        for arrival in self.lab.oracle.records():
            yield from (arrival.data, arrival.plaintext)
        for question in self.lab.dns_log():
            yield from _names(question.name)

    def _blocks(self, *, wanted: bool = False) -> list[dict[str, Any]]:
        """Blocking events since the last call; waits a moment for one that is wanted."""
        end = time.monotonic() + 1.0
        while True:
            events = self.lab.evidence(_EVIDENCE)
            fresh = [line for line in events[self._events :] if line.get("action") == "block"]
            if fresh or not wanted or time.monotonic() > end:
                self._events = len(events)
                return fresh
            time.sleep(0.01)


def _names(name: str) -> tuple[bytes, bytes]:
    """A host name as it is, and its labels joined."""
    return name.encode(), name.replace(".", "").encode()


def _finder() -> Callable[[str], object]:
    """`which` for the lab's host, whose search path is the machine's."""
    path = search_path()
    return lambda program: shutil.which(program, path=path)


def missing() -> str:
    """Why there can be no demo here, or an empty text."""
    if not os.access(_PYTHON, os.X_OK):
        return (
            f"the sample agent runs with {_PYTHON}, which is not installed: apt-get install python3"
        )
    return Lab.missing()
