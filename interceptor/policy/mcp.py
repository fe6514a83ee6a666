"""The section `mcp` of a policy: which tools may be called how, and how often."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from interceptor.policy.section import Pattern, RuleId, Section

Glob = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=4096)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Handling = Literal["block", "record", "off"]
"""Refused; noted, and it passes; not looked for."""


class Condition(Section, frozen=True):
    """What an argument must be: all that is written must hold; what is not there fits nothing."""

    argument: Text
    """Path to it: `path`, `options.url`, `files.*`; `*` is any value at any depth."""
    equals: str | int | float | bool | msgspec.UnsetType | None = msgspec.UNSET
    among: tuple[str | int | float | bool | None, ...] = msgspec.field(name="in", default=())
    glob: Text = ""
    """`*` is any text, `?` one character; the whole value must fit."""
    regex: Text = ""
    """Looked for anywhere in the first 64 KiB of the value; without look-around and references."""
    least: float | None = None
    most: float | None = None
    inside: tuple[Text, ...] = ()
    """Folders, one of which holds the path; a relative path is below the server's own folder."""
    host: tuple[Pattern, ...] = ()
    """Host patterns, one of which the host of a URL fits; `policy`: any that the policy names."""


class ToolRule(Section, frozen=True):
    """The first rule that fits a call decides; none: it is allowed."""

    action: Literal["allow", "deny", "ask", "redirect"]
    """`ask`: refused until it was approved; `redirect`: another tool of the server is called."""
    server: Glob = "*"
    tool: Glob = "*"
    when: tuple[Condition, ...] = ()
    """All of them fit some value of their argument."""
    unless: tuple[Condition, ...] = ()
    """The rule does not fit where all of these fit every value of their argument."""
    to: Text = ""
    """The tool that is called instead."""
    say: Text = ""
    """What the agent is told."""


class Commands(Section, frozen=True):
    """What a shell would run."""

    findings: Handling = "block"
    exempt: tuple[RuleId, ...] = ()
    """Rules that do not count (`interceptor/rules/mcp/commands.toml`)."""


class Chains(Section, frozen=True):
    """Calls that are harmful together."""

    findings: Handling = "block"
    exempt: tuple[RuleId, ...] = ()


class Definitions(Section, frozen=True):
    """What tools say of themselves."""

    findings: Handling = "block"
    changes: Handling = "block"
    """A definition that is not the pinned one."""
    names: Handling = "block"
    """A tool that looks like another server's, or speaks for it."""
    exempt: tuple[Glob, ...] = ()
    """`SERVER/TOOL`, either with `*`: what they say is not judged; changes are."""


class Budgets(Section, frozen=True):
    """How often and how much; 0: no limit."""

    tool_calls: Amount = 300
    """Calls of one tool in a minute."""
    server_calls: Amount = 1200
    """Calls of all tools of a server in a minute."""
    calls: Amount = 0
    """Calls of an agent, in all."""
    repeats: Amount = 40
    """The same call, with the same arguments, in a minute."""
    retries: Amount = 12
    """The same call after it has failed, one after the other."""
    hosts: Amount = 200
    """Hosts that calls name, in an hour."""
    argument_bytes: Amount = 268_435_456
    """Bytes of arguments to one server, in an hour."""
    result_bytes: Amount = 0
    """Bytes of results of one server, in an hour."""


class Mcp(Section, frozen=True):
    """Tools of other programs and machines, over the Model Context Protocol, and other agents."""

    tools: tuple[ToolRule, ...] = ()
    commands: Commands = Commands()
    chains: Chains = Chains()
    definitions: Definitions = Definitions()
    budgets: Budgets = Budgets()


_BEYOND: re.Pattern[str] = re.compile(r"\\[1-9]|\(\?(?:[=!]|<[=!]|P=|\()|\\k")


def faults(section: Mcp) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Give (place, cause, fix) of what the types cannot say, host patterns left out."""
    for i, rule in enumerate(section.tools):
        at = ("tools", i)
        if (rule.action == "redirect") != bool(rule.to):
            yield (*at, "to"), "`redirect` and `to` belong together", "name the tool to call"
        for key, conditions in (("when", rule.when), ("unless", rule.unless)):
            for j, one in enumerate(conditions):
                place = (*at, key, j)
                if not one.argument:
                    yield (*place, "argument"), "no argument is named", "write its name, or `*`"
                if not asks(one):
                    yield place, "it asks for nothing", "write equals, in, glob, regex or another"
                cause = _regex_fault(one.regex)
                if cause:
                    yield (*place, "regex"), cause, "write one without look-around and references"
                for k, folder in enumerate(one.inside):
                    if not folder.startswith(("/", "~", "./")) and folder != ".":
                        cause = f"{folder!r} is no folder"
                        yield (*place, "inside", k), cause, "begin with `/`, `~` or `./`"


def asks(condition: Condition) -> bool:
    """Tell whether a condition asks for anything."""
    return bool(
        condition.equals is not msgspec.UNSET
        or condition.among
        or condition.glob
        or condition.regex
        or condition.least is not None
        or condition.most is not None
        or condition.inside
        or condition.host
    )


def _regex_fault(text: str) -> str:
    if _BEYOND.search(text):
        return f"{text!r} cannot be looked for in linear time"
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return f"{text!r} is no regular expression: {error}"
    return ""
