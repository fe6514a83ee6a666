"""Calls that are harmless alone: what an agent has read, and what would leave or run then.

What is remembered is small and forgotten after a while: that a file of credentials was read, what
was written, which hosts were asked before. Between the steps of a chain anything may happen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from interceptor.decide.mcp.arguments import Asked
from interceptor.decide.mcp.capabilities import Capability
from interceptor.decide.mcp.command_rules import CommandRules
from interceptor.decide.mcp.paths import Paths, normal
from interceptor.decide.shell.commands import Command

STEPS: Final = 200
"""Calls after which something is forgotten."""
SECONDS: Final = 3600.0
_FILES: Final = 128
_FETCHED: Final = 16
_RECIPE: Final = 1 << 16
_LINES: Final = 400
_SHARED: Final = 0.6
"""Of the lines of a file that came from elsewhere, so that it counts as brought in."""
_HOSTS: Final = 1024
_SCRIPT: Final = re.compile(
    r"\A#!|\.(?:sh|bash|zsh|py|rb|pl|js|mjs|ts|php|ps1|bat|cmd|command)\Z", re.IGNORECASE
)
_RUN_BY: Final = {
    **dict.fromkeys(("make", "gmake"), ("makefile", "gnumakefile")),
    **dict.fromkeys(("npm", "npx", "yarn", "pnpm", "bun"), ("package.json",)),
    **dict.fromkeys(("pip", "pip3", "uv"), ("setup.py",)),
    **dict.fromkeys(("pytest", "tox", "nox"), ("conftest.py", "setup.py")),
    **dict.fromkeys(("docker", "podman", "buildah"), ("dockerfile", "containerfile")),
    "just": ("justfile",),
}
"""Files that a program runs something of without naming them."""
_NETWORK: Final = frozenset((
    "curl", "wget", "nc", "ncat", "netcat", "socat", "telnet", "ftp", "sftp", "scp", "rsync",
    "ssh", "http", "https", "mail", "sendmail",
))  # fmt: skip
_LIGHT: Final = frozenset((
    "whoami", "id", "hostname", "uname", "w", "who", "last", "netstat", "ss", "ifconfig", "arp",
    "groups", "users", "hostnamectl", "lsblk", "dmidecode",
))  # fmt: skip
_DEEP: Final = re.compile(
    r"/etc/(?:passwd|group|crontab|hosts|issue|os-release|resolv\.conf|ssh/sshd_config)\Z"
    r"|\A/(?:root|home)/?\Z|\A/var/(?:log|mail|spool)/|\A-perm\Z|\A/proc/(?:net|version)"
)
_ENOUGH: Final = 5
_PLENTY: Final = 10
"""What looking around comes to before something leaves, and at all."""


class _Package(msgspec.Struct, frozen=True):
    scripts: dict[str, Any] = {}


class Fault(msgspec.Struct, frozen=True, gc=False):
    """A chain that a call would complete."""

    rule: str
    detail: str


class _Once(msgspec.Struct, frozen=True, gc=False):
    """Something that happened."""

    step: int
    at: float
    what: str


class Chains:
    """What one agent has done, over all its tools and servers."""

    def __init__(self, paths: Paths, rules: CommandRules) -> None:
        """Begin with nothing."""
        self._paths = paths
        self._rules = rules
        self._step = 0
        self._now = 0.0
        self._secret: _Once | None = None
        self._environment: _Once | None = None
        self._listed: _Once | None = None
        self._written: dict[str, tuple[_Once, str]] = {}
        self._around: dict[str, tuple[int, _Once]] = {}
        self._fetched: list[frozenset[bytes]] = []
        self._hosts: dict[str, None] = {}

    def look(
        self, call: Asked, commands: Sequence[Command], hosts: Iterable[str], now: float
    ) -> Fault | None:
        """Tell which chain a call would complete.

        Args:
            call: what it asks for.
            commands: those that it runs.
            hosts: that it would reach and the operator has not named.
            now: in seconds.
        """
        self._now = now
        strange = [host for host in hosts if host not in self._hosts]
        leaves = bool(strange) or bool(call.can & Capability.SEND)
        leaves = leaves or any(self._sends(command) for command in commands)
        if leaves:
            fault = self._leaving()
            if fault is not None:
                return fault
        if call.can & Capability.READ or not call.can:
            key = self._key(call.paths)
            if key and self._fresh(self._listed):
                return Fault("list-then-read-key", f"after its folder was listed, it reads: {key}")
        around = self._looks_around(commands)
        known = {kind for kind, (_, once) in self._around.items() if self._fresh(once)}
        more = sum(weight for kind, weight in around.items() if kind not in known)
        if more and self._weight() + more >= _PLENTY:
            return Fault("look-around", "one command after the other looks the machine over")
        return self._running(commands)

    def keep(self, call: Asked, commands: Sequence[Command], hosts: Iterable[str]) -> None:
        """Remember a call that passes; right after `look`."""
        self._step += 1
        for host in hosts:
            self._hosts.setdefault(host)
        if len(self._hosts) > _HOSTS:
            del self._hosts[next(iter(self._hosts))]
        named = list(call.paths)
        for command in commands:
            named += [word for word in command.words if not word.startswith("-")]
            if command.name in ("env", "printenv") and not command.words:
                self._environment = self._once("the environment")
        writes = call.can & Capability.WRITE and call.content
        if not writes:
            for path in named:
                found = self._paths.within(path)
                if found is None:
                    continue
                if call.can & Capability.LIST and not call.can & Capability.READ:
                    self._listed = self._once(found.title)
                else:
                    self._secret = self._once(found.title)
            for command in commands:
                if command.name in ("ls", "find", "tree", "dir") and self._key(command.words):
                    self._listed = self._once("a folder of keys")
        if call.can & Capability.ENVIRONMENT and not writes:
            self._environment = self._once("the environment, or stored credentials")
        for kind, weight in self._looks_around(commands).items():
            self._around[kind] = weight, self._once(kind)
        if call.content and call.paths and not call.can & Capability.SEND:
            self._write(call.paths[0], "\n".join(call.content))

    def received(self, *, secret: bool, fetched: str = "") -> None:
        """Take note of a result.

        Args:
            secret: it holds credentials.
            fetched: its text, where it came from another machine.
        """
        if secret:
            self._secret = self._once("credentials in a result")
        lines = _lines(fetched)
        if len(lines) >= 2:
            self._fetched.append(lines)
            del self._fetched[:-_FETCHED]

    # -- parts -------------------------------------------------------------------------------

    def _leaving(self) -> Fault | None:
        if self._fresh(self._secret) and self._secret is not None:
            detail = f"after credentials were read ({self._secret.what}), it would send something"
            return Fault("read-then-send", detail)
        if self._fresh(self._environment) and self._environment is not None:
            detail = f"after {self._environment.what} was read, it would send something"
            return Fault("environment-then-network", detail)
        if self._weight() >= _ENOUGH:
            return Fault(
                "look-around-then-send", "after the machine was looked over, it would send"
            )
        return None

    def _sends(self, command: Command) -> bool:
        """Tell whether a command hands something to a machine."""
        if command.name not in _NETWORK:
            return False
        return bool(self._fresh(self._secret)) or any(
            word.startswith(("-d", "--data", "-F", "--form", "-T", "--upload", "--post"))
            for word in command.words
        )

    def _running(self, commands: Sequence[Command]) -> Fault | None:
        """Tell whether a command runs a file that was written, and what that does."""
        for command in commands:
            recipes = _RUN_BY.get(command.name, ())
            for word in (command.name, *command.words[:4], *recipes):
                found = self._written.get(_last(word))
                if found is not None and self._fresh(found[0]) and found[1]:
                    detail = f"it would run a file that was written before: {found[1]}"
                    return Fault("write-then-run", detail)
        return None

    def _write(self, path: str, content: str) -> None:
        name = _last(path)
        if not name:
            return
        why = ""
        lines = _lines(content)
        recipe = _recipe(name, content)
        if recipe or _SCRIPT.search(name) is not None or content.startswith("#!"):
            refused = None
            if recipe or _is_shell(name, content):
                refused, _ = self._rules.judge(recipe or content)
            refused = refused or self._rules.judge_code(content)
            if refused is not None and refused.kind != "unreadable":
                why = refused.title
        if not why and len(lines) >= 2:
            most = max((len(lines & other) for other in self._fetched), default=0)
            if most >= _SHARED * len(lines):
                why = "its text was fetched from another machine"
        self._written.pop(name, None)
        self._written[name] = self._once(name), why
        if len(self._written) > _FILES:
            del self._written[next(iter(self._written))]

    def _key(self, paths: Iterable[str]) -> str:
        for path in paths:
            found = self._paths.secret(path)
            if found is not None and not found.mild:
                return found.title
        return ""

    def _looks_around(self, commands: Sequence[Command]) -> dict[str, int]:
        found: dict[str, int] = {}
        for command in commands:
            if command.name in _LIGHT:
                found[command.name] = 1
            elif command.name == "sudo" and command.words[:1] == ("-l",):
                found["sudo"] = 2
            else:
                for word in command.words:
                    place = normal(word)
                    if _DEEP.search(place) is not None:
                        found[place] = 2
        return found

    def _weight(self) -> int:
        return sum(weight for weight, once in self._around.values() if self._fresh(once))

    def _once(self, what: str) -> _Once:
        return _Once(self._step, self._now, what)

    def _fresh(self, once: _Once | None) -> bool:
        return (
            once is not None and self._step - once.step <= STEPS and self._now - once.at <= SECONDS
        )


def _last(path: str) -> str:
    return normal(path).rstrip("/").rpartition("/")[2]


def _recipe(name: str, content: str) -> str:
    """Return the commands in a file that some program runs, "" where it is no such."""
    lines = content[:_RECIPE].splitlines()
    if name in ("makefile", "gnumakefile", "justfile") or name.endswith(".mk"):
        return "\n".join(line.strip("\t @-+") for line in lines if line.startswith(("\t", "    ")))
    if name in ("dockerfile", "containerfile"):
        runs = (line.strip() for line in lines)
        return "\n".join(line[4:] for line in runs if line[:4].upper() == "RUN ")
    if name == "package.json":
        try:
            scripts = msgspec.json.decode(content[:_RECIPE], type=_Package).scripts
        except msgspec.MsgspecError:
            return ""
        return "\n".join(one for one in scripts.values() if isinstance(one, str))
    return ""


def _is_shell(name: str, content: str) -> bool:
    first = content[:80].partition("\n")[0]
    if first.startswith("#!"):
        return "sh" in first
    return name.endswith(("sh", "command")) or "." not in name


def _lines(text: str) -> frozenset[bytes]:
    """Digests of the lines of a text that say something."""
    lines = [line.strip() for line in text[: 1 << 16].splitlines()[:_LINES]]
    return frozenset(
        hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=8).digest()
        for line in lines
        if len(line) > 3
    )
