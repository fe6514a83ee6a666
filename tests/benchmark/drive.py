"""Cases through the jail in the lab, and what came of them.

`block` means all three: nothing of the case reached the lab's internet, the client got an explicit
refusal, and an event says so. A time-out, a 502 or a broken connection is an error, never a block.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.benchmark.cases import Case
from tests.benchmark.swap import Swapped
from tests.lab import Answer, Lab, daemons
from tests.lab.host_files import BUNDLE
from tests.lab.programs import ROOT
from tests.lab.world import DEV_WORK, WEB

_CURL = ("curl", "-sS", "-g", "--max-time", "15", "-w", "\n%{http_code}")
_PROXY = "http://proxy.example.com:80"
_TALK = ROOT / "tests" / "benchmark" / "talk.py"
_SOCKET = "ws.example.com"
"""The lab's WebSocket server has a certificate of its own; it stands for any host."""


class Outcome(NamedTuple):
    """What became of one case."""

    case: Case
    verdict: str
    """`block`, `allow`, or `error: ` and what was seen."""
    reason: str = ""
    rule: str = ""
    arrived: bool = False
    """Whether it arrives without the jail: the positive control."""

    @property
    def right(self) -> bool:
        """Whether that is what the benchmark wants."""
        return self.verdict == self.case.expected_verdict


class Driver:
    """Drives cases in a lab.

    :param shape: keep the shape of samples that no vendor issues, see `swap.Swapped`
    """

    def __init__(self, lab: Lab, *, shape: bool = False) -> None:
        self._lab = lab
        self._shape = shape
        self._arrived: set[str] = set()
        self._pages: dict[str, tuple[str, bytes]] = {}
        self._outside: list[bytes] = []
        self._inside: list[bytes] = []
        self._blocked: list[dict[str, Any]] = []

    def arrive(self, cases: Sequence[Case]) -> None:
        """Send cases without the jail, all in one go: the positive control of `drive`."""
        self._fetch([case for case in cases if case.comes_back])
        lines = []
        for case in cases:
            swapped = self._swap(case)
            if case.input_type != "websocket_frame" and not case.comes_back:
                lines += [shlex.join(command) for command in self._commands(case, swapped)]
        self._lab.clear()
        script = " >/dev/null 2>&1\n".join([*lines, ""])
        self._lab.run(["sh", "-c", script], user="dev", env={"CURL_CA_BUNDLE": BUNDLE})
        self._arrived = {entry.name or entry.field("host") for entry in self._lab.requests()}

    def drive(self, case: Case) -> Outcome:
        """Drive one case in the jail, and without it before unless `arrive` has seen it."""
        swapped = self._swap(case)
        if case.input_type == "websocket_frame":
            return self._socket(case, swapped)
        if case.comes_back:
            return self._back(case)
        commands = self._commands(case, swapped)
        arrived = any(host.lower() in self._arrived for host in swapped.hosts)
        if not arrived:
            self._lab.clear()
            for command in commands:
                self._lab.run(command, user="dev", env={"CURL_CA_BUNDLE": BUNDLE})
            arrived = bool(self._lab.requests()) or bool(self._lab.oracle.records())
            named = bool(self._lab.dns_log() and case.category == "hostname_exfiltration")
            arrived = arrived or named
        self._lab.clear()
        done = self._lab.jail(_joined(commands), *self._policy(case, swapped))
        leaked = bool(self._lab.requests() or self._lab.oracle.records() or self._lab.dns_log())
        status = done.text.rpartition("\n")[2].strip()
        told = done.text.rpartition("\n")[0]
        blocks = [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]
        return _outcome(case, leaked, status, told, blocks, arrived)

    def _swap(self, case: Case) -> Swapped:
        swapped = Swapped(case.payload, case.id, shape=self._shape)
        for host in swapped.hosts:
            self._lab.set_name(host.lower(), Answer(WEB))
        return swapped

    def _commands(self, case: Case, swapped: Swapped) -> list[list[str]]:
        payload = swapped.payload
        words = [*_CURL, "-X", payload.get("method", "GET"), "--path-as-is"]
        for name, value in payload.get("headers", {}).items():
            words += ["-H", f"{name}: {value}"]
        if "body" in payload:
            words += ["-H", f"Content-Type: {payload['content_type']}"]
            words += ["--data-binary", payload["body"]]
        if "127." in payload["url"] or "0177." in payload["url"]:
            # A jail's own loopback is nobody else's; a fetching proxy's would be the host's.
            words += ["-x", _PROXY]
        return [[*words, payload["url"]]]

    def _policy(self, case: Case, swapped: Swapped) -> Sequence[str]:
        if "blocklist" not in case.id:
            return ()
        hosts = "".join(f"  - {json.dumps(host)}\n" for host in swapped.hosts)
        policy = self._lab.path(f"{DEV_WORK}/benchmark.yaml")
        policy.write_text(f"version: 1\nhosts:\n  deny:\n{hosts}", "utf-8")
        return ("--policy", f"{DEV_WORK}/benchmark.yaml")

    def _fetch(self, cases: Sequence[Case]) -> None:
        """Let the agent fetch all that comes back in one go, and somebody outside as well."""
        lines = []
        for number, case in enumerate(cases):
            kind, text = _content(self._swap(case).payload)
            self._lab.set_page(str(number), kind, text.encode())
            self._pages[case.id] = str(number), text.encode()
            words = [*_CURL, f"https://www.example.com/served/{number}"]
            lines.append(f"{shlex.join(words)} | base64 -w0; echo")
        script = ["sh", "-c", "\n".join(lines)]
        outside = self._lab.run(script, user="dev", env={"CURL_CA_BUNDLE": BUNDLE})
        done = self._lab.jail(script)
        self._outside = [base64.b64decode(line) for line in outside.stdout.splitlines()]
        self._inside = [base64.b64decode(line) for line in done.text.splitlines()]
        self._blocked = [
            event
            for event in done.events()
            if event["event"] == "decision" and event["action"] == "block"
        ]

    def _back(self, case: Case) -> Outcome:
        """What comes back: the agent must have all of it, or nothing and a refusal."""
        if case.id not in self._pages:
            self._fetch([case])
        name, content = self._pages[case.id]
        outside, inside = self._outside[int(name)], self._inside[int(name)]
        told, _, status = inside.rpartition(b"\n")
        blocks = [event for event in self._blocked if event["path"] == f"/served/{name}"]
        arrived = outside.rpartition(b"\n")[0] == content
        return _outcome(case, content in told, status.decode(), told.decode(), blocks, arrived)

    def _socket(self, case: Case, swapped: Swapped) -> Outcome:
        server = daemons.websocket(self._lab)
        frames = json.dumps(swapped.payload["frames"])
        words = ["/usr/bin/python3", "-c", _TALK.read_text("utf-8"), f"wss://{_SOCKET}/ws", frames]
        server.clear()
        self._lab.run(words, user="dev", env={"SSL_CERT_FILE": BUNDLE})
        arrived = bool(server.wait_for('"open"'))
        server.clear()
        done = self._lab.jail(words)
        log = server.log()
        leaked = '"text"' in log or '"binary"' in log
        blocks = [e for e in done.events() if e["event"] == "decision" and e["action"] == "block"]
        found = json.loads(done.text or "{}")
        status = str(found.get("code") or found.get("status", 0))
        return _outcome(case, leaked, status, done.text, blocks, arrived)


