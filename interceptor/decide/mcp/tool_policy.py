"""Rules of the policy on calls of tools: by server, tool and arguments."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from interceptor.decide.hosts import HostSet
from interceptor.decide.judge import Judge
from interceptor.decide.mcp.arguments import Leaf
from interceptor.decide.urls import read_url
from interceptor.policy.mcp import Condition, ToolRule
from interceptor.scan.database import Hit, Pattern, RulePatternError, collect_hit, open_database
from interceptor.wire.fields import HttpError

WINDOW: Final = 65_536
"""Bytes of a value in which a regular expression is looked for."""


class ToolPolicyError(ValueError):
    """A regular expression that the engine does not take."""


class Decided(msgspec.Struct, frozen=True, gc=False):
    """What a rule says of a call."""

    action: str
    rule: str
    """Its place in the policy: `mcp.tools[2]`."""
    to: str = ""
    say: str = ""


class _Condition:
    def __init__(self, condition: Condition, where: str) -> None:
        self._is = condition
        self._steps = condition.argument.split(".")
        self._glob = globbed(condition.glob) if condition.glob else None
        self._regex = _regex(condition.regex, where) if condition.regex else None
        named = tuple(text for text in condition.host if text != "policy")
        self._hosts = HostSet(named, where)
        self._named = "policy" in condition.host

    def of(self, leaves: Sequence[Leaf]) -> list[Any]:
        """Return the values of its argument."""
        if self._steps == ["*"]:
            return [leaf.value for leaf in leaves]
        return [leaf.value for leaf in leaves if self._names(leaf.path.split("."))]

    def _names(self, path: list[str]) -> bool:
        steps = self._steps
        if len(path) < len(steps):
            return False
        # What lies below an argument belongs to it: `files` is every value of the list.
        return all(step in ("*", name) for step, name in zip(steps, path, strict=False))

    def fits(self, value: Any, judge: Judge) -> bool:
        condition = self._is
        if condition.equals is not msgspec.UNSET and not _same(value, condition.equals):
            return False
        if condition.among and not any(_same(value, one) for one in condition.among):
            return False
        if condition.least is not None or condition.most is not None:
            number = _number(value)
            if number is None:
                return False
            if condition.least is not None and number < condition.least:
                return False
            if condition.most is not None and number > condition.most:
                return False
        text = value if isinstance(value, str) else str(value)
        if self._glob is not None and self._glob.fullmatch(text) is None:
            return False
        if self._regex is not None:
            hits: list[Hit] = []
            data = text.encode("utf-8", "replace")[:WINDOW]
            self._regex.scan(data, collect_hit, context=hits, scratch=self._regex.scratch)
            if not hits:
                return False
        if condition.inside and not any(_below(text, folder) for folder in condition.inside):
            return False
        return not condition.host or self._host(text, judge)

    def _host(self, text: str, judge: Judge) -> bool:
        try:
            target = read_url(text.encode("utf-8", "replace")).target
        except (HttpError, UnicodeError):
            return False
        if self._hosts and self._hosts.find(target.host, target.port) is not None:
            return True
        return self._named and judge.named(target)


class _Rule:
    def __init__(self, rule: ToolRule, number: int) -> None:
        where = f"mcp.tools[{number}]"
        self.decided = Decided(rule.action, where, rule.to, rule.say)
        self._server = globbed(rule.server)
        self._tool = globbed(rule.tool)
        self._when = [_Condition(one, where) for one in rule.when]
        self._unless = [_Condition(one, where) for one in rule.unless]

    def fits(self, server: str, tool: str, leaves: Sequence[Leaf], judge: Judge) -> bool:
        if self._server.fullmatch(server) is None or self._tool.fullmatch(tool) is None:
            return False
        for one in self._when:
            if not any(one.fits(value, judge) for value in one.of(leaves)):
                return False
        if not self._unless:
            return True
        for one in self._unless:
            values = one.of(leaves)
            if not values or not all(one.fits(value, judge) for value in values):
                return True
        return False


class ToolPolicy:
    """The section `mcp.tools`, compiled."""

    def __init__(self, rules: Sequence[ToolRule]) -> None:
        """Compile it.

        Raises:
            ToolPolicyError: a regular expression that the engine does not take.
            ValueError: a host pattern is malformed (the loader checks before).
        """
        self._rules = [_Rule(rule, number) for number, rule in enumerate(rules)]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def decide(
        self, server: str, tool: str, leaves: Sequence[Leaf], judge: Judge
    ) -> Decided | None:
        """Return what the first rule that fits says; None: none does."""
        for rule in self._rules:
            if rule.fits(server, tool, leaves, judge):
                return rule.decided
        return None


def _same(value: Any, other: Any) -> bool:
    return (type(value) is type(other) and bool(value == other)) or (
        _number(value) is not None and _number(value) == _number(other)
    )


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None


@functools.lru_cache(maxsize=256)
def globbed(text: str) -> re.Pattern[str]:
    """Compile a glob; each `*` takes as little as it can, so that time stays in bounds."""
    parts = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", text)]
    # An atomic group after each `*`: what was found once is not looked for again.
    middle = "".join(f"(?>.*?{part})" for part in parts[1:-1])
    last = "" if len(parts) == 1 else f".*{parts[-1]}"
    return re.compile(parts[0] + middle + last, re.DOTALL)


def _regex(text: str, where: str) -> Any:
    try:
        return open_database([Pattern(text.encode(), where, once=True, number=0)], None)
    except RulePatternError as error:
        raise ToolPolicyError(f"{where}: {error}") from None


def _below(path: str, folder: str) -> bool:
    """Tell whether a path lies in a folder; case counts, `..` is undone before."""
    path = path.removeprefix("file://").replace("\\", "/")
    if "\0" in path or "%2e" in path.lower() or "%2f" in path.lower():
        return False
    folder = posixpath.normpath(folder)
    found = posixpath.normpath(path) if path else "."
    if found.startswith("//"):
        found = found[1:]
    if folder == ".":
        return not found.startswith(("/", "..", "~"))
    return found == folder or found.startswith(folder.rstrip("/") + "/")


def ask_value(tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown to who approves a call."""
    return {"tool": tool, "arguments": dict(arguments)}
