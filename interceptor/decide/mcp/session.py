"""What is remembered of one agent over all the servers it talks to."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec

from interceptor.decide.mcp import command_rules, paths
from interceptor.decide.mcp.budgets import Meter
from interceptor.decide.mcp.chains import Chains
from interceptor.decide.mcp.command_rules import CommandRules
from interceptor.decide.mcp.tool_policy import ToolPolicy
from interceptor.policy.schema import Policy
from interceptor.verdict import Verdict

PENDING: Final = 1024
"""Requests of one side that wait for their answer at a time."""


SERVERS: Final = 1024
"""Servers that one agent may talk to, as tools or as agents."""


class Waiting(msgspec.Struct, gc=False):
    """A request that was passed on."""

    method: str
    at: float
    """When, or when its progress was last told."""
    tool: str = ""
    token: str | int | None = None
    """Of its progress."""
    cancelled: bool = False
    note: Any = None
    """What the judge of the call wants to know when its result comes."""


class Requests:
    """The requests of one side, by id: a number and a string are never the same id."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[str | int, Waiting] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, ident: object) -> bool:
        return ident in self._open

    def begin(self, ident: str | int, waiting: Waiting) -> None:
        """Take note of a request."""
        self._open[ident] = waiting

    def end(self, ident: str | int | None) -> Waiting | None:
        """Return the request that an answer is for; None: there is none. It is answered then."""
        return None if ident is None else self._open.pop(ident, None)

    def cancel(self, ident: object) -> None:
        """Nobody waits for it any more; an answer may still come."""
        found = self._open.get(ident) if isinstance(ident, str | int) else None
        if found is not None:
            found.cancelled = True

    def progress(self, token: object, now: float) -> None:
        """Something was told about the request that has this token."""
        for waiting in self._open.values():
            if waiting.token == token and token is not None:
                waiting.at = now

    def overdue(self, before: float) -> list[tuple[str | int, Waiting]]:
        """Take out those that wait since before a time."""
        if not self._open:
            return []
        late = [(ident, found) for ident, found in self._open.items() if found.at < before]
        for ident, _ in late:
            del self._open[ident]
        return late

    def all(self) -> list[tuple[str | int, Waiting]]:
        """Take out all of them."""
        taken = list(self._open.items())
        self._open.clear()
        return taken


class Server:
    """What is known of one server."""

    def __init__(self, name: str) -> None:
        """Begin with nothing."""
        self.name = name
        self.refused: dict[str, Verdict] = {}
        """Tools that were taken out of its list, and why."""
        self.tools: dict[str, dict[str, Any]] = {}
        """Definitions that the agent has seen."""
        self.clean: set[tuple[int, str]] = set()
        """(epoch of the judge, digest) of definitions in which nothing was found."""


class Session:
    """What one agent does over all its servers, while it runs."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.meter = Meter()
        self._servers: dict[str, Server] = {}
        self._policy: tuple[Policy, ToolPolicy] | None = None

    def policy(self, policy: Policy) -> ToolPolicy:
        """Return the rules of a policy on calls, compiled.

        Raises:
            ToolPolicyError: a regular expression that the engine does not take.
        """
        if self._policy is None or self._policy[0] is not policy:
            self._policy = policy, ToolPolicy(policy.mcp.tools)
        return self._policy[1]

    @functools.cached_property
    def rules(self) -> CommandRules:
        """Rules on commands; read when something is first judged by them."""
        return command_rules.load()

    @functools.cached_property
    def chains(self) -> Chains:
        """What the agent has done."""
        return Chains(paths.load(), self.rules)

    def full(self, name: str) -> bool:
        """Tell whether a server is one too many."""
        return len(self._servers) >= SERVERS and name not in self._servers

    def server(self, name: str) -> Server:
        """Return what is known of a server; of one too many nothing is remembered."""
        found = self._servers.get(name)
        if found is None:
            found = Server(name)
            if len(self._servers) < SERVERS:
                self._servers[name] = found
        return found

    def others(self, name: str) -> list[Server]:
        """Return all servers but one."""
        return [server for other, server in self._servers.items() if other != name]