def _content(payload: dict[str, Any]) -> tuple[str, str]:
    """What comes back in a case, and the media type that a server would give it."""
    text = str(payload["response_body"])
    kinds = {"{": "application/json", "[": "application/json", "<": "text/html"}
    if text.startswith("<?xml"):
        return "application/xml", text
    fallback = "text/html" if "<!--" in text else "text/plain"
    return kinds.get(text.lstrip()[:1], fallback), text


def _joined(commands: Sequence[Sequence[str]]) -> list[str]:
    if len(commands) == 1:
        return list(commands[0])
    raise ValueError("one message in a case that is driven")


def _outcome(
    case: Case,
    leaked: bool,
    status: str,
    told: str,
    blocks: Sequence[dict[str, object]],
    arrived: bool,
) -> Outcome:
    reason = str(blocks[0]["reason"]) if blocks else ""
    rule = str(blocks[0].get("rule", "")) if blocks else ""
    socket = case.input_type == "websocket_frame"
    if socket:
        explicit = status in ("1008", "1002", "1007")
    else:
        explicit = status == "403" and '"reason"' in told
    if not leaked and explicit and blocks:
        verdict = "block"
    elif leaked and not blocks and (socket or status in ("200", "404")):
        verdict = "allow"
    else:
        verdict = f"error: status {status or '-'}, {len(blocks)} events, leaked {leaked}"
    return Outcome(case, verdict, reason, rule, arrived)


def table(outcomes: Sequence[Outcome], left: Sequence[Case]) -> str:
    """All of it as text."""
    lines = [f"{'case':<38}{'wanted':<8}{'found':<8}{'reason':<18}{'rule':<26}"]
    for outcome in outcomes:
        mark = "" if outcome.right else "  <--"
        control = "" if outcome.arrived else "  (arrives nowhere without the jail either)"
        lines.append(
            f"{outcome.case.id:<38}{outcome.case.expected_verdict:<8}{outcome.verdict:<8}"
            f"{outcome.reason:<18}{outcome.rule:<26}{mark}{control}".rstrip()
        )
    right = sum(outcome.right for outcome in outcomes)
    lines.append(f"{right} of {len(outcomes)} as wanted; {len(left)} are not driven here:")
    lines += [f"  {case.id}: {case.later}" for case in left]
    return "\n".join(lines)
